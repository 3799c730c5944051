//! `ERROR "a phrase" -not ?either ?or`: all of the plain, none of the excluded, one of the optional.

use super::Unreadable;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Terms {
    all: Vec<String>,
    none: Vec<String>,
    any: Vec<String>,
}

impl Terms {
    pub fn matches(&self, message: &str) -> bool {
        let has = |term: &String| message.contains(term.as_str());
        self.all.iter().all(has)
            && !self.none.iter().any(has)
            && (self.any.is_empty() || self.any.iter().any(has))
    }
}

pub(super) fn parse(text: &str) -> Result<Terms, Unreadable> {
    let mut terms = Terms::default();
    let mut rest = text;
    while !rest.is_empty() {
        let (into, behind) = match rest.strip_prefix('-') {
            Some(behind) => (&mut terms.none, behind),
            None => match rest.strip_prefix('?') {
                Some(behind) => (&mut terms.any, behind),
                None => (&mut terms.all, rest),
            },
        };
        let (term, behind) = term(behind.trim_start())?;
        into.push(term);
        rest = behind.trim_start();
    }
    Ok(terms)
}

/// A quoted phrase or a word, and what follows it.
fn term(text: &str) -> Result<(String, &str), Unreadable> {
    if let Some(inner) = text.strip_prefix('"') {
        return quoted(inner);
    }
    let end = text.find(|c: char| c.is_whitespace() || c == '"').unwrap_or(text.len());
    let (word, behind) = text.split_at(end);
    let is_word = !word.is_empty() && word.chars().all(|c| c.is_alphanumeric() || c == '_');
    match is_word {
        true => Ok((word.to_owned(), behind)),
        false => Err(Unreadable(format!("Invalid character(s) in term '{word}'"))),
    }
}

/// What stands before the closing quote, with `\"` and `\\` read, and what follows it.
pub(super) fn quoted(inner: &str) -> Result<(String, &str), Unreadable> {
    let mut text = String::new();
    let mut chars = inner.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((text, &inner[at + 1..])),
            '\\' => match chars.next() {
                Some((_, escaped @ ('"' | '\\'))) => text.push(escaped),
                Some((_, other)) => text.extend(['\\', other]),
                None => break,
            },
            c => text.push(c),
        }
    }
    Err(Unreadable::at("a quotation mark is not closed"))
}
