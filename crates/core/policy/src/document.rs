//! Documents as IAM answers them.

/// The text of a document that was encoded for a URL.
pub fn url_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let escaped = tail.get(..2).filter(|_| *first == b'%');
        let escaped = escaped.filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let escaped = escaped.and_then(|digits| std::str::from_utf8(digits).ok());
        match escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::url_decoded;

    #[test]
    fn documents_are_decoded() {
        assert_eq!(url_decoded("%7B%22a%22%3A%22%C3%A4%2B+%22%7D"), "{\"a\":\"ä++\"}");
        assert_eq!(url_decoded("100%"), "100%");
        assert_eq!(url_decoded("%zz%+1"), "%zz%+1");
    }
}
