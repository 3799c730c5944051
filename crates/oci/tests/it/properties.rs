//! Whatever the bytes are: entries or an error, never a panic.

use oci::manifest::{Manifest, parse_config};
use oci::tar::{TarReader, TarWriter, WriteEntry};
use oci::unpack::Limits;
use proptest::prelude::*;

use crate::support::{file, is_root, unpack_bytes};

fn read_all(mut bytes: &[u8]) -> usize {
    let mut tar = TarReader::new(&mut bytes);
    let mut entries = 0;
    while let Ok(Some(_)) = tar.next_entry() {
        entries += 1;
        while let Ok(piece) = tar.data() {
            let len = piece.len();
            if len == 0 {
                break;
            }
            tar.consume(len);
        }
    }
    entries
}

/// An archive with some bytes of it changed, checksums mended so that fields are reached.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let paths = prop::collection::vec("[a-c./]{0,120}", 1..6);
    let damage = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12);
    (paths, damage, any::<bool>()).prop_map(|(paths, damage, mends)| {
        let mut writer = TarWriter::new(Vec::new());
        for path in &paths {
            let pax: [(&str, &[u8]); 1] = [("SCHILY.xattr.user.a", b"b")];
            writer.append(&WriteEntry { pax: &pax, ..file(path, "data") }).unwrap();
        }
        let mut bytes = writer.finish().unwrap();
        for (at, value) in damage {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if mends {
            for block in bytes.chunks_exact_mut(512) {
                if &block[257..262] == b"ustar" {
                    block[148..156].fill(b' ');
                    let sum: u64 = block.iter().map(|&b| u64::from(b)).sum();
                    block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
                }
            }
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_reader_takes_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..3000)) {
        read_all(&bytes);
    }

    #[test]
    fn the_reader_takes_damaged_archives(bytes in damaged()) {
        read_all(&bytes);
    }

    #[test]
    fn the_unpacker_stays_inside(bytes in damaged()) {
        if !is_root() {
            return Ok(());
        }
        let outer = tempfile::tempdir().unwrap();
        let root = outer.path().join("root");
        std::fs::create_dir(&root).unwrap();
        let limits = Limits { bytes: 1 << 20, ..Limits::default() };
        let _ = unpack_bytes(&bytes, &root, limits);
        prop_assert_eq!(std::fs::read_dir(outer.path()).unwrap().count(), 1);
    }

    #[test]
    fn written_archives_are_read_back(
        paths in prop::collection::vec("[a-z]{1,60}(/[a-z]{1,60}){0,4}", 1..8),
        data in prop::collection::vec(any::<u8>(), 0..2000),
        value in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut writer = TarWriter::new(Vec::new());
        for path in &paths {
            let pax: [(&str, &[u8]); 1] = [("SCHILY.xattr.user.a", &value)];
            writer.append(&WriteEntry { path, data: &data, pax: &pax, ..WriteEntry::default() }).unwrap();
        }
        let bytes = writer.finish().unwrap();
        let mut input = &bytes[..];
        let mut tar = TarReader::new(&mut input);
        for path in &paths {
            let entry = tar.next_entry().unwrap().unwrap();
            prop_assert_eq!(&entry.path, path.as_bytes());
            prop_assert_eq!(entry.size, data.len() as u64);
            prop_assert_eq!(&entry.xattrs, &vec![(b"user.a".to_vec(), value.clone())]);
            prop_assert_eq!(tar.data().unwrap(), &data[..]);
        }
        prop_assert!(tar.next_entry().unwrap().is_none());
    }

    #[test]
    fn manifests_take_any_text(text in ".{0,300}", bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Manifest::parse(None, text.as_bytes());
        let _ = Manifest::parse(Some(&text), &bytes);
        let _ = parse_config(&bytes, 1);
        if let Ok(reference) = text.parse::<oci::Reference>() {
            prop_assert_eq!(reference.to_string().parse::<oci::Reference>().unwrap(), reference);
        }
    }
}
