//! The chunked coding, read strictly: what a lenient reader would take for something else is an error.

use core_routing::Fields;

/// Digits of a chunk's size: 2^48 bytes are more than any chunk.
const SIZE_DIGITS: u8 = 12;
/// Bytes of extensions per chunk. They are not passed on.
const EXTENSION_BYTES: u16 = 256;
/// Bytes of all trailers.
const TRAILER_BYTES: usize = 8 * 1024;

/// Where in a chunked body a reader stands.
#[derive(Debug, Default)]
pub struct Decoder {
    state: State,
    trailers: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    Start,
    Size {
        digits: u8,
        size: u64,
    },
    /// Between the size and its line's end.
    Extension {
        size: u64,
        seen: u16,
    },
    SizeEnd(u64),
    Bytes(u64),
    BytesEnd,
    BytesEndFeed,
    Trailers,
    Done,
}

/// What a look at the input came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// That many bytes of the input, from its start, are framing and are done with.
    Skip(usize),
    /// That many bytes from its start are body, done with once they were copied and told by
    /// [`Decoder::copied`].
    Copy(usize),
    /// The body is whole; that many bytes of the input belong to it.
    End(usize),
}

/// Not the chunked coding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadChunk;

impl Decoder {
    /// Looks at input that is not empty.
    pub fn step(&mut self, input: &[u8]) -> Result<Step, BadChunk> {
        if let State::Bytes(left) = self.state {
            return Ok(Step::Copy(usize::try_from(left).unwrap_or(usize::MAX).min(input.len())));
        }
        for (at, byte) in input.iter().enumerate() {
            self.state = self.next(*byte)?;
            match self.state {
                State::Bytes(_) => return Ok(Step::Skip(at + 1)),
                State::Done => return Ok(Step::End(at + 1)),
                _ => {}
            }
        }
        Ok(Step::Skip(input.len()))
    }

    pub fn copied(&mut self, count: usize) {
        if let State::Bytes(left) = self.state {
            let left = left - count as u64;
            self.state = if left == 0 { State::BytesEnd } else { State::Bytes(left) };
        }
    }

    fn next(&mut self, byte: u8) -> Result<State, BadChunk> {
        Ok(match (self.state, byte) {
            (State::Start, _) => State::Size { digits: 1, size: digit(byte)? },
            (State::Size { size, .. }, b'\r') => State::SizeEnd(size),
            (State::Size { size, .. }, b';' | b' ' | b'\t') => State::Extension { size, seen: 0 },
            (State::Size { digits, size }, _) if digits < SIZE_DIGITS => {
                State::Size { digits: digits + 1, size: size * 16 + digit(byte)? }
            }
            (State::Extension { size, .. }, b'\r') => State::SizeEnd(size),
            (State::Extension { size, seen }, b'\t' | b' '..=b'~') if seen < EXTENSION_BYTES => {
                State::Extension { size, seen: seen + 1 }
            }
            (State::SizeEnd(0), b'\n') => State::Trailers,
            (State::SizeEnd(size), b'\n') => State::Bytes(size),
            (State::BytesEnd, b'\r') => State::BytesEndFeed,
            (State::BytesEndFeed, b'\n') => State::Start,
            (State::Trailers, _) => self.trailer(byte)?,
            _ => return Err(BadChunk),
        })
    }

    fn trailer(&mut self, byte: u8) -> Result<State, BadChunk> {
        if self.trailers.len() >= TRAILER_BYTES || (byte == b'\n' && self.trailers.last() != Some(&b'\r')) {
            return Err(BadChunk);
        }
        if byte != b'\n' && self.trailers.last() == Some(&b'\r') {
            return Err(BadChunk);
        }
        self.trailers.push(byte);
        let is_end = self.trailers == b"\r\n" || self.trailers.ends_with(b"\r\n\r\n");
        Ok(if is_end { State::Done } else { State::Trailers })
    }

    /// What came after the last chunk, but for fields that would frame, route or authenticate.
    pub fn trailers(&self) -> Result<Option<Fields>, BadChunk> {
        if self.trailers.len() <= 2 {
            return Ok(None);
        }
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let Ok(httparse::Status::Complete((_, parsed))) =
            httparse::parse_headers(&self.trailers, &mut headers)
        else {
            return Err(BadChunk);
        };
        let mut fields = Fields::default();
        for header in parsed.iter().filter(|header| may_trail(header.name)) {
            fields.add(header.name.as_bytes(), header.value);
        }
        Ok(Some(fields))
    }
}

