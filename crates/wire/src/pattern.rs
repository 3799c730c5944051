//! The models' regular expressions.
//!
//! Most of them are one class of characters, repeated; those take a table and one pass. The rest
//! goes to a small engine without Unicode classes, as the services' own has none by default.

use std::sync::OnceLock;

/// A regular expression of a model, compiled when first needed.
#[derive(Debug)]
pub struct Pattern {
    pub text: &'static str,
    compiled: OnceLock<Option<Matcher>>,
}

#[derive(Debug)]
enum Matcher {
    /// Characters of a class, any number of them from a least one up.
    Class {
        ranges: Vec<(char, char)>,
        is_negated: bool,
        may_be_empty: bool,
    },
    Regex(regex_lite::Regex),
}

impl Pattern {
    pub const fn new(text: &'static str) -> Pattern {
        Pattern { text, compiled: OnceLock::new() }
    }

    /// Whether the whole of `value` matches, whether or not the pattern carries anchors: so AWS
    /// reads it. An expression that the engine cannot read matches everything; the generator
    /// leaves such expressions out.
    pub fn matches(&self, value: &str) -> bool {
        match self.compiled.get_or_init(|| compile(self.text)) {
            None => true,
            Some(Matcher::Regex(regex)) => regex.is_match(value),
            Some(Matcher::Class { ranges, is_negated, may_be_empty }) => {
                let is_in =
                    |letter: char| ranges.iter().any(|(first, last)| (*first..=*last).contains(&letter));
                (*may_be_empty || !value.is_empty())
                    && value.chars().all(|letter| is_in(letter) != *is_negated)
            }
        }
    }
}

fn compile(text: &str) -> Option<Matcher> {
    class(text).or_else(|| regex_lite::Regex::new(&format!("^(?:{text})$")).ok().map(Matcher::Regex))
}

/// `[…]+` or `[…]*`, anchored or not; `None` for anything else.
fn class(text: &str) -> Option<Matcher> {
    let text = text.strip_prefix('^').unwrap_or(text);
    let text = text.strip_suffix('$').unwrap_or(text);
    let (text, may_be_empty) = match text.strip_suffix('+') {
        Some(text) => (text, false),
        None => (text.strip_suffix('*')?, true),
    };
    let inner = text.strip_prefix('[')?.strip_suffix(']')?;
    let (inner, is_negated) = inner.strip_prefix('^').map_or((inner, false), |inner| (inner, true));

    let mut ranges = Vec::new();
    let mut letters = inner.chars().peekable();
    while let Some(letter) = letters.next() {
        let first = match letter {
            // A class within a class, or the end of this one: not the simple form.
            '[' | ']' | '&' => return None,
            '\\' => match letters.next()? {
                'w' => {
                    ranges.extend([('a', 'z'), ('A', 'Z'), ('0', '9'), ('_', '_')]);
                    continue;
                }
                'd' => {
                    ranges.push(('0', '9'));
                    continue;
                }
                escaped => escape(escaped, &mut letters)?,
            },
            letter => letter,
        };
        let mut ahead = letters.clone();
        let is_range = ahead.next() == Some('-') && ahead.peek().is_some();
        if !is_range {
            ranges.push((first, first));
            continue;
        }
        letters.next();
        let last = match letters.next()? {
            '[' => return None,
            '\\' => {
                let escaped = letters.next()?;
                escape(escaped, &mut letters)?
            }
            letter => letter,
        };
        if last < first {
            return None;
        }
        ranges.push((first, last));
    }
    Some(Matcher::Class { ranges, is_negated, may_be_empty })
}

/// The character after a backslash; `None` for a class of them.
fn escape(letter: char, rest: &mut impl Iterator<Item = char>) -> Option<char> {
    match letter {
        'u' | 'x' => {
            let count = if letter == 'u' { 4 } else { 2 };
            let digits: String = rest.take(count).collect();
            let is_whole = digits.len() == count;
            char::from_u32(u32::from_str_radix(&digits, 16).ok()?).filter(|_| is_whole)
        }
        't' => Some('\t'),
        'n' => Some('\n'),
        'r' => Some('\r'),
        letter if letter.is_ascii_alphanumeric() => None,
        letter => Some(letter),
    }
}

#[cfg(test)]
mod tests {
    use super::{Matcher, Pattern, class, compile};

    /// Both engines agree on every value that a list of letters can make.
    fn agree(text: &'static str) {
        let pattern = Pattern::new(text);
        assert!(matches!(compile(text), Some(Matcher::Class { .. })), "{text} is not simple");
        let regex = regex_lite::Regex::new(&format!("^(?:{text})$")).unwrap();
        for value in [
            "", "a", "Z", "0", "_", "-", ".", "/", ":", "*", "a-b", "a b", "\t", "ÿ", "Ā", "\n", "\\", "]",
            "^",
        ] {
            assert_eq!(pattern.matches(value), regex.is_match(value), "{text} on {value:?}");
        }
    }

    #[test]
    fn simple_classes_match_as_the_engine_does() {
        for text in [
            r"[\w+=,.@-]+",
            r"[\u0009\u000A\u000D\u0020-\u00FF]+",
            r"[\.\-_/#A-Za-z0-9]+",
            "[^:*]*",
            "[0-9]*",
            r"^[\w\-\.]+$",
            r"[\x00-\x7f]+",
            "[a-]+",
            r"[\d_]+",
        ] {
            agree(text);
        }
    }

    #[test]
    fn anything_else_goes_to_the_engine() {
        for text in [
            r"[\s\S]*",
            "[a-z]+[0-9]*",
            "a+",
            "[a[b]]+",
            "[a&&b]+",
            r"[\p{L}]+",
            "[a]{1,2}",
            "^$",
            "[a]+|[b]+",
        ] {
            assert!(class(text).is_none(), "{text}");
        }
        assert!(Pattern::new("(?:a|b)+").matches("ab"));
        assert!(!Pattern::new("(?:a|b)+").matches("abc"));
        assert!(Pattern::new("(?!aws:).*").matches("cannot be read, so everything passes"));
    }
}
