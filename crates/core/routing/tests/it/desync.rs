//! Heads as nobody would write them.

use core_routing::desync::{Body, Class, Oddities, RawHeader, RequestLine, Why, classify, split};
use proptest::prelude::*;

fn header() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let name = prop_oneof![
        Just(b"Content-Length".to_vec()),
        Just(b"content-length".to_vec()),
        Just(b"Transfer-Encoding".to_vec()),
        Just(b"Host".to_vec()),
        "[A-Za-z -]{0,18}".prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 0..20),
    ];
    let value = prop_oneof![
        "[0-9]{1,3}".prop_map(String::into_bytes),
        Just(b"chunked".to_vec()),
        Just(b"identity".to_vec()),
        "[0-9a-z,+ ]{0,12}".prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 0..20),
    ];
    (name, value)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// What is not dangerous says one thing about its body, in one way.
    #[test]
    fn a_harmless_head_has_one_reading(
        is_get in any::<bool>(),
        headers in prop::collection::vec(header(), 0..6),
    ) {
        let line = RequestLine { method: if is_get { b"GET" } else { b"POST" }, target: b"/", version: b"HTTP/1.1" };
        let raw = headers.iter().map(|(name, value)| RawHeader { name, value });
        let verdict = classify(line, raw, Oddities::default());
        if verdict.class() >= Class::Ambiguous {
            return Ok(());
        }
        // As a reader would see it that takes letters alone for a name.
        let letters = |name: &[u8]| -> Vec<u8> {
            name.iter().filter(|byte| byte.is_ascii_alphabetic()).map(u8::to_ascii_lowercase).collect()
        };
        let of = |wanted: &[u8]| headers.iter().filter(|(name, _)| letters(name) == wanted).collect::<Vec<_>>();
        let (lengths, encodings) = (of(b"contentlength"), of(b"transferencoding"));
        prop_assert!(lengths.len() <= 1);
        match verdict.body {
            Body::None => prop_assert!(lengths.is_empty()),
            Body::Length(length) => {
                prop_assert!(encodings.is_empty());
                let text = String::from_utf8(lengths[0].1.clone()).unwrap();
                prop_assert_eq!(text.trim_matches([' ', '\t']).parse::<u64>().ok(), Some(length));
            }
            Body::Chunked => {
                prop_assert!(lengths.is_empty() && !is_get);
                let chunked = encodings.iter().filter(|(_, value)| value.to_ascii_lowercase().windows(7).any(|seven| seven == b"chunked"));
                prop_assert_eq!(chunked.count(), 1);
            }
        }
    }

    /// Any bytes are split without a panic, and every part lies in them.
    #[test]
    fn anything_can_be_split(bytes in prop::collection::vec(prop_oneof![any::<u8>(), Just(b'\r'), Just(b'\n'), Just(b' '), Just(b':')], 0..200)) {
        let head = split(&bytes);
        let range = bytes.as_ptr_range();
        let is_within = |part: &[u8]| part.is_empty() || (range.contains(&part.as_ptr()) && part.len() <= bytes.len());
        prop_assert!([head.line.method, head.line.target, head.line.version].into_iter().all(is_within));
        prop_assert!(head.headers.iter().all(|header| is_within(header.name) && is_within(header.value)));
        let _ = classify(head.line, head.headers.iter().copied(), head.oddities);
    }

    /// A head as it should be is split into what it was made of.
    #[test]
    fn a_sound_head_is_split_as_it_was_put_together(
        target in "/[a-z/?=&]{0,20}",
        headers in prop::collection::vec(("[A-Z][a-z-]{0,12}", "[a-z0-9;=,]([a-z0-9 ;=,]{0,12}[a-z0-9;=,])?"), 0..8),
    ) {
        let lines: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let text = format!("GET {target} HTTP/1.1\r\n{lines}\r\n");
        let head = split(text.as_bytes());
        prop_assert_eq!(head.line, RequestLine { method: b"GET", target: target.as_bytes(), version: b"HTTP/1.1" });
        prop_assert_eq!(head.oddities, Oddities::default());
        let got: Vec<(&[u8], &[u8])> = head.headers.iter().map(|header| (header.name, header.value)).collect();
        let expected: Vec<(&[u8], &[u8])> =
            headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        prop_assert_eq!(got, expected);
    }
}

#[test]
fn letters_of_other_scripts_hide_no_framing() {
    let line = RequestLine { method: b"POST", target: b"/", version: b"HTTP/1.1" };
    for name in [
        "Transfer-Encod\u{131}ng",
        "Tran\u{17f}fer-Encoding",
        "Content-Length\u{a0}",
        "\u{feff}Content-Length",
        "\u{17f}Content-Length",
        "Conte\u{ff}\u{ff}\u{ff}\u{ff}\u{ff}\u{ff}\u{ff}\u{ff}\u{ff}\u{ff}\u{ff}\u{ff}\u{ff}\u{ff}\u{ff}nt-Length",
    ] {
        let header = RawHeader { name: name.as_bytes(), value: b"1" };
        let verdict = classify(line, [header].into_iter(), Oddities::default());
        assert_eq!(verdict.why, Some(Why::SuspiciousHeader), "{name}");
    }
    for name in ["X-Content-Length", "Content-Lengths", "Contentlengt", "Transfer-Encoding-X", "TE"] {
        let header = RawHeader { name: name.as_bytes(), value: b"1" };
        assert_eq!(classify(line, [header].into_iter(), Oddities::default()).why, None, "{name}");
    }
}
