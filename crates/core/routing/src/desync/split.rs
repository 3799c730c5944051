//! A head in its parts with every oddity kept: slower than a strict parser, and never refusing.

use super::{Oddities, RawHeader, RequestLine};

/// A head as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split<'a> {
    pub line: RequestLine<'a>,
    pub headers: Vec<RawHeader<'a>>,
    pub oddities: Oddities,
}

/// Whether a line of the head ends with a line feed alone.
pub fn has_bare_line_feed(head: &[u8]) -> bool {
    head.first() == Some(&b'\n') || head.windows(2).any(|pair| pair[1] == b'\n' && pair[0] != b'\r')
}

/// Splits a head: everything up to and with the empty line, as far as it came.
///
/// A folded line becomes part of its header's value as it stands, so that a classifier sees the
/// line end inside; whoever passes it on must put a space there.
pub fn split(head: &[u8]) -> Split<'_> {
    let mut oddities = Oddities { bare_line_feed: has_bare_line_feed(head), ..Oddities::default() };
    let mut at = 0;
    let line = request_line(next_line(head, &mut at, &mut oddities).unwrap_or_default());
    let mut headers: Vec<RawHeader<'_>> = Vec::new();
    let mut has_end = false;
    // Where the header began that a folded line goes on.
    let mut begun: Option<usize> = None;
    loop {
        let start = at;
        let Some(text) = next_line(head, &mut at, &mut oddities) else { break };
        if text.is_empty() {
            has_end = true;
            break;
        }
        if text.trim_ascii().is_empty() {
            oddities.empty_header = true;
            continue;
        }
        if matches!(text[0], b' ' | b'\t') {
            fold(head, begun, start + text.len(), &mut headers, &mut oddities);
            continue;
        }
        let Some(colon) = text.iter().position(|byte| *byte == b':') else {
            oddities.missing_colon = true;
            begun = None;
            continue;
        };
        oddities.empty_header |= colon == 0;
        begun = Some(start + colon + 1);
        headers.push(RawHeader { name: &text[..colon], value: trim(&text[colon + 1..]) });
    }
    oddities.missing_empty_line = !has_end;
    Split { line, headers, oddities }
}

fn fold<'a>(
    head: &'a [u8],
    begun: Option<usize>,
    end: usize,
    headers: &mut [RawHeader<'a>],
    oddities: &mut Oddities,
) {
    let (Some(begun), Some(last)) = (begun, headers.last_mut()) else {
        oddities.folded = true;
        return;
    };
    // AWS: Content-Type may be folded.
    oddities.folded |= !last.name.eq_ignore_ascii_case(b"content-type");
    last.value = trim(&head[begun..end]);
}

/// The next line without its end; `None` where nothing is left.
fn next_line<'a>(head: &'a [u8], at: &mut usize, oddities: &mut Oddities) -> Option<&'a [u8]> {
    let rest = head.get(*at..).filter(|rest| !rest.is_empty())?;
    let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
        oddities.partial_line = true;
        *at = head.len();
        return Some(rest);
    };
    *at += end + 1;
    let line = &rest[..end];
    Some(line.strip_suffix(b"\r").unwrap_or(line))
}

/// Between the first and the last space stands the target, whatever it holds.
fn request_line(text: &[u8]) -> RequestLine<'_> {
    let Some(first) = text.iter().position(|byte| *byte == b' ') else {
        return RequestLine { method: text, target: b"", version: b"" };
    };
    let (method, rest) = (&text[..first], &text[first + 1..]);
    // Where the version begins: the last ` HTTP/`, so that `HTTP/1.1 ` with a space behind it is
    // told from a target with spaces.
    let begins = (0..rest.len()).rev().find(|at| {
        let is_version = rest[*at..].get(..5).is_some_and(|text| text.eq_ignore_ascii_case(b"HTTP/"));
        is_version && (*at == 0 || rest[*at - 1] == b' ')
    });
    match begins {
        Some(0) => RequestLine { method, target: b"", version: rest },
        Some(at) => RequestLine { method, target: &rest[..at - 1], version: &rest[at..] },
        None => match rest.iter().rposition(|byte| *byte == b' ') {
            Some(last) => RequestLine { method, target: &rest[..last], version: &rest[last + 1..] },
            None => RequestLine { method, target: rest, version: b"" },
        },
    }
}

fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t' | b'\r' | b'\n', rest @ ..] = value {
        value = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}
