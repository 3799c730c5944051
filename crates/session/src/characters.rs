//! Where to cut a stream of text.

/// How many of `bytes` to send now: all, but for a character that has only begun at the end.
/// Clients decode every message by itself. What is no UTF-8 is never held back.
pub fn whole(bytes: &[u8]) -> usize {
    let tail = bytes.len().saturating_sub(3);
    for at in (tail..bytes.len()).rev() {
        let needs = match bytes[at] {
            0xc2..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf4 => 4,
            // Goes on from an earlier byte.
            0x80..=0xbf => continue,
            _ => return bytes.len(),
        };
        return if at + needs > bytes.len() { at } else { bytes.len() };
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::whole;

    #[test]
    fn characters_stay_whole() {
        let check = |bytes: &[u8], expected: usize| assert_eq!(whole(bytes), expected, "{bytes:x?}");
        check(b"", 0);
        check(b"abc", 3);
        check("aä".as_bytes(), 3);
        check(&"aä".as_bytes()[..2], 1);
        check(&"a€".as_bytes()[..3], 1);
        check(&"a€".as_bytes()[..2], 1);
        check("a€".as_bytes(), 4);
        check(&"😀".as_bytes()[..3], 0);
        check("😀".as_bytes(), 4);
        // No UTF-8: goes as it is.
        check(b"a\xff", 2);
        check(b"\x80\x80\x80\x80", 4);
        check(b"a\xc0", 2);
    }
}
