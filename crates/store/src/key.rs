//! Keys: text parts joined by a tab, so that prefix scans work and users of SQLite can read them.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

const SEPARATOR: char = '\t';

/// Where a record lives within its kind. Ordered as text. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Key(Arc<str>);

impl Key {
    /// The key of these parts. A control character inside a part becomes its Unicode picture
    /// (`\t` is `␉`), so no caller's text can reach over into another part.
    pub fn of(parts: &[&str]) -> Key {
        let length = parts.iter().map(|part| part.len() + 1).sum();
        let mut text = String::with_capacity(length);
        for (index, part) in parts.iter().enumerate() {
            if index > 0 {
                text.push(SEPARATOR);
            }
            push_part(&mut text, part);
        }
        Key(text.into())
    }

    /// The prefix of every key.
    pub fn all() -> Key {
        Key("".into())
    }

    /// A key as [`Key::as_str`] gave it.
    pub fn from_text(text: &str) -> Key {
        Key(text.into())
    }

    /// This key with one more part.
    #[must_use]
    pub fn child(&self, part: &str) -> Key {
        if self.0.is_empty() {
            return Key::of(&[part]);
        }
        let mut text = String::with_capacity(self.0.len() + part.len() + 1);
        text.push_str(&self.0);
        text.push(SEPARATOR);
        push_part(&mut text, part);
        Key(text.into())
    }

    pub fn parts(&self) -> impl Iterator<Item = &str> {
        self.0.split(SEPARATOR)
    }

    /// The last part; the whole of a key of one part.
    pub fn last(&self) -> &str {
        self.0.rsplit(SEPARATOR).next().unwrap_or_default()
    }

    /// Whether `prefix`'s parts are this key's first parts. Every key is under itself and under
    /// [`Key::all`].
    pub fn is_under(&self, prefix: &Key) -> bool {
        match self.0.strip_prefix(&*prefix.0) {
            Some(rest) => rest.is_empty() || prefix.0.is_empty() || rest.starts_with(SEPARATOR),
            None => false,
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.replace(SEPARATOR, "/"))
    }
}

fn push_part(text: &mut String, part: &str) {
    if part.bytes().all(|byte| byte >= 0x20) {
        return text.push_str(part);
    }
    text.extend(part.chars().map(|c| match u32::from(c) {
        code @ 0..0x20 => char::from_u32(0x2400 + code).unwrap_or(char::REPLACEMENT_CHARACTER),
        _ => c,
    }));
}

#[cfg(test)]
mod tests {
    use super::Key;

    #[test]
    fn a_part_cannot_reach_into_the_next() {
        let forged = Key::of(&["a\tb"]);
        assert_eq!(forged.parts().count(), 1);
        assert!(!forged.is_under(&Key::of(&["a"])));
    }

    #[test]
    fn prefixes_end_at_parts() {
        let key = Key::of(&["a", "bc", ""]);
        assert!(key.is_under(&key));
        assert!(key.is_under(&Key::all()));
        assert!(key.is_under(&Key::of(&["a", "bc"])));
        assert!(!key.is_under(&Key::of(&["a", "b"])));
        assert_eq!(Key::all().child("a").child("bc").child(""), key);
        assert_eq!(key.parts().collect::<Vec<_>>(), ["a", "bc", ""]);
    }
}
