//! Pulls into a store of the test's own.

use std::fs;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use blobs::Digest;
use bytes::Bytes;
use oci::assemble::{Assembled, Recipe, assemble, layer};
use oci::manifest::{DOCKER_INDEX, ManifestError, OCI_INDEX, OCI_MANIFEST};
use oci::unpack::UnpackError;
use oci::{Content, Error, Event, Image, Options, Platform, Progress};
use serde_json::json;

use crate::support::{Shelf, file, is_root};

const NAME: &str = "localhost:5000/web:v1";

fn amd64() -> Platform {
    Platform::new("linux", "amd64")
}

fn two_layers() -> Assembled {
    let layers = [layer(&[file("a", "lower"), file("b", "lower")]), layer(&[file("a", "upper")])];
    let recipe = Recipe { cmd: vec!["/a".into()], ..Recipe::default() };
    assemble(&layers, &amd64(), &recipe)
}

async fn ensure(content: &Content, shelf: &Arc<Shelf>) -> Result<Image, Error> {
    content.ensure(&NAME.parse().unwrap(), &amd64(), shelf.clone(), Arc::new(())).await
}

fn store() -> (tempfile::TempDir, Content) {
    let dir = tempfile::tempdir().unwrap();
    let content = Content::open(dir.path(), Options::default()).unwrap();
    (dir, content)
}

fn count(dir: &tempfile::TempDir, sub: &str) -> usize {
    fs::read_dir(dir.path().join(sub)).unwrap().count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_pulls_fetch_each_layer_once() {
    if !is_root() {
        return;
    }
    let (dir, content) = store();
    let shelf = Arc::new(Shelf::default());
    shelf.put(NAME, &two_layers());
    let mut pulls = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (content, shelf) = (content.clone(), shelf.clone());
        pulls.spawn(async move { ensure(&content, &shelf).await.unwrap() });
    }
    let images = pulls.join_all().await;
    let image = &images[0];
    assert_eq!(image.config.config().as_ref().unwrap().cmd(), &Some(vec!["/a".to_owned()]));
    assert_eq!(fs::read_to_string(image.layers[0].join("a")).unwrap(), "lower");
    assert_eq!(fs::read_to_string(image.layers[1].join("a")).unwrap(), "upper");
    // At most a configuration for each, and two layers in all.
    assert!(shelf.blob_reads.load(Ordering::Relaxed) <= 8 + 2);
    assert_eq!((count(&dir, "layers"), count(&dir, "ingest"), count(&dir, "images")), (2, 0, 1));
    let digest = image.digest;
    drop(images);
    let reopened = Content::open(dir.path(), Options::default()).unwrap();
    assert_eq!(reopened.image(&digest).unwrap().layers.len(), 2);
    assert!(reopened.image(&Digest::of(b"other")).is_none());
}

#[tokio::test]
async fn progress_is_told() {
    #[derive(Default)]
    struct Told(Mutex<(u64, u64, usize, usize)>);
    impl Progress for Told {
        fn event(&self, event: Event<'_>) {
            let mut told = self.0.lock().unwrap();
            match event {
                Event::Layers(parts) => told.2 += parts.len(),
                Event::Received { bytes, .. } => told.0 += bytes,
                Event::Unpacked { bytes, .. } => told.1 += bytes,
                Event::Ready { .. } => told.3 += 1,
            }
        }
    }
    if !is_root() {
        return;
    }
    let (_dir, content) = store();
    let shelf = Arc::new(Shelf::default());
    let image = two_layers();
    shelf.put(NAME, &image);
    let total: u64 = image.blobs[1..].iter().map(|(part, _)| part.size).sum();
    let told = Arc::new(Told::default());
    content.ensure(&NAME.parse().unwrap(), &amd64(), shelf, told.clone()).await.unwrap();
    assert_eq!(*told.0.lock().unwrap(), (total, total, 2, 2));
}

#[tokio::test]
async fn unused_images_go_and_living_ones_stay() {
    if !is_root() {
        return;
    }
    let (dir, content) = store();
    let shelf = Arc::new(Shelf::default());
    shelf.put(NAME, &two_layers());
    let image = ensure(&content, &shelf).await.unwrap();
    let kept = content.remove_unused(&|digest| *digest == image.digest).unwrap();
    assert_eq!((kept.images, kept.layers), (0, 0));
    // Its record goes, its layers stay as long as it lives.
    assert_eq!(content.remove_unused(&|_| false).unwrap().layers, 0);
    assert!(image.layers[0].join("a").exists());
    drop(image);
    assert_eq!(content.remove_unused(&|_| false).unwrap().layers, 2);
    assert_eq!((count(&dir, "layers"), count(&dir, "ingest"), count(&dir, "images")), (0, 0, 0));
}

