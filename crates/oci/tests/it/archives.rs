//! Archives into a sink.

use std::io::Read;

use blobs::Digest;
use oci::archive::{Sink, import};
use oci::assemble::{Assembled, Recipe, assemble, from_binary, layer, write_layout};
use oci::manifest::Part;
use oci::tar::{TarWriter, WriteEntry};
use oci::{Error, Platform};
use serde_json::json;

use crate::support::{file, temporary};

#[derive(Default)]
struct Bag {
    blobs: Vec<Digest>,
    manifests: Vec<(Vec<String>, Digest)>,
}

impl Sink for Bag {
    fn blob(&mut self, part: &Part, content: &mut dyn Read) -> Result<(), Error> {
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes).map_err(|e| Error::Archive(e.to_string()))?;
        assert_eq!(Digest::of(&bytes), part.digest);
        self.blobs.push(part.digest);
        Ok(())
    }

    fn manifest(&mut self, names: &[String], part: &Part, _bytes: &[u8]) -> Result<(), Error> {
        self.manifests.push((names.to_vec(), part.digest));
        Ok(())
    }
}

fn image() -> Assembled {
    let files: [(&str, &[u8]); 1] = [("www/index.html", b"hello")];
    from_binary("web", b"\x7fELF", &files, &Platform::new("linux", "amd64"), &Recipe::default())
}

fn archive(files: &[(&str, &[u8])]) -> std::fs::File {
    let mut writer = TarWriter::new(Vec::new());
    for (path, data) in files {
        writer.append(&WriteEntry { path, data, ..WriteEntry::default() }).unwrap();
    }
    temporary(&writer.finish().unwrap())
}

#[test]
fn equal_input_gives_equal_images() {
    assert_eq!(image().digest, image().digest);
}

#[test]
fn layouts_are_imported() {
    let mut bytes = Vec::new();
    write_layout(&image(), "example/web:v1", &mut bytes).unwrap();
    let mut bag = Bag::default();
    let images = import(temporary(&bytes), &mut bag).unwrap();
    assert_eq!(images, [(vec!["example/web:v1".to_owned()], image().digest)]);
    assert_eq!(bag.blobs.len(), 2);
    assert_eq!(bag.manifests, images);
}

#[test]
fn a_changed_layout_is_refused() {
    let mut bytes = Vec::new();
    write_layout(&image(), "web", &mut bytes).unwrap();
    let (_, content) = &image().blobs[1];
    let at = bytes.windows(content.len()).position(|window| window == content).unwrap();
    bytes[at + 20] ^= 1;
    let error = import(temporary(&bytes), &mut Bag::default()).unwrap_err();
    assert!(error.to_string().contains("does not match its digest"), "{error}");
}

#[test]
fn docker_archives_are_imported() {
    let layers = [layer(&[file("a", "1")]), layer(&[file("b", "2")])];
    let made = assemble(&layers, &Platform::new("linux", "amd64"), &Recipe::default());
    let manifest =
        json!([{"Config": "c.json", "RepoTags": ["web:v1"], "Layers": ["1/layer.tar", "2/layer.tar"]}]);
    let text = manifest.to_string();
    let config = &made.blobs[0].1;
    let files: [(&str, &[u8]); 4] = [
        ("c.json", config),
        ("1/layer.tar", &layers[0]),
        ("2/layer.tar", &layers[1]),
        ("manifest.json", text.as_bytes()),
    ];
    let mut bag = Bag::default();
    let images = import(archive(&files), &mut bag).unwrap();
    assert_eq!(images[0].0, ["web:v1"]);
    assert_eq!(bag.blobs, [made.blobs[0].0.digest, Digest::of(&layers[0]), Digest::of(&layers[1])]);
    let missing = import(archive(&files[1..]), &mut Bag::default()).unwrap_err();
    assert!(missing.to_string().contains("c.json is missing"), "{missing}");
}

#[test]
fn what_is_no_archive_is_refused() {
    let check = |bytes: &[u8], text: &str| {
        let error = import(temporary(bytes), &mut Bag::default()).unwrap_err();
        assert!(error.to_string().contains(text), "{error}");
    };
    check(b"", "neither index.json nor manifest.json");
    check(&[b'x'; 1024], "invalid tar header");
    check(&[0x1f, 0x8b, 8, 0], "it is compressed");
    let twice = layer(&[file("index.json", "{}"), file("index.json", "{}")]);
    check(&twice, "one of them twice");
    let whole = layer(&[file("index.json", &"x".repeat(5000))]);
    check(&whole[..2000], "ends in the middle");
}
