//! Comparing a value with what a pattern says: numbers as numbers, texts with `*` at their ends.

use super::{Unreadable, terms};

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
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Wanted {
    text: String,
    is_open_before: bool,
    is_open_behind: bool,
    /// Set where the text stands without quotes and is a number.
    number: Option<f64>,
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
        let end = text.find(|c: char| c.is_whitespace() || ends.contains(&c)).unwrap_or(text.len());
        let (word, rest) = text.split_at(end);
        if word.starts_with('%') {
            return Err(Unreadable::regex());
        }
        match word.is_empty() {
            true => Err(Unreadable::at("a comparison has no value")),
            false => Ok((Wanted::of(word, number(word)), rest)),
        }
    }

    /// AWS: a star is a wildcard only at the beginning and the end.
    fn of(text: &str, number: Option<f64>) -> Self {
        let (is_open_before, inner) = strip(text.strip_prefix('*'), text);
        let (is_open_behind, inner) = strip(inner.strip_suffix('*'), inner);
        Wanted { text: inner.to_owned(), is_open_before, is_open_behind, number }
    }

    pub fn holds(&self, operator: Operator, found: &str) -> bool {
        let numbers = self.number.zip(number(found));
        match (operator, numbers) {
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
        match (self.is_open_before, self.is_open_behind) {
            (false, false) => found == self.text,
            (true, false) => found.ends_with(&self.text),
            (false, true) => found.starts_with(&self.text),
            (true, true) => found.contains(&self.text),
        }
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
