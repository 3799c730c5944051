//! The class of a head.

use super::{Body, Oddities, RawHeader, RequestLine, Verdict, Why};

/// Looks at a head and says the worst about it, and where its body ends.
///
/// `headers` in the order in which they came. Nothing is allocated; a compliant head costs one pass
/// over its bytes.
pub fn classify<'a>(
    line: RequestLine<'a>,
    headers: impl Iterator<Item = RawHeader<'a>>,
    oddities: Oddities,
) -> Verdict {
    let mut worst = Worst::default();
    worst.see_oddities(oddities);
    request_line(line, &mut worst);
    let mut framing = Framing::default();
    for header in headers {
        one(header, &mut framing, &mut worst);
    }
    let body = framing.settle(line.method, &mut worst);
    Verdict { why: worst.0, body }
}

/// The first of the worst class.
#[derive(Default)]
struct Worst(Option<Why>);

impl Worst {
    fn see(&mut self, why: Why) {
        if self.0.is_none_or(|known| known.class() < why.class()) {
            self.0 = Some(why);
        }
    }

    fn see_oddities(&mut self, oddities: Oddities) {
        if oddities == Oddities::default() {
            return;
        }
        let seen = [
            (oddities.bare_line_feed, Why::NonCrLfLineTermination),
            (oddities.folded, Why::MultilineHeader),
            (oddities.missing_colon, Why::MissingHeaderColon),
            (oddities.empty_header, Why::EmptyHeader),
            (oddities.partial_line, Why::PartialHeaderLine),
            (oddities.missing_empty_line, Why::MissingLastEmptyLine),
        ];
        seen.into_iter().filter(|(is_there, _)| *is_there).for_each(|(_, why)| self.see(why));
    }
}

fn request_line(line: RequestLine<'_>, worst: &mut Worst) {
    if line.method.is_empty() || !line.method.iter().all(|byte| is_token(*byte)) {
        worst.see(Why::BadMethod);
    }
    if line.target.is_empty() {
        worst.see(Why::MissingUri);
    }
    if !is_graphic(line.target) {
        for byte in line.target {
            match byte {
                0 | b'\r' | b'\n' => worst.see(Why::BadUri),
                b' ' => worst.see(Why::SpaceInUri),
                // Bytes above 127 are as usual among old clients as spaces, and harm nobody.
                1..=31 | 127 => worst.see(Why::AmbiguousUri),
                _ => {}
            }
        }
    }
    version(line.version, worst);
}

fn version(version: &[u8], worst: &mut Worst) {
    match version {
        b"HTTP/1.1" | b"HTTP/1.0" => {}
        b"" => worst.see(Why::NonCompliantVersion),
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'2'..=b'9'] => worst.see(Why::NonCompliantVersion),
        other => {
            let trimmed: Vec<u8> = other.iter().copied().filter(|byte| *byte != b' ').collect();
            let is_spaced = matches!(trimmed.as_slice(), b"HTTP/1.1" | b"HTTP/1.0");
            worst.see(if is_spaced { Why::NonCompliantVersion } else { Why::BadVersion });
        }
    }
}

#[derive(Default)]
struct Framing {
    length: Option<u64>,
    is_chunked: bool,
    has_encoding: bool,
}

impl Framing {
    fn settle(self, method: &[u8], worst: &mut Worst) -> Body {
        // A payload of these has no defined semantics: servers differ in whether they read it.
        let is_bodiless = matches!(method, b"GET" | b"HEAD");
        if self.length.is_some() && self.has_encoding {
            worst.see(Why::BothTeClPresent);
        }
        if self.is_chunked {
            if is_bodiless {
                worst.see(Why::UndefinedTransferEncodingSemantics);
            }
            return Body::Chunked;
        }
        match self.length {
            Some(0) if is_bodiless => {
                worst.see(Why::GetHeadZeroContentLength);
                Body::Length(0)
            }
            Some(length) => {
                if is_bodiless {
                    worst.see(Why::UndefinedContentLengthSemantics);
                }
                Body::Length(length)
            }
            None => Body::None,
        }
    }
}

fn one(header: RawHeader<'_>, framing: &mut Framing, worst: &mut Worst) {
    match header.name.len() {
        14 if header.name.eq_ignore_ascii_case(b"content-length") => {
            return content_length(header.value, framing, worst);
        }
        17 if header.name.eq_ignore_ascii_case(b"transfer-encoding") => {
            return transfer_encoding(header.value, framing, worst);
        }
        _ => {}
    }
    name(header.name, worst);
    if is_printable(header.value) {
        return;
    }
    let mut rest = header.value;
    while let [byte, after @ ..] = rest {
        rest = after;
        match (byte, after) {
            // Where the header goes on in the next line, which whoever split the head has told.
            (b'\r', [b'\n', b' ' | b'\t', ..]) => rest = &after[1..],
            (b'\n', [b' ' | b'\t', ..]) => {}
            (0 | b'\r' | b'\n', _) => return worst.see(Why::BadHeader),
            (b'\t', _) => {}
            (1..=31 | 127..=255, _) => worst.see(Why::NonCompliantHeader),
            _ => {}
        }
    }
}

/// Whether all bytes print, spaces included. Without a branch, so that many are looked at at once.
fn is_printable(text: &[u8]) -> bool {
    text.iter().fold(true, |all, byte| all & (byte.wrapping_sub(b' ') < 0x5f))
}

