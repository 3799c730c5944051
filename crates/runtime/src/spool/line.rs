//! Bytes from a pipe into lines.

use super::MAX_LINE;

/// Collects one stream's bytes into lines. Holds at most [`MAX_LINE`] bytes.
#[derive(Debug, Default)]
pub struct Lines {
    rest: Vec<u8>,
}

impl Lines {
    /// Calls `emit(text, goes_on)` for every line that is complete, and for pieces of one that is
    /// too long.
    pub fn push(&mut self, mut bytes: &[u8], mut emit: impl FnMut(&[u8], bool)) {
        while !bytes.is_empty() {
            let room = MAX_LINE - self.rest.len();
            let end = bytes.iter().position(|b| *b == b'\n');
            match end {
                Some(end) if end <= room => {
                    if self.rest.is_empty() {
                        emit(&bytes[..end], false);
                    } else {
                        self.rest.extend_from_slice(&bytes[..end]);
                        emit(&self.rest, false);
                        self.rest.clear();
                    }
                    bytes = &bytes[end + 1..];
                }
                _ if bytes.len() > room => {
                    self.rest.extend_from_slice(&bytes[..room]);
                    emit(&self.rest, true);
                    self.rest.clear();
                    bytes = &bytes[room..];
                }
                _ => {
                    self.rest.extend_from_slice(bytes);
                    bytes = &[];
                }
            }
        }
        // A burst of long lines must not be held for the container's life.
        if self.rest.is_empty() && self.rest.capacity() > 4096 {
            self.rest = Vec::new();
        }
    }

    /// The stream ended: what is left is a line.
    pub fn finish(&mut self, mut emit: impl FnMut(&[u8], bool)) {
        if !self.rest.is_empty() {
            emit(&self.rest, false);
            self.rest = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &[&[u8]], expected: &[(&[u8], bool)]) {
        let mut lines = Lines::default();
        let mut seen: Vec<(Vec<u8>, bool)> = Vec::new();
        for bytes in input {
            lines.push(bytes, |text, goes_on| seen.push((text.to_vec(), goes_on)));
        }
        lines.finish(|text, goes_on| seen.push((text.to_vec(), goes_on)));
        let expected: Vec<_> = expected.iter().map(|(t, g)| (t.to_vec(), *g)).collect();
        assert!(seen == expected, "{} lines, expected {}", seen.len(), expected.len());
    }

    #[test]
    fn lines_come_whole() {
        check(&[b"a\nb", b"c\n\nd"], &[(b"a", false), (b"bc", false), (b"", false), (b"d", false)]);
    }

    #[test]
    fn nothing_is_no_line() {
        check(&[b""], &[]);
    }

    #[test]
    fn a_line_of_the_limit_is_whole_and_one_more_splits() {
        let mut fits = vec![b'x'; MAX_LINE];
        let line = fits.clone();
        fits.push(b'\n');
        check(&[&fits], &[(&line, false)]);
        let mut over = vec![b'x'; MAX_LINE + 1];
        over.push(b'\n');
        check(&[&over], &[(&line, true), (b"x", false)]);
    }
}
