//! Heads of answers: read from targets, written to clients.

use std::mem::MaybeUninit;

use core_routing::{FieldSpan, Span, limits};

use super::wire::Framing;
use crate::exchange::AnswerHead;

/// What a target's head says about its connection and body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Read {
    pub length: usize,
    pub framing: Framing,
    pub keeps: bool,
}

/// Reads a head from the front of `input`; `None`: it is not whole yet. `is_head`: the request was
/// one for a head alone.
pub fn read(input: &[u8], head: &mut AnswerHead, is_head: bool) -> Result<Option<Read>, &'static str> {
    head.clear();
    let mut headers = [const { MaybeUninit::uninit() }; limits::HEADER_LINES];
    let mut answer = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    let length = match config.parse_response_with_uninit_headers(&mut answer, input, &mut headers) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if input.len() <= limits::RESPONSE_HEADERS_BYTES => return Ok(None),
        Ok(httparse::Status::Partial) => return Err("the head is too large"),
        Err(_) => return Err("the head is malformed"),
    };
    if length > limits::RESPONSE_HEADERS_BYTES {
        return Err("the head is too large");
    }
    head.status = answer.code.unwrap_or_default();
    head.reason.push_str(answer.reason.unwrap_or_default());
    head.fields.take_in(&input[..length]);
    let at = |part: &[u8]| {
        let start = (part.as_ptr() as usize).wrapping_sub(input.as_ptr() as usize) as u32;
        Span { start, end: start + part.len() as u32 }
    };
    let mut seen = Seen { keeps: answer.version == Some(1), ..Seen::default() };
    for header in answer.headers.iter() {
        seen.see(header.name, header.value)?;
        let value = if header.value.is_empty() { Span::default() } else { at(header.value) };
        head.fields.mark(FieldSpan { name: at(header.name.as_bytes()), value });
    }
    let framing = seen.framing(head.status, is_head)?;
    let keeps = seen.keeps && framing != Framing::UntilClose && !(seen.is_chunked && seen.length.is_some());
    Ok(Some(Read { length, framing, keeps }))
}

#[derive(Default)]
struct Seen {
    keeps: bool,
    length: Option<u64>,
    is_chunked: bool,
}

impl Seen {
    fn see(&mut self, name: &str, value: &[u8]) -> Result<(), &'static str> {
        match name.len() {
            10 if name.eq_ignore_ascii_case("connection") => {
                for token in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                    match () {
                        () if token.eq_ignore_ascii_case(b"close") => self.keeps = false,
                        () if token.eq_ignore_ascii_case(b"keep-alive") => self.keeps = true,
                        () => {}
                    }
                }
            }
            14 if name.eq_ignore_ascii_case("content-length") => {
                let length = number(value).ok_or("the length is no number")?;
                if self.length.is_some_and(|known| known != length) {
                    return Err("there are two lengths");
                }
                self.length = Some(length);
            }
            17 if name.eq_ignore_ascii_case("transfer-encoding") => {
                if self.is_chunked || !value.eq_ignore_ascii_case(b"chunked") {
                    return Err("the transfer encoding is not chunked");
                }
                self.is_chunked = true;
            }
            _ => {}
        }
        Ok(())
    }

    fn framing(&self, status: u16, is_head: bool) -> Result<Framing, &'static str> {
        if !(100..=999).contains(&status) {
            return Err("the status is none");
        }
        Ok(match (self.is_chunked, self.length) {
            _ if is_head || bodiless(status) => Framing::None,
            (true, _) => Framing::Chunked,
            (false, Some(length)) => Framing::Length(length),
            (false, None) => Framing::UntilClose,
        })
    }
}

/// Statuses whose answers have no body, whatever their fields say.
pub fn bodiless(status: u16) -> bool {
    matches!(status, 100..=199 | 204 | 304)
}

fn number(value: &[u8]) -> Option<u64> {
    let is_number = !value.is_empty() && value.len() <= 19 && value.iter().all(u8::is_ascii_digit);
    is_number.then(|| {
        value.iter().fold(0_u64, |sum, digit| sum.wrapping_mul(10).wrapping_add(u64::from(digit - b'0')))
    })
}

/// Writes `HTTP/1.1 200 OK` and its line end.
pub fn write_status(out: &mut Vec<u8>, status: u16, reason: &str) {
    if status == 200 && (reason.is_empty() || reason == "OK") {
        return out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
    }
    out.extend_from_slice(b"HTTP/1.1 ");
    write_number(out, u64::from(status));
    out.push(b' ');
    let reason = if reason.is_empty() { usual_reason(status) } else { reason };
    out.extend_from_slice(reason.as_bytes());
    out.extend_from_slice(b"\r\n");
}

pub fn write_number(out: &mut Vec<u8>, number: u64) {
    let mut digits = [0_u8; 20];
    let (mut at, mut rest) = (digits.len(), number);
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// RFC 9110's phrase; AWS's for the codes that only a balancer has.
pub fn usual_reason(status: u16) -> &'static str {
    match status {
        460 => "",
        463 | 464 => "",
        _ => http::StatusCode::from_u16(status)
            .ok()
            .and_then(|code| code.canonical_reason())
            .unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &str, is_head: bool) -> Result<Option<(u16, Framing, bool)>, &'static str> {
        let mut head = AnswerHead::default();
        read(input.as_bytes(), &mut head, is_head)
            .map(|read| read.map(|read| (head.status, read.framing, read.keeps)))
    }

    #[test]
    fn framing_follows_from_the_head() {
        let ok = |status, framing, keeps| Ok(Some((status, framing, keeps)));
        let length = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";
        assert_eq!(check(length, false), ok(200, Framing::Length(3), true));
        assert_eq!(check(length, true), ok(200, Framing::None, true));
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(check(chunked, false), ok(200, Framing::Chunked, true));
        assert_eq!(check("HTTP/1.1 200 OK\r\n\r\n", false), ok(200, Framing::UntilClose, false));
        assert_eq!(check("HTTP/1.1 304 N\r\nContent-Length: 3\r\n\r\n", false), ok(304, Framing::None, true));
        assert_eq!(
            check("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", false),
            ok(200, Framing::Length(0), false)
        );
        let closing = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        assert_eq!(check(closing, false), ok(200, Framing::Length(0), false));
        assert_eq!(check("HTTP/1.1 200", false), Ok(None));
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for fields in [
            "Content-Length: 1\r\nContent-Length: 2",
            "Content-Length: -1",
            "Content-Length: 1, 1",
            "Transfer-Encoding: gzip, chunked",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        ] {
            assert!(check(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n"), false).is_err(), "{fields}");
        }
        assert!(check("SSH-2.0-x\r\n\r\n", false).is_err());
    }
}
