//! Which codes pass a health check: `200`, `200,202`, `200-299`.

/// The text's codes as inclusive ranges; `None` if it is none, or a code is out of `from..=to`.
pub fn parse(text: &str, from: u16, to: u16) -> Option<Vec<(u16, u16)>> {
    let code = |text: &str| {
        let code: u16 = text.parse().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()))?;
        (from..=to).contains(&code).then_some(code)
    };
    let range = |part: &str| match part.split_once('-') {
        Some((first, last)) => Some((code(first)?, code(last)?)).filter(|(first, last)| first <= last),
        None => code(part).map(|code| (code, code)),
    };
    text.split(',').map(range).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn codes_and_ranges() {
        for (text, expected) in [
            ("200", Some(vec![(200, 200)])),
            ("200,302", Some(vec![(200, 200), (302, 302)])),
            ("200-299", Some(vec![(200, 299)])),
            ("200-201,404", Some(vec![(200, 201), (404, 404)])),
            ("", None),
            ("200,", None),
            ("299-200", None),
            ("199", None),
            ("500", None),
            ("200-500", None),
            ("+200", None),
            ("2oo", None),
        ] {
            assert_eq!(super::parse(text, 200, 499), expected, "{text}");
        }
        assert_eq!(super::parse("0-99", 0, 99), Some(vec![(0, 99)]));
    }
}
