//! Tokens of JSON text: a cursor that knows the grammar and no schema.

use std::borrow::Cow;

use crate::flow::{MAX_DEPTH, ReadError};

pub struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    pub fn new(text: &'a str) -> Scanner<'a> {
        Scanner { text, at: 0 }
    }

    /// The next byte that is not white space, not consumed; 0 at the end.
    pub fn peek(&mut self) -> u8 {
        let bytes = self.text.as_bytes();
        while let Some(byte) = bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return *byte;
            }
            self.at += 1;
        }
        0
    }

    pub fn is_at_end(&mut self) -> bool {
        self.peek();
        self.at == self.text.len()
    }

    /// Consumes `byte` if it comes next.
    pub fn take(&mut self, byte: u8) -> bool {
        let comes = self.peek() == byte && self.at < self.text.len();
        self.at += usize::from(comes);
        comes
    }

    pub fn expect(&mut self, byte: u8) -> Result<(), ReadError> {
        if self.take(byte) { Ok(()) } else { Err(self.unexpected()) }
    }

    pub fn unexpected(&self) -> ReadError {
        match self.text[self.at..].chars().next() {
            Some(found) => ReadError::syntax(format!("Unexpected character {found:?} at offset {}", self.at)),
            None => ReadError::syntax("Unexpected end of the body"),
        }
    }

    /// `true`, `false` or `null`.
    pub fn word(&mut self, word: &str) -> Result<(), ReadError> {
        self.peek();
        if self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            self.at += word.len();
            return Ok(());
        }
        Err(self.unexpected())
    }

    /// A string, unescaped; borrowed where it holds no escape.
    pub fn string(&mut self) -> Result<Cow<'a, str>, ReadError> {
        self.expect(b'"')?;
        let start = self.at;
        let stop = self.plain_end()?;
        self.at = stop;
        if self.text.as_bytes()[stop] == b'"' {
            self.at += 1;
            return Ok(Cow::Borrowed(&self.text[start..stop]));
        }
        let mut value = String::with_capacity(stop - start + 16);
        value.push_str(&self.text[start..stop]);
        loop {
            if self.text.as_bytes()[self.at] == b'"' {
                self.at += 1;
                return Ok(Cow::Owned(value));
            }
            self.at += 1;
            value.push(self.escape()?);
            let stop = self.plain_end()?;
            value.push_str(&self.text[self.at..stop]);
            self.at = stop;
        }
    }

    /// Where the next quote or backslash stands.
    fn plain_end(&self) -> Result<usize, ReadError> {
        let rest = &self.text.as_bytes()[self.at..];
        let Some(length) = memchr::memchr2(b'"', b'\\', rest) else {
            return Err(ReadError::syntax("Unexpected end of the body"));
        };
        // No early exit: so the compiler looks at many bytes at once.
        let lowest = rest[..length].iter().fold(u8::MAX, |lowest, byte| lowest.min(*byte));
        if lowest > 0x1f {
            return Ok(self.at + length);
        }
        let at = rest.iter().position(|byte| *byte <= 0x1f).unwrap_or_default();
        Err(ReadError::syntax(format!("Control character in a string at offset {}", self.at + at)))
    }

    /// The character after a backslash.
    fn escape(&mut self) -> Result<char, ReadError> {
        let byte = self.text.as_bytes().get(self.at).copied();
        let letter = byte.ok_or_else(|| self.unexpected())?;
        let value = match letter {
            b'"' | b'\\' | b'/' => char::from(letter),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                self.at += 1;
                return self.unicode();
            }
            _ => return Err(self.unexpected()),
        };
        self.at += 1;
        Ok(value)
    }

    fn unicode(&mut self) -> Result<char, ReadError> {
        let first = self.hex()?;
        let code = match first {
            0xd800..=0xdbff => {
                let rest = &self.text.as_bytes()[self.at..];
                if !rest.starts_with(b"\\u") {
                    return Err(ReadError::syntax("Half of a surrogate pair in a string"));
                }
                self.at += 2;
                let second = self.hex()?;
                if !(0xdc00..=0xdfff).contains(&second) {
                    return Err(ReadError::syntax("Half of a surrogate pair in a string"));
                }
                0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)
            }
            _ => first,
        };
        char::from_u32(code).ok_or_else(|| ReadError::syntax("Half of a surrogate pair in a string"))
    }

    fn hex(&mut self) -> Result<u32, ReadError> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4);
        let mut code = 0;
        for digit in digits.ok_or_else(|| ReadError::syntax("Unexpected end of the body"))? {
            let digit = char::from(*digit).to_digit(16).ok_or_else(|| self.unexpected())?;
            code = code * 16 + digit;
        }
        self.at += 4;
        Ok(code)
    }

    /// The text of a number, checked against the grammar.
    pub fn number(&mut self) -> Result<&'a str, ReadError> {
        self.peek();
        let start = self.at;
        let bytes = self.text.as_bytes();
        self.at += usize::from(bytes.get(self.at) == Some(&b'-'));
        match bytes.get(self.at) {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        if bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(bytes.get(self.at), Some(b'e' | b'E')) {
            self.at += 1;
            self.at += usize::from(matches!(bytes.get(self.at), Some(b'+' | b'-')));
            self.digits()?;
        }
        Ok(&self.text[start..self.at])
    }

    fn digits(&mut self) -> Result<(), ReadError> {
        let rest = &self.text.as_bytes()[self.at..];
        let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        if count == 0 { Err(self.unexpected()) } else { Ok(()) }
    }

    /// Passes over one value of any type that stands `depth` levels deep. Keeps its own stack.
    pub fn skip(&mut self, depth: usize) -> Result<(), ReadError> {
        let mut is_object = [false; MAX_DEPTH];
        let mut open = 0;
        loop {
            match self.peek() {
                bracket @ (b'{' | b'[') => {
                    self.at += 1;
                    if depth + open >= MAX_DEPTH {
                        return Err(ReadError::TooDeep);
                    }
                    is_object[open] = bracket == b'{';
                    open += 1;
                    if !self.take(if bracket == b'{' { b'}' } else { b']' }) {
                        if bracket == b'{' {
                            self.key()?;
                        }
                        continue;
                    }
                    open -= 1;
                }
                b'"' => {
                    self.string()?;
                }
                b't' => self.word("true")?,
                b'f' => self.word("false")?,
                b'n' => self.word("null")?,
                _ => {
                    self.number()?;
                }
            }
            // A value has ended: close what ends with it, or go on to its sibling.
            loop {
                if open == 0 {
                    return Ok(());
                }
                let in_object = is_object[open - 1];
                if self.take(b',') {
                    if in_object {
                        self.key()?;
                    }
                    break;
                }
                self.expect(if in_object { b'}' } else { b']' })?;
                open -= 1;
            }
        }
    }

    /// A key and its colon.
    pub fn key(&mut self) -> Result<Cow<'a, str>, ReadError> {
        let key = self.string()?;
        self.expect(b':')?;
        Ok(key)
    }
}
