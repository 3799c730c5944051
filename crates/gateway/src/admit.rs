//! Who may talk to the one port at all, before any request is read for what it asks.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use http::header::{HOST, ORIGIN};

/// How callers prove who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    /// By the socket: the user who started Boxship, root, and the platform's own tasks.
    Open,
}

/// The rules of open mode.
#[derive(Debug, Clone)]
pub struct Admission {
    pub auth: Auth,
    /// User ids that may connect over loopback.
    pub users: Vec<u32>,
    /// Whoever reaches the port may call: only for addresses beside loopback, and in so many words.
    pub is_open_to_all: bool,
    /// The address that the port listens on: a `Host` that names it is fine.
    pub listen: SocketAddr,
}

/// Why a request is turned away. The text is the answer's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    Host,
    Origin,
    User,
    /// On the host's network, where tasks and anybody else look alike.
    Unproven,
}

impl Refusal {
    pub fn text(self) -> &'static str {
        match self {
            Refusal::Host => {
                "Forbidden: this Host header names no address of Boxship. Use localhost, a name under \
                 .localhost, or the listening address.\n"
            }
            Refusal::Origin => "Forbidden: web pages of another origin may not call Boxship.\n",
            Refusal::User => {
                "Forbidden: with --auth open only the user who started Boxship and root may call it.\n"
            }
            Refusal::Unproven => {
                "Forbidden: on the host's network only root, the user who started Boxship and whoever bears a \
                 task's credentials may call it.\n"
            }
        }
    }
}

impl Admission {
    /// Whether a loopback connection of `owner` may talk to us. No entry, no entry in.
    pub fn user(&self, owner: Option<u32>) -> Result<(), Refusal> {
        match owner {
            Some(uid) if self.users.contains(&uid) => Ok(()),
            _ => Err(Refusal::User),
        }
    }

    /// Whether the request's `Host` and `Origin` are ours. A page of another origin shows itself by
    /// `Origin` or by fetch metadata; a rebound name by `Host`.
    pub fn headers(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let mut hosts = headers.get_all(HOST).iter();
        let host = hosts.next().and_then(|host| host.to_str().ok()).ok_or(Refusal::Host)?;
        if hosts.next().is_some() || !self.is_ours(host) {
            return Err(Refusal::Host);
        }
        let is_cross_site =
            headers.get("sec-fetch-site").is_some_and(|site| site != "same-origin" && site != "none");
        let is_foreign = headers.get_all(ORIGIN).iter().any(|origin| {
            let origin = origin.to_str().unwrap_or("null");
            let name = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
            // Same origin only: the page must have come from the very host and port that it calls.
            name != Some(host)
        });
        if is_cross_site || is_foreign { Err(Refusal::Origin) } else { Ok(()) }
    }

    fn is_ours(&self, host: &str) -> bool {
        let (name, port) = split_port(host);
        if let Some(port) = port
            && port.parse::<u16>().is_err()
        {
            return false;
        }
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        if let Ok(ip) = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
            return ip.is_loopback() || ip == self.listen.ip() || ip.to_string() == "169.254.170.2";
        }
        // Nobody but AWS can point names below amazonaws.com elsewhere: SDKs that resolve them to
        // us (DNS of a VPC, a hosts file) are welcome.
        name == "localhost" || name.ends_with(".localhost") || name.ends_with(".amazonaws.com")
    }
}

fn split_port(host: &str) -> (&str, Option<&str>) {
    match host.rsplit_once(':') {
        // The last colon of a bare IPv6 address is no port's.
        Some((name, port)) if !name.contains(':') || name.ends_with(']') => (name, Some(port)),
        _ => (host, None),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::{Admission, Auth, Refusal};

    fn check(headers: &[(&'static str, &str)], expected: Result<(), Refusal>) {
        let admission = Admission {
            auth: Auth::Open,
            users: vec![1000, 0],
            is_open_to_all: false,
            listen: "127.0.0.1:4566".parse().unwrap(),
        };
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        assert_eq!(admission.headers(&map), expected, "{headers:?}");
    }

    #[test]
    fn hosts() {
        for host in [
            "localhost",
            "localhost:4566",
            "127.0.0.1:4566",
            "[::1]:4566",
            "127.8.9.1",
            "000000000000.dkr.ecr.us-east-1.localhost:4566",
            "ecs.us-east-1.amazonaws.com",
            "169.254.170.2:4566",
        ] {
            check(&[("host", host)], Ok(()));
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example:4566",
            "10.0.0.1",
            "localhost:x",
            "",
        ] {
            check(&[("host", host)], Err(Refusal::Host));
        }
        check(&[], Err(Refusal::Host));
        check(&[("host", "localhost"), ("host", "evil.example")], Err(Refusal::Host));
    }

    #[test]
    fn origins() {
        check(&[("host", "localhost:4566"), ("origin", "http://localhost:4566")], Ok(()));
        for origin in ["http://evil.example", "null", "http://localhost:8000", "file://"] {
            check(&[("host", "localhost:4566"), ("origin", origin)], Err(Refusal::Origin));
        }
        check(&[("host", "localhost:4566"), ("sec-fetch-site", "cross-site")], Err(Refusal::Origin));
        check(&[("host", "localhost:4566"), ("sec-fetch-site", "none")], Ok(()));
    }

    #[test]
    fn users() {
        let admission = Admission {
            auth: Auth::Open,
            users: vec![1000, 0],
            is_open_to_all: false,
            listen: "127.0.0.1:4566".parse().unwrap(),
        };
        assert_eq!(admission.user(Some(1000)), Ok(()));
        assert_eq!(admission.user(Some(1001)), Err(Refusal::User));
        assert_eq!(admission.user(None), Err(Refusal::User));
    }
}
