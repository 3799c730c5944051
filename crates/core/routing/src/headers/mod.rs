//! What becomes of headers on their way through a balancer.
//!
//! Owns names and values; whoever copies a head asks here. Ignores framing: a body's headers are
//! written by who writes the body.

mod forwarded;
mod trace;

pub use forwarded::{count_addresses, forwarded_for};
pub use trace::{TraceIds, trace_id};

use crate::table::{HeaderRules, Protocol};

/// AWS: `Server` of the answers that a balancer gives by itself.
pub const SERVER: &str = "awselb/2.0";
pub const X_FORWARDED_FOR: &str = "X-Forwarded-For";
pub const X_FORWARDED_PROTO: &str = "X-Forwarded-Proto";
pub const X_FORWARDED_PORT: &str = "X-Forwarded-Port";
pub const X_AMZN_TRACE_ID: &str = "X-Amzn-Trace-Id";
pub const X_AMZN_TLS_VERSION: &str = "X-Amzn-Tls-Version";
pub const X_AMZN_TLS_CIPHER_SUITE: &str = "X-Amzn-Tls-Cipher-Suite";

/// Whether a header belongs to one connection and is never passed on (RFC 9110, 7.6.1). What
/// `Connection` names besides is asked by [`is_named_by_connection`].
///
/// `Upgrade` belongs here too: who passes an upgrade on writes it anew.
pub fn is_hop_by_hop(name: &[u8]) -> bool {
    // By length first: nearly all names end here.
    let known: &[&[u8]] = match name.len() {
        2 => &[b"te"],
        7 => &[b"trailer", b"upgrade"],
        10 => &[b"connection", b"keep-alive"],
        16 => &[b"proxy-connection"],
        17 => &[b"transfer-encoding"],
        18 => &[b"proxy-authenticate"],
        19 => &[b"proxy-authorization"],
        _ => return false,
    };
    // Credentials for a proxy are for targets to read: an ALB passes both on.
    !matches!(name.len(), 18 | 19) && known.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// Whether a `Connection` header's value names the header.
pub fn is_named_by_connection(connection: &[u8], name: &[u8]) -> bool {
    connection.split(|byte| *byte == b',').any(|part| part.trim_ascii().eq_ignore_ascii_case(name))
}

/// AWS: a name that `routing.http.drop_invalid_header_fields` lets pass: `[-A-Za-z0-9]+`.
pub fn is_valid_name(name: &[u8]) -> bool {
    name.iter().fold(!name.is_empty(), |all, byte| all & VALID[usize::from(*byte)])
}

static VALID: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = (byte as u8).is_ascii_alphanumeric() || byte as u8 == b'-';
        byte += 1;
    }
    table
};

/// `http` or `https`, for `X-Forwarded-Proto`.
pub fn forwarded_proto(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Http => "http",
        Protocol::Https => "https",
    }
}

impl HeaderRules {
    /// What a header of AWS's is called on this listener.
    pub fn name_of<'a>(&'a self, name: &'a str) -> &'a str {
        self.renamed
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map_or(name, |(_, renamed)| renamed.as_str())
    }

    /// Whether a target's header gives way to one that the listener sets.
    pub fn overrides(&self, name: &[u8]) -> bool {
        !self.set.is_empty() && self.set.keys().any(|known| known.as_bytes().eq_ignore_ascii_case(name))
    }
}

/// AWS: the page of an answer that the balancer gives by itself: the reason phrase, and HTML.
/// `None` for a status that it never gives.
pub fn own_reason(status: u16) -> Option<&'static str> {
    Some(match status {
        400 => "Bad Request",
        403 => "Forbidden",
        405 => "Not Allowed",
        408 => "Request Time-out",
        413 => "Request Entity Too Large",
        414 => "Request-URI Too Large",
        460 => "Client Closed Connection",
        463 => "Too Many Forwarded Addresses",
        464 => "Incompatible Protocol Versions",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Temporarily Unavailable",
        504 => "Gateway Time-out",
        505 => "HTTP Version Not Supported",
        _ => return None,
    })
}

/// The HTML that goes with it; `text/html`.
pub fn own_page(status: u16) -> Option<String> {
    let reason = own_reason(status)?;
    Some(format!(
        "<html>\r\n<head><title>{status} {reason}</title></head>\r\n<body>\r\n\
         <center><h1>{status} {reason}</h1></center>\r\n</body>\r\n</html>\r\n"
    ))
}
