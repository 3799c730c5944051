//! `X-Forwarded-For`.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};

use crate::table::{Attributes, ForwardedFor};

/// Writes the value of `X-Forwarded-For` for the target to `into`. Returns whether there is to be
/// such a header.
///
/// AWS: append adds the client's address to what came, preserve hands on what came and adds nothing,
/// remove leaves none. With the client's port: `203.0.113.7:4567`, `[2001:db8::1]:4567`.
pub fn forwarded_for<'a>(
    attributes: &Attributes,
    came: impl Iterator<Item = &'a [u8]>,
    client: SocketAddr,
    into: &mut Vec<u8>,
) -> bool {
    if attributes.forwarded_for == ForwardedFor::Remove {
        return false;
    }
    let start = into.len();
    for value in came {
        if into.len() > start {
            into.extend_from_slice(b", ");
        }
        into.extend_from_slice(value);
    }
    if attributes.forwarded_for == ForwardedFor::Preserve {
        return into.len() > start;
    }
    if into.len() > start {
        into.extend_from_slice(b", ");
    }
    address(client, attributes.forwards_client_port, into);
    true
}

fn address(client: SocketAddr, with_port: bool, into: &mut Vec<u8>) {
    let (ip, port) = (client.ip().to_canonical(), client.port());
    if let (IpAddr::V4(ip), false) = (ip, with_port) {
        return dotted(ip.octets(), into);
    }
    let written = match (ip, with_port) {
        (ip, false) => write!(into, "{ip}"),
        (IpAddr::V4(ip), true) => write!(into, "{ip}:{port}"),
        (IpAddr::V6(ip), true) => write!(into, "[{ip}]:{port}"),
    };
    written.expect("a vector takes all");
}

/// By hand, since nearly every request has one.
fn dotted(octets: [u8; 4], into: &mut Vec<u8>) {
    for (at, octet) in octets.into_iter().enumerate() {
        if at > 0 {
            into.push(b'.');
        }
        if octet > 99 {
            into.push(b'0' + octet / 100);
        }
        if octet > 9 {
            into.push(b'0' + octet / 10 % 10);
        }
        into.push(b'0' + octet % 10);
    }
}

/// How many addresses came; more than [`crate::limits::FORWARDED_ADDRESSES`] are answered 463.
pub fn count_addresses<'a>(came: impl Iterator<Item = &'a [u8]>) -> usize {
    came.map(|value| value.split(|byte| *byte == b',').filter(|part| !part.trim_ascii().is_empty()).count())
        .sum()
}
