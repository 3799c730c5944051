//! One text against one pattern.

use regex::bytes::{Regex, RegexBuilder};

use super::RouterError;
use crate::table::Pattern;

/// A compiled pattern. The common shapes are compared without looking for wildcards.
#[derive(Debug, Clone)]
pub(crate) enum Text {
    Any,
    Exact(Box<[u8]>),
    /// `/img/*`
    Prefix(Box<[u8]>),
    /// `*.example.com`
    Suffix(Box<[u8]>),
    Wild(Box<[Piece]>),
    Regex(Box<Regex>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Piece {
    Byte(u8),
    /// `?`
    One,
    /// `*`
    Many,
}

/// Whether case matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Case {
    Matters,
    Ignored,
}

/// Memory that a compiled expression may take: a condition has 128 characters at most, and the
/// largest that were tried stay far below.
const REGEX_BYTES: usize = 1 << 20;

/// Compiles an expression as rules have them: no look-around, no back references, as AWS has it.
/// Letters of other scripts are compared by their bytes.
pub(crate) fn regex(text: &str, case: Case) -> Result<Regex, RouterError> {
    RegexBuilder::new(text)
        .unicode(false)
        .case_insensitive(case == Case::Ignored)
        .size_limit(REGEX_BYTES)
        .dfa_size_limit(REGEX_BYTES)
        .build()
        .map_err(|source| RouterError::Regex { text: text.to_owned(), source: Box::new(source) })
}

impl Text {
    pub(crate) fn compile(pattern: &Pattern, case: Case) -> Result<Text, RouterError> {
        match pattern {
            Pattern::Wildcard(text) => Ok(Text::wildcard(text, case)),
            Pattern::Regex(text) => Ok(Text::Regex(Box::new(regex(text, case)?))),
        }
    }

    pub(crate) fn wildcard(text: &str, case: Case) -> Text {
        let mut pieces = Vec::with_capacity(text.len());
        let mut bytes = text.bytes();
        while let Some(byte) = bytes.next() {
            let piece = match byte {
                b'*' if pieces.last() == Some(&Piece::Many) => continue,
                b'*' => Piece::Many,
                b'?' => Piece::One,
                b'\\' => Piece::Byte(bytes.next().unwrap_or(b'\\')),
                byte => Piece::Byte(byte),
            };
            pieces.push(match (piece, case) {
                (Piece::Byte(byte), Case::Ignored) => Piece::Byte(byte.to_ascii_lowercase()),
                (piece, _) => piece,
            });
        }
        Text::shape(pieces)
    }

    fn shape(pieces: Vec<Piece>) -> Text {
        let literal = |pieces: &[Piece]| -> Option<Box<[u8]>> {
            let byte = |piece: &Piece| match piece {
                Piece::Byte(byte) => Some(*byte),
                Piece::One | Piece::Many => None,
            };
            pieces.iter().map(byte).collect()
        };
        if pieces.as_slice() == [Piece::Many] {
            return Text::Any;
        }
        if let Some(exact) = literal(&pieces) {
            return Text::Exact(exact);
        }
        if let Some(prefix) = pieces.strip_suffix(&[Piece::Many]).and_then(literal) {
            return Text::Prefix(prefix);
        }
        if let Some(suffix) = pieces.strip_prefix(&[Piece::Many]).and_then(literal) {
            return Text::Suffix(suffix);
        }
        Text::Wild(pieces.into())
    }

    /// Whether `text` fits whole (an expression: somewhere).
    pub(crate) fn fits(&self, text: &[u8], case: Case) -> bool {
        match self {
            Text::Any => true,
            Text::Exact(exact) => same(exact, text, case),
            Text::Prefix(prefix) => text.len() >= prefix.len() && same(prefix, &text[..prefix.len()], case),
            Text::Suffix(suffix) => {
                text.len() >= suffix.len() && same(suffix, &text[text.len() - suffix.len()..], case)
            }
            Text::Wild(pieces) => wild(pieces, text, case),
            Text::Regex(regex) => regex.is_match(text),
        }
    }
}

/// `known` is in lower case where case is ignored.
fn same(known: &[u8], text: &[u8], case: Case) -> bool {
    match case {
        Case::Matters => known == text,
        Case::Ignored => known.eq_ignore_ascii_case(text),
    }
}

fn wild(pieces: &[Piece], text: &[u8], case: Case) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where to go on when the last star has to stand for one byte more.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        let byte = if case == Case::Ignored { text[t].to_ascii_lowercase() } else { text[t] };
        match pieces.get(p) {
            Some(Piece::Many) => {
                star = Some((p, t));
                p += 1;
            }
            Some(Piece::One) => (p, t) = (p + 1, t + 1),
            Some(Piece::Byte(wanted)) if *wanted == byte => (p, t) = (p + 1, t + 1),
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    (p, t) = (at + 1, from + 1);
                }
                None => return false,
            },
        }
    }
    pieces[p..].iter().all(|piece| *piece == Piece::Many)
}
