//! Blobs through their public surface, on a directory of the test's own.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base::Timestamp;
use blobs::{BlobError, Blobs, Digest, DigestError};
use bytes::Bytes;
use proptest::prelude::*;

fn home() -> (tempfile::TempDir, Blobs) {
    let dir = tempfile::tempdir().unwrap();
    let blobs = Blobs::open(dir.path()).unwrap();
    (dir, blobs)
}

#[expect(clippy::disallowed_methods, reason = "compared with times of files")]
fn hour_from_now() -> Timestamp {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp::EPOCH + now + Duration::from_secs(3600)
}

async fn content(blobs: &Blobs, digest: &Digest, range: Option<std::ops::Range<u64>>) -> Vec<u8> {
    let mut reader = blobs.read(digest, range).unwrap();
    let mut all = Vec::new();
    while let Some(chunk) = reader.next().await.unwrap() {
        all.extend_from_slice(&chunk);
    }
    assert_eq!(reader.remaining(), 0);
    all
}

#[test]
fn digests_are_strict() {
    let good = Digest::of(b"hello").to_string();
    assert_eq!(good, "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
    assert_eq!(good.parse::<Digest>().unwrap(), Digest::of(b"hello"));
    let sha512 = format!("sha512:{}", "0".repeat(128));
    assert_eq!(sha512.parse::<Digest>(), Err(DigestError::Unsupported("sha512".into())));
    let bad = [good.to_uppercase(), good[7..].into(), good[..70].into(), format!("{good}0"), " ".into()];
    for text in bad.iter().chain([&good.replace("2c", "2C"), &format!("{good}\n"), &"sha256:".into()]) {
        assert!(matches!(text.parse::<Digest>(), Err(DigestError::Malformed(_))), "{text:?}");
    }
}

proptest! {
    #[test]
    fn digest_parsing_never_panics(text in ".{0,100}") {
        if let Ok(digest) = text.parse::<Digest>() {
            prop_assert_eq!(digest.to_string(), text);
        }
    }
}

#[tokio::test]
async fn an_upload_shows_only_after_its_commit() {
    let (_dir, blobs) = home();
    let data = vec![7; 3_000_000];
    let digest = Digest::of(&data);
    let mut staged = blobs.stage("one").await.unwrap();
    for chunk in data.chunks(70_001) {
        staged.append(Bytes::copy_from_slice(chunk)).await.unwrap();
    }
    assert_eq!(staged.offset(), 3_000_000);
    assert!(!blobs.exists(&digest));
    blobs.commit(staged, digest).await.unwrap();
    assert_eq!(blobs.size(&digest).unwrap(), 3_000_000);
    assert_eq!(content(&blobs, &digest, None).await, data);
    assert_eq!(content(&blobs, &digest, Some(2_999_990..3_000_000)).await.len(), 10);
    assert!(matches!(blobs.read(&digest, Some(0..3_000_001)), Err(BlobError::Range { .. })));
    assert_eq!(blobs.staged_len("one"), None);
}

#[tokio::test]
async fn a_wrong_digest_leaves_nothing() {
    let (_dir, blobs) = home();
    let mut staged = blobs.stage("one").await.unwrap();
    staged.append(Bytes::from_static(b"hello")).await.unwrap();
    let refused = blobs.commit(staged, Digest::of(b"other")).await;
    assert!(matches!(refused, Err(BlobError::DigestMismatch { .. })));
    assert_eq!(blobs.list().unwrap(), []);
    assert_eq!(blobs.staged_len("one"), None);
}

#[tokio::test]
async fn uploads_go_on_where_they_stopped() {
    let (dir, blobs) = home();
    let mut staged = blobs.stage("one").await.unwrap();
    staged.append(Bytes::from_static(b"hel")).await.unwrap();
    staged.flush().await.unwrap();
    assert!(matches!(blobs.stage("one").await, Err(BlobError::Busy(_))));
    assert!(matches!(blobs.abort("one"), Err(BlobError::Busy(_))));
    drop(staged);
    let mut staged = blobs.resume("one").await.unwrap();
    assert_eq!(staged.offset(), 3);
    staged.append(Bytes::from_static(b"l")).await.unwrap();
    staged.flush().await.unwrap();
    drop(staged);
    // As after a restart: the hash state is gone.
    let blobs = Blobs::open(dir.path()).unwrap();
    let mut staged = blobs.resume("one").await.unwrap();
    assert_eq!(staged.offset(), 4);
    staged.append(Bytes::from_static(b"o")).await.unwrap();
    blobs.commit(staged, Digest::of(b"hello")).await.unwrap();
    assert_eq!(&blobs.bytes(&Digest::of(b"hello"), 10).unwrap()[..], b"hello");
    assert!(blobs.bytes(&Digest::of(b"hello"), 4).is_err());
}

#[tokio::test]
async fn unknown_and_malformed_uploads_are_refused() {
    let (_dir, blobs) = home();
    assert!(matches!(blobs.resume("none").await, Err(BlobError::NoUpload(_))));
    for id in ["", "../x", "a/b", "a.b", &"x".repeat(129)] {
        assert!(matches!(blobs.stage(id).await, Err(BlobError::UploadId(_))), "{id:?}");
        assert!(matches!(blobs.abort(id), Err(BlobError::UploadId(_))), "{id:?}");
    }
    assert!(!blobs.abort("none").unwrap());
    assert!(matches!(blobs.open_blob(&Digest::of(b"")), Err(BlobError::Missing(_))));
}

#[tokio::test]
async fn collection_spares_the_live_and_the_young() {
    let (_dir, blobs) = home();
    let kept = blobs.put_bytes(Bytes::from_static(b"kept")).await.unwrap();
    let lost = blobs.put_bytes(Bytes::from_static(b"lost!")).await.unwrap();
    assert_eq!(blobs.put_bytes(Bytes::from_static(b"kept")).await.unwrap(), kept);
    let young = blobs.collect(&|_| false, Timestamp::EPOCH).unwrap();
    assert_eq!(young.blobs, 0);
    let collected = blobs.collect(&|digest| *digest == kept, hour_from_now()).unwrap();
    assert_eq!((collected.blobs, collected.bytes), (1, 5));
    assert!(blobs.exists(&kept) && !blobs.exists(&lost));
    assert!(blobs.touch(&kept).unwrap() && !blobs.touch(&lost).unwrap());
    assert!(blobs.delete(&kept).unwrap() && !blobs.delete(&kept).unwrap());
}

#[tokio::test]
async fn abandoned_uploads_are_swept() {
    let (_dir, blobs) = home();
    let mut writing = blobs.stage("writing").await.unwrap();
    writing.append(Bytes::from_static(b"x")).await.unwrap();
    writing.flush().await.unwrap();
    drop(blobs.stage("idle").await.unwrap());
    assert_eq!(blobs.sweep_uploads(Timestamp::EPOCH).unwrap(), 0);
    assert_eq!(blobs.sweep_uploads(hour_from_now()).unwrap(), 1);
    assert_eq!((blobs.staged_len("writing"), blobs.staged_len("idle")), (Some(1), None));
}

#[tokio::test]
async fn a_full_disk_is_named_and_leaves_nothing() {
    let (dir, blobs) = home();
    // Every write to /dev/full fails as on a full disk.
    std::os::unix::fs::symlink("/dev/full", dir.path().join("uploads/one")).unwrap();
    let mut staged = blobs.stage("one").await.unwrap();
    staged.append(Bytes::from_static(b"x")).await.unwrap();
    assert!(matches!(staged.flush().await, Err(BlobError::Full(_))));
    drop(staged);
    assert!(std::fs::symlink_metadata(dir.path().join("uploads/one")).is_err());
}