/// Whether all bytes print and none is a space.
fn is_graphic(text: &[u8]) -> bool {
    text.iter().fold(true, |all, byte| all & (byte.wrapping_sub(b'!') < 0x5e))
}

/// Without the spaces and tabs around it, and nothing else: what other readers take for a space is
/// no space here.
fn trim(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = text {
        text = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

fn name(name: &[u8], worst: &mut Worst) {
    if name.iter().fold(!name.is_empty(), |all, byte| all & is_token(*byte)) {
        // Underscores and the like are fine in a name, but not in one that a lenient server would
        // read as one of the two that frame a body.
        if is_like_framing(name) {
            worst.see(Why::SuspiciousHeader);
        }
        return;
    }
    if name.iter().all(|byte| byte.is_ascii_whitespace()) {
        return worst.see(Why::EmptyHeader);
    }
    if name.iter().any(|byte| matches!(byte, 0 | b'\r' | b'\n')) {
        return worst.see(Why::BadHeader);
    }
    worst.see(if is_like_framing(name) { Why::SuspiciousHeader } else { Why::NonCompliantHeader });
}

fn content_length(value: &[u8], framing: &mut Framing, worst: &mut Worst) {
    // RFC 9110: a list of equal values may be taken as one value.
    for part in value.split(|byte| *byte == b',') {
        let part = trim(part);
        let Some(length) = number(part) else {
            return worst.see(Why::BadContentLength);
        };
        match framing.length {
            None => framing.length = Some(length),
            Some(known) if known == length => worst.see(Why::DuplicateContentLength),
            Some(_) => worst.see(Why::MultipleContentLength),
        }
    }
}

/// Digits alone: no sign, no hexadecimal, no spaces inside. At most 2^63 - 1, as others store it so.
fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 19 || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = text.iter().fold(0_u64, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    (number <= i64::MAX as u64).then_some(number)
}

fn transfer_encoding(value: &[u8], framing: &mut Framing, worst: &mut Worst) {
    framing.has_encoding = true;
    let mut after_chunked = framing.is_chunked;
    for part in value.split(|byte| *byte == b',') {
        let part = trim(part);
        if part.eq_ignore_ascii_case(b"chunked") {
            if after_chunked {
                worst.see(Why::MultipleTransferEncodingChunked);
            }
            (after_chunked, framing.is_chunked) = (true, true);
        } else if part.eq_ignore_ascii_case(b"identity") && !after_chunked {
            // AWS: the second of the two values that an ALB knows.
        } else {
            worst.see(Why::BadTransferEncoding);
        }
    }
}

/// Whether all are names of codings, and one of them is neither of the two that are understood.
pub(super) fn is_unsupported_coding<'a>(codings: impl IntoIterator<Item = &'a [u8]>) -> bool {
    let is_known =
        |part: &[u8]| part.eq_ignore_ascii_case(b"chunked") || part.eq_ignore_ascii_case(b"identity");
    let mut is_unsupported = false;
    for part in codings.into_iter().flat_map(|value| value.split(|byte| *byte == b',')).map(trim) {
        if part.is_empty() || !part.iter().all(|byte| is_token(*byte)) {
            return false;
        }
        is_unsupported |= !is_known(part);
    }
    is_unsupported
}

/// RFC 9110's `tchar`.
fn is_token(byte: u8) -> bool {
    TOKEN[usize::from(byte)]
}

static TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let c = byte as u8;
        table[byte] = c.is_ascii_alphanumeric()
            || matches!(
                c,
                b'!' | b'#'
                    | b'$'
                    | b'%'
                    | b'&'
                    | b'\''
                    | b'*'
                    | b'+'
                    | b'-'
                    | b'.'
                    | b'^'
                    | b'_'
                    | b'`'
                    | b'|'
                    | b'~'
            );
        byte += 1;
    }
    table
};

/// Whether a lenient reader could take the name for `Content-Length` or `Transfer-Encoding`: the
/// same letters in the same order once all else is left out, with the letters of other scripts that
/// become these when their case is changed.
fn is_like_framing(name: &[u8]) -> bool {
    // Most names are told apart by their length or their first letter.
    if name.len() < 13 {
        return false;
    }
    [Scripts::Folded, Scripts::LeftOut].into_iter().any(|scripts| {
        same_letters(name, b"contentlength", scripts) || same_letters(name, b"transferencoding", scripts)
    })
}

/// What a reader makes of letters that are not ASCII.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scripts {
    Folded,
    LeftOut,
}

fn same_letters(name: &[u8], letters: &[u8], scripts: Scripts) -> bool {
    let mut expected = letters.iter();
    let mut rest = name;
    while let [first, tail @ ..] = rest {
        let (letter, used) = match (first, tail) {
            (0x80.., _) if scripts == Scripts::LeftOut => {
                rest = tail;
                continue;
            }
            // U+0131 dotless i, U+0130 dotted I, U+017F long s, U+212A Kelvin.
            (0xc4, [0xb0 | 0xb1, ..]) => (b'i', 2),
            (0xc5, [0xbf, ..]) => (b's', 2),
            (0xe2, [0x84, 0xaa, ..]) => (b'k', 3),
            (byte, _) if byte.is_ascii_alphabetic() => (byte.to_ascii_lowercase(), 1),
            _ => {
                rest = tail;
                continue;
            }
        };
        if expected.next() != Some(&letter) {
            return false;
        }
        rest = &rest[used..];
    }
    expected.next().is_none()
}
