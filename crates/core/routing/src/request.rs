//! What rules look at in a request.

use std::net::IpAddr;

use crate::head::Fields;

/// A request as rules see it. Nothing is decoded: AWS compares with the bytes that came.
#[derive(Clone, Copy)]
pub struct RequestView<'a> {
    pub method: &'a [u8],
    /// `Host` or `:authority` as it came, with its port if it has one; empty where there is none.
    pub host: &'a [u8],
    /// From the first `/` to before the `?`.
    pub path: &'a [u8],
    /// After the `?`; empty where there is none.
    pub query: &'a [u8],
    pub headers: &'a dyn HeaderValues,
    /// The connection's other end, never what a header says.
    pub source: IpAddr,
}

/// Where header values are looked up.
pub trait HeaderValues {
    /// Hands the values of `name` (any case) to `fits` in their order until it says yes, and
    /// returns whether it did.
    fn any(&self, name: &str, fits: &mut dyn FnMut(&[u8]) -> bool) -> bool;
}

impl HeaderValues for Fields {
    fn any(&self, name: &str, fits: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        self.all(name).any(fits)
    }
}

impl HeaderValues for &[(&str, &str)] {
    fn any(&self, name: &str, fits: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        self.iter().any(|(known, value)| known.eq_ignore_ascii_case(name) && fits(value.as_bytes()))
    }
}

/// A request target in its parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TargetParts<'a> {
    /// Of an absolute URI (`http://host:port/path`); it replaces `Host`, as RFC 9112 has it.
    pub authority: Option<&'a [u8]>,
    /// `/` where an absolute URI has none. `*` stands as it is.
    pub path: &'a [u8],
    /// Without the `?`; `None` where there is no `?`.
    pub query: Option<&'a [u8]>,
}

impl<'a> TargetParts<'a> {
    pub fn of(target: &'a [u8]) -> Self {
        let (authority, rest) = match target.first() {
            Some(b'/') | None => (None, target),
            Some(_) => absolute(target).unwrap_or((None, target)),
        };
        // A fragment never belongs on the wire; AWS compares it with the rest, so it stays.
        let (path, query) = match rest.iter().position(|byte| *byte == b'?') {
            Some(at) => (&rest[..at], Some(&rest[at + 1..])),
            None => (rest, None),
        };
        let path = if path.is_empty() && authority.is_some() { b"/".as_slice() } else { path };
        TargetParts { authority, path, query }
    }
}

fn absolute(target: &[u8]) -> Option<(Option<&[u8]>, &[u8])> {
    let colon = target.iter().take(6).position(|byte| *byte == b':')?;
    let scheme = &target[..colon];
    let is_known = scheme.eq_ignore_ascii_case(b"http") || scheme.eq_ignore_ascii_case(b"https");
    let rest = target[colon..].strip_prefix(b"://").filter(|_| is_known)?;
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
    Some((Some(&rest[..end]), &rest[end..]))
}

/// A host without its port: `example.com:8080`, `[::1]:8080`.
pub fn without_port(host: &[u8]) -> &[u8] {
    match host.iter().rposition(|byte| *byte == b':') {
        Some(at) if host[at + 1..].iter().all(u8::is_ascii_digit) && host.first() != Some(&b'[') => {
            &host[..at]
        }
        Some(at) if at > 0 && host[at - 1] == b']' => &host[..at],
        _ => host,
    }
}
