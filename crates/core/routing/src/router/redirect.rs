//! Redirects with their placeholders.

use crate::request::without_port;
use crate::table::{Protocol, Redirect};

/// A redirect whose texts are split at their placeholders.
#[derive(Debug, Clone)]
pub struct CompiledRedirect {
    /// 301 or 302.
    pub status: u16,
    protocol: Box<[Part]>,
    host: Box<[Part]>,
    port: Box<[Part]>,
    path: Box<[Part]>,
    query: Box<[Part]>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(Box<[u8]>),
    Protocol,
    Host,
    Port,
    Path,
    Query,
}

/// Where the request came to, which a redirect keeps what it does not name of.
#[derive(Debug, Clone, Copy)]
pub struct RedirectFrom<'a> {
    /// The listener's.
    pub protocol: Protocol,
    /// `Host` as it came; its port is left out.
    pub host: &'a [u8],
    /// The listener's.
    pub port: u16,
    pub path: &'a [u8],
    /// Without the `?`.
    pub query: &'a [u8],
}

impl CompiledRedirect {
    pub(crate) fn compile(redirect: &Redirect) -> Self {
        CompiledRedirect {
            status: redirect.status,
            protocol: parts(&redirect.protocol),
            host: parts(&redirect.host),
            port: parts(&redirect.port),
            path: parts(&redirect.path),
            query: parts(&redirect.query),
        }
    }

    /// The `Location`. AWS: it names the port always, default or not, and has no `?` without a query.
    pub fn location(&self, from: &RedirectFrom<'_>) -> Vec<u8> {
        let mut location = Vec::with_capacity(64 + from.path.len() + from.query.len());
        fill(&self.protocol, from, &mut location);
        location.make_ascii_lowercase();
        location.extend_from_slice(b"://");
        fill(&self.host, from, &mut location);
        location.push(b':');
        fill(&self.port, from, &mut location);
        fill(&self.path, from, &mut location);
        let path_end = location.len();
        location.push(b'?');
        fill(&self.query, from, &mut location);
        if location.len() == path_end + 1 {
            location.truncate(path_end);
        }
        location
    }
}

fn fill(parts: &[Part], from: &RedirectFrom<'_>, into: &mut Vec<u8>) {
    for part in parts {
        match part {
            Part::Text(text) => into.extend_from_slice(text),
            Part::Protocol => into.extend_from_slice(match from.protocol {
                Protocol::Http => b"http",
                Protocol::Https => b"https",
            }),
            Part::Host => escape(without_port(from.host), into),
            Part::Port => into.extend_from_slice(from.port.to_string().as_bytes()),
            // AWS: the placeholder is without the slash that begins the path.
            Part::Path => escape(from.path.strip_prefix(b"/").unwrap_or(from.path), into),
            Part::Query => escape(from.query, into),
        }
    }
}

/// A client's bytes never end a header line or leave it: what may not stand in a URI is written by
/// its number.
fn escape(text: &[u8], into: &mut Vec<u8>) {
    for byte in text {
        match byte {
            0x21..=0x7e if !matches!(byte, b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}') => {
                into.push(*byte);
            }
            byte => {
                const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
                into.extend_from_slice(&[
                    b'%',
                    DIGITS[usize::from(byte >> 4)],
                    DIGITS[usize::from(byte & 15)],
                ]);
            }
        }
    }
}

fn parts(text: &str) -> Box<[Part]> {
    const NAMES: [(&str, Part); 5] = [
        ("#{protocol}", Part::Protocol),
        ("#{host}", Part::Host),
        ("#{port}", Part::Port),
        ("#{path}", Part::Path),
        ("#{query}", Part::Query),
    ];
    let mut parts = Vec::new();
    let mut rest = text;
    let mut plain = 0;
    while plain < rest.len() {
        let found = NAMES.iter().find(|(name, _)| rest.as_bytes()[plain..].starts_with(name.as_bytes()));
        let Some((name, part)) = found else {
            plain += 1;
            continue;
        };
        if plain > 0 {
            parts.push(Part::Text(rest.as_bytes()[..plain].into()));
        }
        parts.push(part.clone());
        (rest, plain) = (&rest[plain + name.len()..], 0);
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest.as_bytes().into()));
    }
    parts.into()
}
