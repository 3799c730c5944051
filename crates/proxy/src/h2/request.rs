//! A stream's head becomes a request.
//!
//! The `h2` crate has refused already: upper case and otherwise impossible names, control characters
//! in values, pseudo fields that are missing, doubled, unknown or late, fields of a connection, `te`
//! other than `trailers`, and bodies that differ from the first `content-length`. What it lets
//! through and an HTTP/1 target could read otherwise is refused here.

use core_routing::{Form, Head};
use http::header::{CONTENT_LENGTH, COOKIE, HOST};
use http::request::Parts;

use crate::exchange::Length;

/// Why a head is none: the answer is 400, and nothing reaches a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

/// Fills `head`, emptied before. `ends`: the stream ended with its head.
pub fn read(parts: &Parts, ends: bool, head: &mut Head) -> Result<Length, Malformed> {
    head.clear();
    head.form = Form::Http2;
    if parts.method == http::Method::CONNECT {
        // There is no tunnel through a balancer.
        return Err(Malformed("CONNECT"));
    }
    let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
    let is_star = target == "*" && parts.method == http::Method::OPTIONS;
    if !target.starts_with('/') && !is_star {
        return Err(Malformed(":path is no path"));
    }
    head.method = head.fields.keep(parts.method.as_str().as_bytes());
    head.target = head.fields.keep(target.as_bytes());
    let host = host(parts)?;
    head.authority = host.map(|host| head.fields.keep(host));
    let length = length(parts, ends)?;
    let mut has_cookies = false;
    for (name, value) in &parts.headers {
        if *name == HOST {
            continue;
        }
        if *name == COOKIE {
            has_cookies = true;
            continue;
        }
        head.fields.add(name.as_str().as_bytes(), value.as_bytes());
    }
    if has_cookies {
        // HTTP/2 lets a client split it; HTTP/1 has one field.
        let crumbs: Vec<&[u8]> = parts.headers.get_all(COOKIE).iter().map(|value| value.as_bytes()).collect();
        head.fields.add(b"cookie", &crumbs.join(b"; ".as_slice()));
    }
    Ok(length)
}

/// `:authority`, or else `host`; where both are given they must be the same.
fn host(parts: &Parts) -> Result<Option<&[u8]>, Malformed> {
    let authority = parts.uri.authority().map(|authority| authority.as_str().as_bytes());
    let mut hosts = parts.headers.get_all(HOST).iter().map(|value| value.as_bytes());
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(Malformed("more than one host"));
    }
    if let (Some(authority), Some(host)) = (authority, host)
        && !authority.eq_ignore_ascii_case(host)
    {
        return Err(Malformed("host differs from :authority"));
    }
    let found = authority.or(host);
    // Also says that no user name stands before it, and no list or path in `host`.
    let odd = |byte: &u8| !(byte.is_ascii_alphanumeric() || b"-._~:[]%!$&'()*+;=".contains(byte));
    match found {
        Some(found) if found.is_empty() || found.iter().any(odd) => Err(Malformed("no host")),
        found => Ok(found),
    }
}

fn length(parts: &Parts, ends: bool) -> Result<Length, Malformed> {
    let mut lengths = parts.headers.get_all(CONTENT_LENGTH).iter();
    let Some(first) = lengths.next() else {
        return Ok(if ends { Length::None } else { Length::Unknown });
    };
    if lengths.next().is_some() {
        return Err(Malformed("more than one content-length"));
    }
    let digits = first.as_bytes();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Malformed("content-length is no number"));
    }
    let length = first.to_str().ok().and_then(|digits| digits.parse().ok());
    match length.ok_or(Malformed("content-length is too large"))? {
        0 => Ok(Length::None),
        _ if ends => Err(Malformed("content-length without a body")),
        length => Ok(Length::Known(length)),
    }
}
