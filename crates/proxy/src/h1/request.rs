//! From bytes to a request's head.
//!
//! A strict parser reads what is as it should be; what it refuses is split by one that keeps every
//! oddity, so that its class is known, and is then written down anew without them.

use std::mem::MaybeUninit;

use core_routing::desync::{self, Body, Oddities, RawHeader, RequestLine, Treatment, Verdict};
use core_routing::{Desync, FieldSpan, Form, Head, Span, limits};

/// A head was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Read {
    /// Bytes of the input that it took.
    pub length: usize,
    pub verdict: Verdict,
    /// Both connections are closed after the exchange.
    pub closes: bool,
}

/// A head that is answered here, and after which the connection is closed. What could be read of it
/// is in the head all the same, for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unread {
    pub status: u16,
    pub verdict: Verdict,
}

/// Reads a head from the front of `input`; `None`: it is not whole yet.
pub fn read(input: &[u8], head: &mut Head, mode: Desync) -> Result<Option<Read>, Unread> {
    head.clear();
    let mut headers = [const { MaybeUninit::uninit() }; limits::HEADER_LINES];
    let mut request = httparse::Request::new(&mut []);
    let length = match request.parse_with_uninit_headers(input, &mut headers) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return within_limits(input).map(|()| None),
        Err(httparse::Error::TooManyHeaders) => return Err(too_large(400)),
        Err(_) => return oddly(input, head, mode),
    };
    within_limits(&input[..length])?;
    let (method, target) = (request.method.unwrap_or_default(), request.path.unwrap_or_default());
    let at = |part: &[u8]| {
        let start = (part.as_ptr() as usize - input.as_ptr() as usize) as u32;
        Span { start, end: start + part.len() as u32 }
    };
    head.fields.take_in(&input[..length]);
    (head.method, head.target) = (at(method.as_bytes()), at(target.as_bytes()));
    head.form = if request.version == Some(0) { Form::Http10 } else { Form::Http11 };
    for header in request.headers.iter() {
        // An empty value may be one that lies nowhere in the input.
        let value = if header.value.is_empty() { Span::default() } else { at(header.value) };
        head.fields.mark(FieldSpan { name: at(header.name.as_bytes()), value });
    }
    let version: &[u8] = if head.form == Form::Http10 { b"HTTP/1.0" } else { b"HTTP/1.1" };
    let line = RequestLine { method: method.as_bytes(), target: target.as_bytes(), version };
    let all = head.fields.iter().map(|(name, value)| RawHeader { name, value });
    let oddities = Oddities { bare_line_feed: has_bare_line_feed(&input[..length]), ..Oddities::default() };
    let verdict = desync::classify(line, all, oddities);
    judge(length, verdict, mode, head).map(Some)
}

fn judge(length: usize, verdict: Verdict, mode: Desync, head: &Head) -> Result<Read, Unread> {
    match desync::treatment(mode, verdict) {
        Treatment::Allow => Ok(Read { length, verdict, closes: false }),
        Treatment::AllowAndClose => Ok(Read { length, verdict, closes: true }),
        Treatment::Refuse => {
            let codings = head.fields.all("transfer-encoding");
            Err(Unread { status: desync::refusal(verdict, codings), verdict })
        }
    }
}

/// What the strict parser refused.
fn oddly(input: &[u8], head: &mut Head, mode: Desync) -> Result<Option<Read>, Unread> {
    let Some(length) = end_of_head(input) else {
        return Err(too_large(400));
    };
    within_limits(&input[..length])?;
    let split = desync::split(&input[..length]);
    let verdict = desync::classify(split.line, split.headers.iter().copied(), split.oddities);
    let target: Vec<u8> = split.line.target.iter().flat_map(|byte| escaped(*byte)).collect();
    head.method = head.fields.keep(split.line.method);
    head.target = head.fields.keep(&target);
    head.form = if split.line.version == b"HTTP/1.0" { Form::Http10 } else { Form::Http11 };
    for header in &split.headers {
        let is_sound = !header.name.is_empty() && header.name.iter().all(|byte| is_token(*byte));
        if is_sound {
            head.fields.add(header.name, &unfolded(header.value));
        }
    }
    // AWS: HTTP/2 where HTTP/1 is spoken. Other versions are what desync mitigation calls them.
    if split.line.method == b"PRI" && split.line.version == b"HTTP/2.0" {
        return Err(Unread { status: 505, verdict });
    }
    let is_speakable = !head.method().is_empty() && head.method().iter().all(|byte| is_token(*byte));
    if !is_speakable || head.target().is_empty() || split.oddities.missing_empty_line {
        return Err(Unread { status: 400, verdict });
    }
    judge(length, verdict, mode, head).map(Some)
}

fn too_large(status: u16) -> Unread {
    Unread { status, verdict: Verdict { why: None, body: Body::None } }
}

/// AWS: a request line beyond its limit is answered 414, a header beyond its own 400.
fn within_limits(head: &[u8]) -> Result<(), Unread> {
    // Nothing can be too long in a head that is shorter than the shortest limit.
    if head.len() <= limits::REQUEST_LINE_BYTES {
        return Ok(());
    }
    let mut lines = head.split(|byte| *byte == b'\n').skip_while(|line| line.trim_ascii().is_empty());
    let first = lines.next().map_or(0, <[u8]>::len);
    if first > limits::REQUEST_LINE_BYTES + 1 {
        return Err(too_large(414));
    }
    let is_long = lines.any(|line| line.len() > limits::REQUEST_HEADER_BYTES + 1);
    match is_long || head.len() - first > limits::REQUEST_HEADERS_BYTES {
        true => Err(too_large(400)),
        false => Ok(()),
    }
}

