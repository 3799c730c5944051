//! Manifests, indexes, configurations and names of images.
#![no_main]

use oci::manifest::{Manifest, parse_config};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(manifest) = Manifest::parse(None, data) {
        let _ = manifest.parts();
    }
    let _ = parse_config(data, 1);
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(reference) = text.parse::<oci::Reference>()
    {
        // What is shown reads as the same name.
        assert_eq!(reference.to_string().parse::<oci::Reference>().as_ref(), Ok(&reference));
    }
});
