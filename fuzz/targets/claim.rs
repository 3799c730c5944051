#![no_main]

#[path = "../../crates/wire/tests/it/fuzz.rs"]
#[allow(dead_code)]
mod bodies;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bodies::claim(data));
