//! Other homes for names: `public.ecr.aws=localhost:4566/mirror`.

use std::str::FromStr;

use crate::Reference;

/// Where to look for images of a registry, or of some repositories of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mirrors(Vec<Mirror>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Mirror {
    /// Registry, perhaps with the start of a repository.
    from: String,
    to: String,
    is_plain: bool,
}

/// Where a reference is really fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub reference: Reference,
    /// HTTP without TLS.
    pub is_plain: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid registry mirror {0:?}: expected REGISTRY[/PREFIX]=[http://]HOST[/PREFIX]")]
pub struct MirrorError(String);

impl Mirrors {
    /// Adds `FROM=TO`; `TO` may begin with `http://` or `https://`.
    pub fn add(&mut self, text: &str) -> Result<(), MirrorError> {
        let invalid = || MirrorError(text.chars().take(300).collect());
        let (from, to) = text.split_once('=').ok_or_else(invalid)?;
        let (to, said) = match (to.strip_prefix("http://"), to.strip_prefix("https://")) {
            (Some(to), _) => (to, Some(true)),
            (_, Some(to)) => (to, Some(false)),
            _ => (to, None),
        };
        let (from, to) = (from.trim_end_matches('/'), to.trim_end_matches('/'));
        // Both must read as the start of a full name.
        let probe = |start: &str| format!("{start}/x").parse::<Reference>().ok();
        let is_whole = |start: &str, read: &Reference| format!("{start}/x:latest") == read.to_string();
        let from_read = probe(from).filter(|read| is_whole(from, read) || from == "docker.io");
        let to_read = probe(to).filter(|read| is_whole(to, read)).ok_or_else(invalid)?;
        from_read.ok_or_else(invalid)?;
        let is_plain = said.unwrap_or_else(|| is_this_machine(&to_read.registry));
        self.0.push(Mirror { from: from.to_owned(), to: to.to_owned(), is_plain });
        // The most special one first.
        self.0.sort_by_key(|mirror| std::cmp::Reverse(mirror.from.len()));
        Ok(())
    }

    /// Where `reference` is to be fetched: at its mirror if it has one, else at home.
    pub fn target(&self, reference: &Reference) -> Target {
        let name = format!("{}/{}", reference.registry, reference.repository);
        let mirrored = self.0.iter().find_map(|mirror| {
            let rest = name.strip_prefix(&mirror.from)?.strip_prefix('/')?;
            let moved = Reference::from_str(&format!("{}/{rest}", mirror.to)).ok()?;
            let reference = Reference { tag: reference.tag.clone(), digest: reference.digest, ..moved };
            Some(Target { reference, is_plain: mirror.is_plain })
        });
        mirrored.unwrap_or_else(|| Target {
            reference: reference.clone(),
            is_plain: is_this_machine(&reference.registry),
        })
    }
}

/// `localhost` and loopback addresses, with or without a port.
pub(super) fn is_this_machine(registry: &str) -> bool {
    let host = match registry.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => registry,
    };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(mirrors: &[&str], name: &str, target: &str, is_plain: bool) {
        let mut all = Mirrors::default();
        mirrors.iter().for_each(|text| all.add(text).unwrap());
        let found = all.target(&name.parse().unwrap());
        assert_eq!((found.reference.to_string().as_str(), found.is_plain), (target, is_plain), "{name}");
    }

    #[test]
    fn names_go_to_their_mirrors() {
        let ecr = "public.ecr.aws=localhost:4566/mirror";
        check(&[ecr], "public.ecr.aws/nginx/nginx:1", "localhost:4566/mirror/nginx/nginx:1", true);
        check(&[ecr], "nginx", "docker.io/library/nginx:latest", false);
        check(&[ecr], "public.ecr.aws.evil.com/x", "public.ecr.aws.evil.com/x:latest", false);
        check(&["docker.io=http://m.local"], "nginx", "m.local/library/nginx:latest", true);
        check(&["docker.io=m.local"], "nginx", "m.local/library/nginx:latest", false);
        let two = ["a.b=c.d", "a.b/team=localhost/t"];
        check(&two, "a.b/team/app", "localhost/t/app:latest", true);
        check(&two, "a.b/teams/app", "c.d/teams/app:latest", false);
        check(&[], "127.0.0.1:5000/x", "127.0.0.1:5000/x:latest", true);
        check(&[], "[::1]:5000/x", "[::1]:5000/x:latest", true);
        check(&[], "localhost.evil.com/x", "localhost.evil.com/x:latest", false);
    }

    #[test]
    fn malformed_mirrors_are_refused() {
        for text in ["", "a.b", "a.b=", "=a.b", "a b=c.d", "a.b=ftp://c.d", "a.b=c.d/UP"] {
            assert!(Mirrors::default().add(text).is_err(), "{text:?}");
        }
    }
}