fn may_trail(name: &str) -> bool {
    const FORBIDDEN: [&str; 14] = [
        "content-length",
        "transfer-encoding",
        "host",
        "connection",
        "keep-alive",
        "te",
        "trailer",
        "upgrade",
        "authorization",
        "cookie",
        "set-cookie",
        "content-encoding",
        "content-type",
        "content-range",
    ];
    !FORBIDDEN.iter().any(|forbidden| name.eq_ignore_ascii_case(forbidden))
        && !name.to_ascii_lowercase().starts_with("x-forwarded-")
}

fn digit(byte: u8) -> Result<u64, BadChunk> {
    (byte as char).to_digit(16).map(u64::from).ok_or(BadChunk)
}

/// Writes the line before a chunk.
pub fn write_size(size: usize, out: &mut Vec<u8>) {
    let digits = (usize::BITS - size.leading_zeros()).div_ceil(4).max(1);
    for at in (0..digits).rev() {
        out.push(b"0123456789abcdef"[(size >> (at * 4)) & 15]);
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Decodes in pieces of every size; all must agree.
    fn check(input: &[u8]) -> Result<(Vec<u8>, usize), BadChunk> {
        let whole = decode(input, input.len());
        for piece in 1..input.len() {
            assert_eq!(decode(input, piece), whole, "in pieces of {piece}");
        }
        whole
    }

    fn decode(input: &[u8], piece: usize) -> Result<(Vec<u8>, usize), BadChunk> {
        let (mut decoder, mut body, mut at) = (Decoder::default(), Vec::new(), 0);
        while at < input.len() {
            let seen = &input[at..input.len().min(at + piece)];
            match decoder.step(seen)? {
                Step::Skip(count) => at += count,
                Step::Copy(count) => {
                    body.extend_from_slice(&seen[..count]);
                    decoder.copied(count);
                    at += count;
                }
                Step::End(count) => {
                    decoder.trailers()?;
                    return Ok((body, at + count));
                }
            }
        }
        Ok((body, usize::MAX))
    }

    #[test]
    fn a_body_ends_where_it_says() {
        assert_eq!(check(b"3\r\nabc\r\n0\r\n\r\nGET"), Ok((b"abc".to_vec(), 13)));
        assert_eq!(
            check(b"1;a=\"b\"\r\na\r\n0A\r\n0123456789\r\n000\r\nx: y\r\n\r\n").map(|b| b.0.len()),
            Ok(11)
        );
        assert_eq!(check(b"5\r\nab"), Ok((b"ab".to_vec(), usize::MAX)));
    }

    #[test]
    fn what_others_might_read_otherwise_is_refused() {
        let bad: [&[u8]; 14] = [
            b"\r\n",
            b"3\nabc\r\n0\r\n\r\n",
            b"3\r\nabcd\r\n",
            b"3\r\nabc0\r\n",
            b"3\r\nabc\n0\r\n\r\n",
            b"0x3\r\nabc\r\n",
            b"-1\r\n",
            b"+3\r\nabc",
            b" 3\r\nabc",
            b"3;a\nb\r\nabc",
            b"3;a\rb\r\nabc",
            b"1234567890abc\r\n",
            b"0\r\nx: y\n\r\n",
            b"0\r\nx y\r\n\r\n",
        ];
        for input in bad {
            assert_eq!(check(input), Err(BadChunk), "{}", String::from_utf8_lossy(input));
        }
    }

    #[test]
    fn extensions_and_trailers_have_an_end() {
        let mut input = b"3;".to_vec();
        input.extend([b'a'; 400]);
        assert_eq!(decode(&input, 7), Err(BadChunk));
        let mut input = b"0\r\n".to_vec();
        input.extend(b"x: y\r\n".repeat(2_000));
        assert_eq!(decode(&input, 100), Err(BadChunk));
    }

    #[test]
    fn a_size_is_written_as_it_is_read() {
        for size in [0, 1, 15, 16, 255, 4096, 65535, 262_144] {
            let mut line = Vec::new();
            write_size(size, &mut line);
            assert_eq!(String::from_utf8_lossy(&line), format!("{size:x}\r\n"));
        }
    }
}