#[tokio::test]
async fn indexes_lead_to_the_platform() {
    if !is_root() {
        return;
    }
    let (_dir, content) = store();
    let shelf = Arc::new(Shelf::default());
    let image = two_layers();
    shelf.put("localhost:5000/web:inner", &image);
    let entry = |digest: Digest, architecture: &str| {
        json!({"mediaType": OCI_MANIFEST, "digest": digest, "size": image.manifest.len(),
               "platform": {"os": "linux", "architecture": architecture}})
    };
    let put = |entries: serde_json::Value| {
        let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries});
        shelf.put_manifest(NAME, OCI_INDEX, Bytes::from(index.to_string()));
    };
    put(json!([entry(Digest::of(b"x"), "arm64"), entry(image.digest, "amd64")]));
    assert_eq!(ensure(&content, &shelf).await.unwrap().digest, image.digest);
    put(json!([entry(Digest::of(b"x"), "arm64"), entry(Digest::of(b"y"), "s390x")]));
    let error = ensure(&content, &shelf).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "image Manifest does not contain descriptor matching platform 'linux/amd64'"
    );
}

#[tokio::test]
async fn an_image_for_another_processor_is_refused() {
    let (_dir, content) = store();
    let shelf = Arc::new(Shelf::default());
    shelf.put(NAME, &assemble(&[], &Platform::new("linux", "arm64"), &Recipe::default()));
    assert!(matches!(ensure(&content, &shelf).await, Err(Error::Platform(_))));
}

#[tokio::test]
async fn a_layer_with_another_diff_id_is_refused_and_leaves_nothing() {
    if !is_root() {
        return;
    }
    let (dir, content) = store();
    let shelf = Arc::new(Shelf::default());
    let (good, other) = (two_layers(), assemble(&[layer(&[file("x", "")])], &amd64(), &Recipe::default()));
    // The configuration of one with the layer of the other.
    let part =
        |n: &oci::manifest::Part| json!({"mediaType": n.media_type, "digest": n.digest, "size": n.size});
    let manifest = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST,
        "config": part(&other.blobs[0].0), "layers": [part(&good.blobs[1].0)]});
    shelf.put("localhost:5000/web:good", &good);
    shelf.put("localhost:5000/web:other", &other);
    shelf.put_manifest(NAME, OCI_MANIFEST, Bytes::from(manifest.to_string()));
    let error = ensure(&content, &shelf).await.unwrap_err();
    assert!(matches!(error, Error::Layer { source: UnpackError::DiffId { .. }, .. }), "{error:?}");
    assert_eq!((count(&dir, "layers"), count(&dir, "ingest"), count(&dir, "images")), (0, 0, 0));
}

#[tokio::test]
async fn confusing_manifests_are_refused() {
    let (_dir, content) = store();
    let shelf = Arc::new(Shelf::default());
    let check = async |media_type: &str, manifest: serde_json::Value| {
        shelf.put_manifest(NAME, media_type, Bytes::from(manifest.to_string()));
        match ensure(&content, &shelf).await.unwrap_err() {
            Error::Manifest(error) => error,
            other => panic!("{other:?}"),
        }
    };
    let both = json!({"schemaVersion": 2, "manifests": [], "layers": []});
    assert!(matches!(check(OCI_INDEX, both).await, ManifestError::Ambiguous));
    let lies = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "manifests": []});
    assert!(matches!(check(DOCKER_INDEX, lies).await, ManifestError::Disagrees { .. }));
    let old = json!({"schemaVersion": 1, "manifests": []});
    assert!(matches!(check(OCI_INDEX, old).await, ManifestError::Schema(1)));
    let schema1 = "application/vnd.docker.distribution.manifest.v1+prettyjws";
    assert!(matches!(check(schema1, json!({})).await, ManifestError::MediaType(_)));
    let sha512 = json!({"schemaVersion": 2, "layers": [], "config": {
        "mediaType": "x", "size": 1, "digest": format!("sha512:{}", "0".repeat(128))}});
    assert!(matches!(check(OCI_MANIFEST, sha512).await, ManifestError::Digest(_)));
    let long = "x".repeat(5 << 20);
    assert!(matches!(check(OCI_MANIFEST, json!(long)).await, ManifestError::TooLong));
    let deep = "[".repeat(10_000);
    shelf.put_manifest(NAME, OCI_MANIFEST, Bytes::from(deep));
    assert!(matches!(ensure(&content, &shelf).await, Err(Error::Manifest(ManifestError::Json(_)))));
}

#[tokio::test]
async fn an_unknown_image_is_not_found() {
    let (_dir, content) = store();
    let error = ensure(&content, &Arc::new(Shelf::default())).await.unwrap_err();
    assert_eq!(error.to_string(), "localhost:5000/web:v1: not found");
}

#[test]
fn a_store_sweeps_what_was_interrupted() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("ingest/7/fs/etc")).unwrap();
    fs::write(dir.path().join("ingest/8"), "part").unwrap();
    Content::open(dir.path(), Options::default()).unwrap();
    assert_eq!(count(&dir, "ingest"), 0);
}