/// Behind the empty line.
pub fn end_of_head(input: &[u8]) -> Option<usize> {
    memchr::memchr_iter(b'\n', input).find_map(|at| match &input[at + 1..] {
        [b'\n', ..] => Some(at + 2),
        [b'\r', b'\n', ..] => Some(at + 3),
        _ => None,
    })
}

fn has_bare_line_feed(head: &[u8]) -> bool {
    memchr::memchr_iter(b'\n', head).any(|at| at == 0 || head[at - 1] != b'\r')
}

fn escaped(byte: u8) -> impl Iterator<Item = u8> {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let is_plain = byte > b' ' && byte != 127;
    let long = [b'%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]];
    let (bytes, count) = if is_plain { ([byte, 0, 0], 1) } else { (long, 3) };
    bytes.into_iter().take(count)
}

/// A value on one line, without what may not be passed on.
fn unfolded(value: &[u8]) -> Vec<u8> {
    let plain = value.iter().map(|byte| if byte.is_ascii_control() && *byte != b'\t' { b' ' } else { *byte });
    plain.collect()
}

pub fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &str) -> Result<(Head, Read), u16> {
        let mut head = Head::default();
        match read(input.as_bytes(), &mut head, Desync::Defensive) {
            Ok(Some(read)) => Ok((head, read)),
            Ok(None) => Err(0),
            Err(unread) => Err(unread.status),
        }
    }

    #[test]
    fn a_head_is_read_into_its_parts() {
        let (head, read) = check("GET /a?b HTTP/1.1\r\nHost: x\r\nEmpty:\r\n\r\nrest").unwrap();
        assert_eq!((head.method(), head.target(), head.host()), (&b"GET"[..], &b"/a?b"[..], Some(&b"x"[..])));
        assert_eq!((read.length, head.fields.get("empty")), (38, Some(&b""[..])));
        assert_eq!(check("GET / HT").unwrap_err(), 0);
    }

    #[test]
    fn odd_heads_are_written_anew() {
        let (head, read) = check("GET /a b HTTP/1.1\r\nHost: x\r\nX y: 1\r\n\r\n").unwrap();
        assert_eq!((head.target(), head.fields.len()), (&b"/a%20b"[..], 1));
        assert!(read.verdict.why.is_some());
        let (head, read) = check("GET / HTTP/1.1\r\nHost: x\r\nA: 1\r\n 2\r\n\r\n").unwrap();
        assert!(!head.fields.get("a").unwrap().iter().any(u8::is_ascii_control));
        assert!(read.closes);
    }

    #[test]
    fn what_is_too_long_has_its_answer() {
        let long = "a".repeat(20_000);
        assert_eq!(check(&format!("GET /{long}")).unwrap_err(), 414);
        assert_eq!(check(&format!("GET / HTTP/1.1\r\nA: {long}\r\n\r\n")).unwrap_err(), 400);
        let many: String = (0..70).map(|at| format!("A{at}: {}\r\n", "b".repeat(1000))).collect();
        assert_eq!(check(&format!("GET / HTTP/1.1\r\n{many}")).unwrap_err(), 400);
        assert_eq!(check(&format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(400))).unwrap_err(), 400);
    }

    #[test]
    fn what_is_no_http_is_refused() {
        assert_eq!(check("\u{16}\u{3}\u{1}garbage\r\n\r\n").unwrap_err(), 400);
        assert_eq!(check("PRI * HTTP/2.0\r\n\r\n").unwrap_err(), 505);
    }

    /// Whatever comes: what is accepted can be written down as one head, and what follows it is not
    /// looked at.
    #[test]
    fn no_bytes_make_a_head_that_is_two() {
        const SEEDS: [&[u8]; 4] = [
            b"GET /a?b HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\nGET / HTTP/1.1\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
            b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\nX: a\r\n b\r\n\r\n0\r\n\r\n",
            b"PUT http://x/y HTTP/1.1\nHost: x\nContent-Type: a/b;\n\tc=d\n\n",
        ];
        const ODD: &[u8] = b"\r\n\0\t :;,/?#%HTTP1.0\x0b\x7f\x80\xff-_\"";
        let mut chance = base::Chance::new(11);
        let mut head = Head::default();
        for _ in 0..60_000 {
            let mut input = SEEDS[chance.below(SEEDS.len() as u64) as usize].to_vec();
            for _ in 0..=chance.below(4) {
                if input.is_empty() {
                    break;
                }
                let at = chance.below(input.len() as u64) as usize;
                let odd = ODD[chance.below(ODD.len() as u64) as usize];
                match chance.below(4) {
                    0 => input[at] = odd,
                    1 => input.insert(at, odd),
                    2 => drop(input.remove(at)),
                    _ => input.truncate(at.max(1)),
                }
            }
            let Ok(Some(read)) = read(&input, &mut head, Desync::Monitor) else { continue };
            let shown = String::from_utf8_lossy(&input).into_owned();
            assert!(read.length <= input.len(), "{shown:?}");
            assert!(head.method().iter().all(|byte| is_token(*byte)), "{shown:?}");
            let is_target = |byte: &u8| *byte > b' ' && *byte != 127;
            assert!(!head.target().is_empty() && head.target().iter().all(is_target), "{shown:?}");
            for (name, value) in head.fields.iter() {
                assert!(!name.is_empty() && name.iter().all(|byte| is_token(*byte)), "{shown:?}");
                assert!(!value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)), "{shown:?}");
            }
            let alone = super::read(&input[..read.length], &mut head, Desync::Monitor);
            assert_eq!(alone, Ok(Some(read)), "{shown:?}");
        }
    }
}
