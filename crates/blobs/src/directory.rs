//! The directory home: `sha256/<2 hex>/<64 hex>` for blobs, `uploads/<id>` for what is on its way.

use std::collections::HashMap;
use std::fs::{self, File, FileTimes};
use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base::Timestamp;
use bytes::Bytes;

use crate::staged::{Parked, Staged};
use crate::{BlobError, BlobReader, Digest, Hasher};

/// A handle on the directory; clones share it.
#[derive(Clone)]
pub struct Blobs {
    pub(crate) home: Arc<Home>,
}

/// One blob as [`Blobs::list`] finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    pub digest: Digest,
    /// Bytes.
    pub len: u64,
    /// When it was last committed or touched, by the clock of the file system.
    pub touched_at: Timestamp,
}

/// What a collection took away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Collected {
    pub blobs: usize,
    pub bytes: u64,
}

pub(crate) struct Home {
    root: PathBuf,
    /// Uploads that a [`Staged`] is writing now, and the hash states of those at rest.
    pub(crate) uploads: Mutex<HashMap<String, Parked>>,
    /// Held for reading while a blob is committed or touched, for writing while one is removed:
    /// a collection cannot take away what was just confirmed.
    removal: RwLock<()>,
}

impl Blobs {
    /// Opens or makes the home in `dir`. Blocking.
    pub fn open(dir: &Path) -> Result<Blobs, BlobError> {
        for sub in ["sha256", "uploads"] {
            let path = dir.join(sub);
            fs::create_dir_all(&path).map_err(|e| BlobError::io(&path, e))?;
        }
        sync_directory(dir)?;
        let home = Home { root: dir.to_owned(), uploads: Mutex::default(), removal: RwLock::default() };
        Ok(Blobs { home: Arc::new(home) })
    }

