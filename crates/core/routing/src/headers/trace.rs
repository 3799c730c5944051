//! `X-Amzn-Trace-Id`.
//!
//! AWS: "Request tracing for your Application Load Balancer".

use base::{Chance, Timestamp};

/// Makes trace ids. One per worker.
#[derive(Debug)]
pub struct TraceIds {
    chance: Chance,
}

impl TraceIds {
    pub fn new(chance: Chance) -> Self {
        TraceIds { chance }
    }

    /// `1-67891233-abcdef012345678912345678`: version, second in hexadecimal, 24 digits.
    fn write(&mut self, now: Timestamp, into: &mut Vec<u8>) {
        let (high, low) = (self.chance.next(), self.chance.next() as u32);
        into.extend_from_slice(b"1-");
        hex(u64::from(now.as_secs() as u32), 8, into);
        into.push(b'-');
        hex(high, 16, into);
        hex(u64::from(low), 8, into);
    }
}

/// The lowest digits of a number: by hand, since every request has them.
fn hex(number: u64, digits: u32, into: &mut Vec<u8>) {
    let digit = |at: u32| b"0123456789abcdef"[(number >> (4 * at)) as usize & 15];
    into.extend((0..digits).rev().map(digit));
}

/// Writes the header's value for the target to `into`.
///
/// Without one, or without a `Root` field, there is a `Root` made here; otherwise a `Self` of ours
/// comes first, in place of one that was there, and the rest stays as it is. AWS: where all headers
/// are more than 7 KB (`is_large`), the header begins anew.
pub fn trace_id(came: Option<&[u8]>, is_large: bool, ids: &mut TraceIds, now: Timestamp, into: &mut Vec<u8>) {
    let fields = came.unwrap_or_default();
    let has_root = !is_large && parts(fields).any(|part| key(part).eq_ignore_ascii_case(b"root"));
    if !has_root {
        into.extend_from_slice(b"Root=");
        ids.write(now, into);
        // AWS: fields of applications are preserved.
        if is_large {
            return;
        }
    } else {
        into.extend_from_slice(b"Self=");
        ids.write(now, into);
    }
    for part in parts(fields).filter(|part| !key(part).eq_ignore_ascii_case(b"self")) {
        into.push(b';');
        into.extend_from_slice(part);
    }
}

fn parts(fields: &[u8]) -> impl Iterator<Item = &[u8]> {
    fields.split(|byte| *byte == b';').map(<[u8]>::trim_ascii).filter(|part| !part.is_empty())
}

fn key(part: &[u8]) -> &[u8] {
    let end = part.iter().position(|byte| *byte == b'=').unwrap_or(part.len());
    part[..end].trim_ascii()
}
