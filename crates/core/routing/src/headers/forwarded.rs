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
    let written = match (ip, with_port) {
        (ip, false) => write!(into, "{ip}"),
        (IpAddr::V4(ip), true) => write!(into, "{ip}:{port}"),
        (IpAddr::V6(ip), true) => write!(into, "[{ip}]:{port}"),
    };
    written.expect("a vector takes all");
}

/// How many addresses came; more than [`crate::limits::FORWARDED_ADDRESSES`] are answered 463.
pub fn count_addresses<'a>(came: impl Iterator<Item = &'a [u8]>) -> usize {
    came.map(|value| value.split(|byte| *byte == b',').filter(|part| !part.trim_ascii().is_empty()).count())
        .sum()
}
