//! Load balancers that are reached through the one port by their names.

use std::net::TcpStream;
use std::sync::Arc;

/// What a host name says about load balancers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The balancer's ARN.
    pub balancer: Arc<str>,
    /// The port of the listener that is meant; `None`: the balancer has none of that kind.
    pub port: Option<u16>,
}

/// Whoever carries the balancers' traffic.
pub trait Balancers: Send + Sync {
    /// The listener that `host` names (lower case, without port and final dot), of those that speak
    /// TLS or of those that do not; `None`: it is no balancer's name.
    fn find(&self, host: &str, is_tls: bool) -> Option<Named>;

    /// Takes over a connection of which `read` has been read. From here on it is the balancer's.
    fn adopt(&self, stream: TcpStream, read: Vec<u8>, balancer: &str, port: u16);
}

/// Which balancer a `Host` header or a server name means. Costs next to nothing for other names.
pub(crate) fn named(balancers: &dyn Balancers, host: &str, is_tls: bool) -> Option<Named> {
    let name = name_of(host);
    // Every balancer's name has it, in whatever region.
    const PART: &[u8] = b".elb.";
    if !name.as_bytes().windows(PART.len()).any(|part| part.eq_ignore_ascii_case(PART)) {
        return None;
    }
    balancers.find(&name.to_ascii_lowercase(), is_tls)
}

/// Whether only a balancer can have this name, be there one or not.
pub(crate) fn is_balancers(host: &str) -> bool {
    const END: &str = ".elb.localhost";
    let name = name_of(host).as_bytes();
    name.len() > END.len() && name[name.len() - END.len()..].eq_ignore_ascii_case(END.as_bytes())
}

/// Without port and final dot.
fn name_of(host: &str) -> &str {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    name.strip_suffix('.').unwrap_or(name)
}
