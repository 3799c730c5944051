//! Comparing a value with what a pattern says: numbers as numbers, texts with `*` at their ends,
//! regular expressions between percent signs.

use regex_lite::{Regex, RegexBuilder};

use super::{Unreadable, terms};

/// What a compiled expression may take, in bytes.
const LARGEST_REGEX: usize = 64 << 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// The right side of a comparison.
#[derive(Debug, Clone)]
pub(super) enum Wanted {
    Text {
        text: String,
        is_open_before: bool,
        is_open_behind: bool,
        /// Set where the text stands without quotes and is a number.
        number: Option<f64>,
    },
    Matching(Regex),
}

impl Operator {
    /// The operator at the front, and what follows it.
    pub fn split(text: &str) -> Option<(Self, &str)> {
        // Longer ones first. AWS: `=!` is an older spelling of `!=`.
        let spelled = [
            ("!=", Operator::Unequal),
            ("=!", Operator::Unequal),
            ("<=", Operator::LessOrEqual),
            (">=", Operator::GreaterOrEqual),
            ("=", Operator::Equal),
            ("<", Operator::Less),
            (">", Operator::Greater),
        ];
        spelled.into_iter().find_map(|(spelling, operator)| Some((operator, text.strip_prefix(spelling)?)))
    }
}

impl Wanted {
    /// The value at the front, ending at a space or one of `ends`, and what follows it.
    pub fn split<'a>(text: &'a str, ends: &[char]) -> Result<(Self, &'a str), Unreadable> {
        if let Some(inner) = text.strip_prefix('"') {
            let (text, rest) = terms::quoted(inner)?;
            return Ok((Wanted::of(&text, None), rest));
        }
        if let Some(inner) = text.strip_prefix('%') {
            let (regex, rest) = regex(inner)?;
            return Ok((Wanted::Matching(regex), rest));
        }
        let end = text.find(|c: char| c.is_whitespace() || ends.contains(&c)).unwrap_or(text.len());
        let (word, rest) = text.split_at(end);
        match word.is_empty() {
            true => Err(Unreadable::at("a comparison has no value")),
            false => Ok((Wanted::of(word, number(word)), rest)),
        }
    }

    /// AWS: a star is a wildcard only at the beginning and the end.
    fn of(text: &str, number: Option<f64>) -> Self {
        let (is_open_before, inner) = strip(text.strip_prefix('*'), text);
        let (is_open_behind, inner) = strip(inner.strip_suffix('*'), inner);
        Wanted::Text { text: inner.to_owned(), is_open_before, is_open_behind, number }
    }

    pub fn holds(&self, operator: Operator, found: &str) -> bool {
        let wanted = match self {
            Wanted::Text { number, .. } => *number,
            Wanted::Matching(_) => None,
        };
        match (operator, wanted.zip(number(found))) {
            (Operator::Equal, Some((wanted, found))) => found == wanted,
            (Operator::Unequal, Some((wanted, found))) => found != wanted,
            (Operator::Equal, None) => self.fits(found),
            (Operator::Unequal, None) => !self.fits(found),
            (_, None) => false,
            (Operator::Less, Some((wanted, found))) => found < wanted,
            (Operator::LessOrEqual, Some((wanted, found))) => found <= wanted,
            (Operator::Greater, Some((wanted, found))) => found > wanted,
            (Operator::GreaterOrEqual, Some((wanted, found))) => found >= wanted,
        }
    }

    fn fits(&self, found: &str) -> bool {
        match self {
            Wanted::Matching(regex) => regex.is_match(found),
            Wanted::Text { text, is_open_before, is_open_behind, .. } => {
                match (is_open_before, is_open_behind) {
                    (false, false) => found == text,
                    (true, false) => found.ends_with(text),
                    (false, true) => found.starts_with(text),
                    (true, true) => found.contains(text),
                }
            }
        }
    }
}

/// The expression before the closing percent sign, and what follows it.
/// AWS: letters, digits, some symbols and operators; no groups.
pub(super) fn regex(inner: &str) -> Result<(Regex, &str), Unreadable> {
    let (expression, rest) =
        inner.split_once('%').ok_or_else(|| Unreadable::at("a regular expression is not closed"))?;
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || ":_#=@/;,-^$?[]{}|\\*+.".contains(c);
    if let Some(c) = expression.chars().find(|c| !is_allowed(*c)) {
        return Err(Unreadable::at(format_args!("a regular expression cannot have '{c}'")));
    }
    match RegexBuilder::new(expression).size_limit(LARGEST_REGEX).build() {
        Ok(regex) => Ok((regex, rest)),
        Err(_) => Err(Unreadable::at(format_args!("'{expression}' is no regular expression"))),
    }
}

fn strip<'a>(stripped: Option<&'a str>, whole: &'a str) -> (bool, &'a str) {
    (stripped.is_some(), stripped.unwrap_or(whole))
}

/// Decimal and scientific notation; neither `inf` nor `nan`.
fn number(text: &str) -> Option<f64> {
    let is_plain = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'));
    text.parse().ok().filter(|_| is_plain)
}
