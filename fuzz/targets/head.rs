//! Heads of requests as a balancer takes them apart: the property of `core/routing`'s own tests.
#![no_main]

use core_routing::desync::{Body, Class, classify, split};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let head = split(data);
    let verdict = classify(head.line, head.headers.iter().copied(), head.oddities);
    if verdict.class() >= Class::Ambiguous {
        return;
    }
    let letters = |name: &[u8]| -> Vec<u8> {
        name.iter().filter(|byte| byte.is_ascii_alphabetic()).map(u8::to_ascii_lowercase).collect()
    };
    let count = |wanted: &[u8]| head.headers.iter().filter(|header| letters(header.name) == wanted).count();
    let (lengths, encodings) = (count(b"contentlength"), count(b"transferencoding"));
    match verdict.body {
        Body::None => assert_eq!(lengths, 0),
        Body::Length(_) => assert_eq!((lengths, encodings), (1, 0)),
        Body::Chunked => assert_eq!(lengths, 0),
    }
    let parts = [head.line.method, head.line.target];
    assert!(parts.iter().all(|part| !part.iter().any(|byte| matches!(byte, 0 | b'\r' | b'\n'))));
});