    /// Where the blob lies. The file is never written to.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.home.blob(digest)
    }

    /// The whole blob as a file, and its length in bytes. Quick, but touches the disk.
    pub fn open_blob(&self, digest: &Digest) -> Result<(File, u64), BlobError> {
        let path = self.home.blob(digest);
        let file = File::open(&path).map_err(|e| missing_or(digest, &path, e))?;
        let len = file.metadata().map_err(|e| BlobError::io(&path, e))?.len();
        Ok((file, len))
    }

    /// Length in bytes.
    pub fn size(&self, digest: &Digest) -> Result<u64, BlobError> {
        let path = self.home.blob(digest);
        fs::metadata(&path).map(|m| m.len()).map_err(|e| missing_or(digest, &path, e))
    }

    pub fn exists(&self, digest: &Digest) -> bool {
        self.home.blob(digest).exists()
    }

    /// Puts off the blob's collection by another grace period; false when there is no such blob.
    /// To be called before a client is told that it need not send it.
    pub fn touch(&self, digest: &Digest) -> Result<bool, BlobError> {
        let _kept = self.home.removal.read().unwrap_or_else(PoisonError::into_inner);
        touch(&self.home.blob(digest))
    }

    /// Streams `range` of the blob (all of it when `None`). An empty blob has only the empty range.
    pub fn read(&self, digest: &Digest, range: Option<Range<u64>>) -> Result<BlobReader, BlobError> {
        let (file, len) = self.open_blob(digest)?;
        let range = range.unwrap_or(0..len);
        if range.start > range.end || range.end > len {
            return Err(BlobError::Range { start: range.start, end: range.end, len });
        }
        Ok(BlobReader::new(file, self.home.blob(digest), range))
    }

    /// The blob in memory, for manifests and the like; `limit` in bytes guards the memory.
    pub fn bytes(&self, digest: &Digest, limit: u64) -> Result<Bytes, BlobError> {
        let (mut file, len) = self.open_blob(digest)?;
        if len > limit {
            return Err(BlobError::Range { start: 0, end: len, len: limit });
        }
        let mut bytes = Vec::with_capacity(usize::try_from(len).unwrap_or(0));
        io::Read::read_to_end(&mut file, &mut bytes)
            .map_err(|e| BlobError::io(&self.home.blob(digest), e))?;
        Ok(bytes.into())
    }

    /// Every blob, in order of digests. Blocking.
    pub fn list(&self) -> Result<Vec<Blob>, BlobError> {
        let mut blobs = Vec::new();
        let root = self.home.root.join("sha256");
        for shard in entries(&root)? {
            for path in entries(&shard)? {
                let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
                let Ok(digest) = format!("sha256:{name}").parse() else { continue };
                // It may be gone by now: somebody else's deletion is no failure of ours.
                let Ok(metadata) = fs::metadata(&path) else { continue };
                let touched_at = touched_at(&metadata);
                blobs.push(Blob { digest, len: metadata.len(), touched_at });
            }
        }
        blobs.sort_by_key(|blob| blob.digest);
        Ok(blobs)
    }

    /// Removes one blob; false when there was none. Open files go on reading.
    pub fn delete(&self, digest: &Digest) -> Result<bool, BlobError> {
        let _alone = self.home.removal.write().unwrap_or_else(PoisonError::into_inner);
        remove(&self.home.blob(digest))
    }

    /// Removes what is not `live` and was neither committed nor touched since `untouched_since`
    /// (wall time less the grace period). Blocking; others commit and read meanwhile.
    pub fn collect(
        &self,
        live: &dyn Fn(&Digest) -> bool,
        untouched_since: Timestamp,
    ) -> Result<Collected, BlobError> {
        let mut collected = Collected::default();
        for blob in self.list()? {
            if blob.touched_at >= untouched_since || live(&blob.digest) {
                continue;
            }
            let _alone = self.home.removal.write().unwrap_or_else(PoisonError::into_inner);
            let path = self.home.blob(&blob.digest);
            // Looked at again under the lock: it may have been touched since it was listed.
            let Ok(metadata) = fs::metadata(&path) else { continue };
            if touched_at(&metadata) < untouched_since && !live(&blob.digest) && remove(&path)? {
                collected.blobs += 1;
                collected.bytes += blob.len;
            }
        }
        Ok(collected)
    }

    /// Stores `bytes` durably under their own digest.
    pub async fn put_bytes(&self, bytes: Bytes) -> Result<Digest, BlobError> {
        let blobs = self.clone();
        blocking(move || {
            let digest = Digest::of(&bytes);
            blobs.put_reader(&mut &bytes[..], digest).map(|()| digest)
        })
        .await
    }

    /// Stores all that `content` gives durably under `expected`. Blocking.
    pub fn put_reader(&self, content: &mut dyn io::Read, expected: Digest) -> Result<(), BlobError> {
        // Two writers of the same bytes must not share a file.
        static NEXT: AtomicU64 = AtomicU64::new(0);
        if self.touch(&expected)? {
            return Ok(());
        }
        let turn = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = self.home.upload(&format!("put-{}-{turn}", expected.hex()));
        let stored = self.write_whole(content, &path, expected);
        if stored.is_err() {
            fs::remove_file(&path).ok();
        }
        stored
    }

    fn write_whole(
        &self,
        content: &mut dyn io::Read,
        path: &Path,
        expected: Digest,
    ) -> Result<(), BlobError> {
        let fail = |e| BlobError::io(path, e);
        let mut file = File::create(path).map_err(fail)?;
        let mut hasher = Hasher::default();
        let mut buffer = vec![0; 256 << 10];
        loop {
            let read = content.read(&mut buffer).map_err(fail)?;
            if read == 0 {
                break;
            }
            hasher.update(&buffer[..read]);
            file.write_all(&buffer[..read]).map_err(fail)?;
        }
        let actual = hasher.finish();
        if actual != expected {
            return Err(BlobError::DigestMismatch { expected, actual });
        }
        self.home.publish(&file, path, &expected)
    }

    /// Starts the upload `id` (letters, digits, `-`, `_`; at most 128), or takes it up again where
    /// it stopped, also after a restart. One [`Staged`] per upload at a time.
    pub async fn stage(&self, id: &str) -> Result<Staged, BlobError> {
        Staged::open(self.clone(), id, true).await
    }

    /// Like [`Blobs::stage`], but the upload must exist.
    pub async fn resume(&self, id: &str) -> Result<Staged, BlobError> {
        Staged::open(self.clone(), id, false).await
    }

    /// Bytes that the upload `id` holds, if it exists.
    pub fn staged_len(&self, id: &str) -> Option<u64> {
        is_upload_id(id).then(|| fs::metadata(self.home.upload(id)).ok()).flatten().map(|m| m.len())
    }

    /// Publishes an upload under the digest that its sender announced, durably. On any failure
    /// the upload is removed.
    pub async fn commit(&self, staged: Staged, expected: Digest) -> Result<(), BlobError> {
        staged.commit(expected).await
    }

    /// Forgets the upload `id`; false when there was none.
    pub fn abort(&self, id: &str) -> Result<bool, BlobError> {
        if !is_upload_id(id) {
            return Err(BlobError::UploadId(id.chars().take(200).collect()));
        }
        let mut uploads = self.home.uploads();
        if matches!(uploads.get(id), Some(Parked::Busy)) {
            return Err(BlobError::Busy(id.to_owned()));
        }
        uploads.remove(id);
        remove(&self.home.upload(id))
    }

    /// Forgets uploads that nobody wrote to since `untouched_since`; says how many. Blocking.
    pub fn sweep_uploads(&self, untouched_since: Timestamp) -> Result<usize, BlobError> {
        let mut swept = 0;
        for path in entries(&self.home.root.join("uploads"))? {
            let Some(id) = path.file_name().and_then(|n| n.to_str()) else { continue };
            let mut uploads = self.home.uploads();
            let is_busy = matches!(uploads.get(id), Some(Parked::Busy));
            let Ok(metadata) = fs::metadata(&path) else { continue };
            if !is_busy && touched_at(&metadata) < untouched_since && remove(&path)? {
                uploads.remove(id);
                swept += 1;
            }
        }
        Ok(swept)
    }
}

