//! Header fields between the `http` crate's map and the exchange's plain list.

use bytes::{Bytes, BytesMut};
use core_routing::Fields;
use http::header::{HeaderMap, HeaderName, HeaderValue};

/// Fields that are about one HTTP/1 connection; HTTP/2 forbids them.
const OF_CONNECTION: [&str; 5] =
    ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"];

pub fn is_of_connection(name: &[u8]) -> bool {
    // Most names are of none of these lengths and first letters.
    matches!(name.first(), Some(b'c' | b'C' | b'k' | b'K' | b'p' | b'P' | b't' | b'T' | b'u' | b'U'))
        && OF_CONNECTION.iter().any(|of| name.eq_ignore_ascii_case(of.as_bytes()))
}

/// Adds fields to a map. What HTTP/2 forbids is left out, and so is what is no field.
pub fn append(map: &mut HeaderMap, fields: &Fields, leave_out: impl Fn(&[u8]) -> bool) {
    // One buffer for all values; each of them is a slice of it.
    let size = fields.iter().map(|(_, value)| value.len()).sum();
    let mut values = BytesMut::with_capacity(size);
    fields.iter().for_each(|(_, value)| values.extend_from_slice(value));
    let mut values: Bytes = values.freeze();
    for (name, value) in fields.iter() {
        let value = values.split_to(value.len());
        if is_of_connection(name) || leave_out(name) {
            continue;
        }
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_maybe_shared(value)) {
            map.append(name, value);
        }
    }
}

/// The fields after a body. Those about framing, routing and the message itself mean nothing there
/// and may mean mischief further on, so they are left out.
pub fn trailers(map: &HeaderMap) -> Fields {
    const NEVER: [&str; 9] = [
        "content-length",
        "transfer-encoding",
        "host",
        "trailer",
        "te",
        "connection",
        "content-encoding",
        "content-type",
        "authorization",
    ];
    let mut fields = Fields::default();
    for (name, value) in map {
        if !NEVER.contains(&name.as_str()) {
            fields.add(name.as_str().as_bytes(), value.as_bytes());
        }
    }
    fields
}
