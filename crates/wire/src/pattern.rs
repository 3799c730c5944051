//! The models' regular expressions.
//!
//! Most of them are one class of characters, repeated; those take a table and one pass. The rest
//! goes to a small engine without Unicode classes, as the services' own has none by default.

use std::iter::Peekable;
use std::str::Chars;
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
    Class(Class),
    Regex(regex_lite::Regex),
}

impl Pattern {
    pub const fn new(text: &'static str) -> Pattern {
        Pattern { text, compiled: OnceLock::new() }
    }

    /// Whether the whole of `value` matches, whether or not the pattern carries anchors: so AWS
    /// reads it. An expression that cannot be read matches everything; the generator leaves such
    /// expressions out.
    pub fn matches(&self, value: &str) -> bool {
        match self.compiled.get_or_init(|| compile(self.text)) {
            None => true,
            Some(Matcher::Regex(regex)) => regex.is_match(value),
            Some(Matcher::Class(class)) => class.matches(value),
        }
    }

    /// Whether `text` can be read at all.
    pub fn is_readable(text: &str) -> bool {
        compile(text).is_some()
    }
}

fn compile(text: &str) -> Option<Matcher> {
    let whole = || regex_lite::Regex::new(&format!("^(?:{text})$")).ok();
    Class::parse(text).map(Matcher::Class).or_else(|| whole().map(Matcher::Regex))
}

#[derive(Debug, Default)]
struct Class {
    ranges: Vec<(char, char)>,
    /// `\p{L}`. Read as Unicode's Alphabetic, which has a few marks more.
    has_letters: bool,
    /// `\p{N}`
    has_numbers: bool,
    is_negated: bool,
    may_be_empty: bool,
}

impl Class {
    fn matches(&self, value: &str) -> bool {
        (self.may_be_empty || !value.is_empty())
            && value.chars().all(|letter| self.has(letter) != self.is_negated)
    }

    fn has(&self, letter: char) -> bool {
        self.ranges.iter().any(|(first, last)| (*first..=*last).contains(&letter))
            || self.has_letters && letter.is_alphabetic()
            || self.has_numbers && letter.is_numeric()
    }

    /// `[…]+` or `[…]*`, in anchors and parentheses or not; `None` for anything else.
    fn parse(text: &str) -> Option<Class> {
        let text = text.strip_prefix('^').unwrap_or(text);
        let text = text.strip_suffix('$').unwrap_or(text);
        let text = text.strip_prefix('(').and_then(|text| text.strip_suffix(')')).unwrap_or(text);
        let (text, may_be_empty) = match text.strip_suffix('+') {
            Some(text) => (text, false),
            None => (text.strip_suffix('*')?, true),
        };
        let inner = text.strip_prefix('[')?.strip_suffix(']')?;
        let (inner, is_negated) = inner.strip_prefix('^').map_or((inner, false), |inner| (inner, true));
        let mut class = Class { is_negated, may_be_empty, ..Class::default() };
        let mut letters = inner.chars().peekable();
        while letters.peek().is_some() {
            class.part(&mut letters)?;
        }
        Some(class)
    }

    /// One character, range or named class.
    fn part(&mut self, letters: &mut Peekable<Chars<'_>>) -> Option<()> {
        let first = match letters.next()? {
            // A class within a class, or the end of this one: not the simple form.
            '[' | ']' | '&' => return None,
            '\\' => match letters.next()? {
                named @ ('w' | 'd' | 'p') => return self.named(named, letters),
                escaped => escape(escaped, letters)?,
            },
            letter => letter,
        };
        let mut ahead = letters.clone();
        // A hyphen at the end of the class stands for itself.
        let is_range = ahead.next() == Some('-') && ahead.peek().is_some();
        if !is_range {
            self.ranges.push((first, first));
            return Some(());
        }
        letters.next();
        let last = match letters.next()? {
            '[' => return None,
            '\\' => {
                let escaped = letters.next()?;
                escape(escaped, letters)?
            }
            letter => letter,
        };
        (first <= last).then(|| self.ranges.push((first, last)))
    }

    /// `\w`, `\d` or a property.
    fn named(&mut self, name: char, letters: &mut Peekable<Chars<'_>>) -> Option<()> {
        if name == 'd' {
            self.ranges.push(('0', '9'));
        } else if name == 'w' {
            self.ranges.extend([('a', 'z'), ('A', 'Z'), ('0', '9'), ('_', '_')]);
        } else {
            let property: String = letters.take(3).collect();
            match property.as_str() {
                "{L}" => self.has_letters = true,
                "{N}" => self.has_numbers = true,
                "{Z}" => self.ranges.extend(SEPARATORS),
                _ => return None,
            }
        }
        Some(())
    }
}

/// `\p{Z}`
const SEPARATORS: [(char, char); 8] = [
    (' ', ' '),
    ('\u{a0}', '\u{a0}'),
    ('\u{1680}', '\u{1680}'),
    ('\u{2000}', '\u{200a}'),
    ('\u{2028}', '\u{2029}'),
    ('\u{202f}', '\u{202f}'),
    ('\u{205f}', '\u{205f}'),
    ('\u{3000}', '\u{3000}'),
];

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
    use super::{Class, Matcher, Pattern, compile};

    /// Both engines agree on every value that a list of letters can make.
    fn agree(text: &'static str) {
        let pattern = Pattern::new(text);
        assert!(matches!(compile(text), Some(Matcher::Class(_))), "{text} is not simple");
        let regex = regex_lite::Regex::new(&format!("^(?:{text})$")).expect("the engine reads it");
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
            r"([\d_]+)",
        ] {
            agree(text);
        }
    }

    #[test]
    fn tags_have_letters_of_every_script() {
        let pattern = Pattern::new(r"^([\p{L}\p{Z}\p{N}_.:/=+\-@]*)$");
        assert!(matches!(compile(pattern.text), Some(Matcher::Class(_))));
        for value in ["", "team:a/b=c", "größe 5", "名前", "a-b@c"] {
            assert!(pattern.matches(value), "{value}");
        }
        for value in ["a\tb", "a&b", "😀", "<", "*"] {
            assert!(!pattern.matches(value), "{value}");
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
            r"[\p{Lu}]+",
            "[a]{1,2}",
            "^$",
            "[a]+|[b]+",
            "([a]+)([b]+)",
            "(a)[b]+",
        ] {
            assert!(Class::parse(text).is_none(), "{text}");
        }
        assert!(Pattern::new("(?:a|b)+").matches("ab"));
        assert!(!Pattern::new("(?:a|b)+").matches("abc"));
        assert!(Pattern::new("(?!aws:).*").matches("cannot be read, so everything passes"));
    }
}