impl Home {
    pub(crate) fn blob(&self, digest: &Digest) -> PathBuf {
        let hex = digest.hex();
        self.root.join("sha256").join(&hex[..2]).join(hex)
    }

    pub(crate) fn upload(&self, id: &str) -> PathBuf {
        self.root.join("uploads").join(id)
    }

    pub(crate) fn uploads(&self) -> MutexGuard<'_, HashMap<String, Parked>> {
        self.uploads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Data first, then the name, then the directories that hold the name.
    pub(crate) fn publish(&self, file: &File, from: &Path, digest: &Digest) -> Result<(), BlobError> {
        let to = self.blob(digest);
        let shard = to.parent().expect("a blob lies in its shard");
        file.sync_all().map_err(|e| BlobError::io(from, e))?;
        if !shard.exists() {
            fs::create_dir_all(shard).map_err(|e| BlobError::io(shard, e))?;
            sync_directory(&self.root.join("sha256"))?;
        }
        let _kept = self.removal.read().unwrap_or_else(PoisonError::into_inner);
        // Counted from now, not from the upload's first byte.
        touch(from)?;
        fs::rename(from, &to).map_err(|e| BlobError::io(&to, e))?;
        sync_directory(shard)
    }
}

pub(crate) fn is_upload_id(id: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    (1..=128).contains(&id.len()) && id.bytes().all(is_plain)
}

/// Runs `work` where it may block. A panic in it is ours: it travels on.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => panic!("the runtime is shutting down"),
        },
    }
}

fn touch(path: &Path) -> Result<bool, BlobError> {
    let file = match File::open(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
        other => other.map_err(|e| BlobError::io(path, e))?,
    };
    #[expect(clippy::disallowed_methods, reason = "compared with other files' times, never decided upon")]
    let now = SystemTime::now();
    file.set_times(FileTimes::new().set_modified(now)).map_err(|e| BlobError::io(path, e))?;
    Ok(true)
}

fn touched_at(metadata: &fs::Metadata) -> Timestamp {
    let modified = metadata.modified().unwrap_or(UNIX_EPOCH);
    let since = modified.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Timestamp::EPOCH + since
}

fn remove(path: &Path) -> Result<bool, BlobError> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(BlobError::io(path, e)),
    }
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>, BlobError> {
    let list = fs::read_dir(dir).map_err(|e| BlobError::io(dir, e))?;
    list.map(|entry| entry.map(|e| e.path()).map_err(|e| BlobError::io(dir, e))).collect()
}

fn sync_directory(path: &Path) -> Result<(), BlobError> {
    File::open(path).and_then(|dir| dir.sync_all()).map_err(|e| BlobError::io(path, e))
}

fn missing_or(digest: &Digest, path: &Path, error: io::Error) -> BlobError {
    match error.kind() {
        io::ErrorKind::NotFound => BlobError::Missing(*digest),
        _ => BlobError::io(path, error),
    }
}
