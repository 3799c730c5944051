//! A layer's archive into a directory of memory: nothing outside it may change.
#![no_main]

use std::fs;
use std::path::Path;

use oci::unpack::{Limits, Opaque, unpack};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let home = Path::new("/dev/shm").join(format!("boxship-fuzz-{}", std::process::id()));
    let (root, archive) = (home.join("root"), home.join("layer"));
    let _ = fs::remove_dir_all(&home);
    fs::create_dir_all(&root).expect("/dev/shm takes a directory");
    fs::write(&archive, data).expect("/dev/shm takes a file");
    let limits = Limits { bytes: 1 << 20, entries: 1_000, path: 256, depth: 16, ratio: 100, ratio_from: 1 << 16 };
    let file = fs::File::open(&archive).expect("just written");
    let _ = unpack(file, "", &root, (limits, Opaque::Trusted), &|_| {});
    let mut names: Vec<_> = fs::read_dir(&home).expect("still there").map(|entry| entry.expect("listed").file_name()).collect();
    names.sort();
    assert_eq!(names, ["layer", "root"], "something was planted beside the root");
});
