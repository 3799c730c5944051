//! One upload on its way in.
//!
//! Bytes are gathered into batches; one batch at a time is hashed and written on a blocking
//! thread while the next is received.
//! Invariant: the hash state covers exactly the bytes in the file; where that is not certain, it
//! is thrown away and made again from the file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::task::JoinHandle;

use crate::directory::{Blobs, Home, blocking, is_upload_id};
use crate::{BlobError, Digest, Hasher};

/// Bytes per batch.
const BATCH: usize = 1 << 20;
/// Hash states kept for uploads at rest; beyond that they are made again from the file.
const PARKED: usize = 4096;

/// An upload without a [`Staged`], or the mark that it has one.
pub(crate) enum Parked {
    Busy,
    Hashed { hasher: Hasher, len: u64 },
}

/// An upload being written. Dropping it keeps what has reached the file, for a later
/// [`Blobs::stage`]; call [`Staged::flush`] first to keep all of it.
pub struct Staged {
    claim: Arc<Claim>,
    path: PathBuf,
    /// None while a batch is being written, and after a failure.
    rest: Option<Written>,
    writing: Option<JoinHandle<Result<Written, BlobError>>>,
    pending: Vec<Bytes>,
    pending_len: usize,
    offset: u64,
}

struct Written {
    file: File,
    hasher: Hasher,
    len: u64,
}

/// The right to write an upload. Shared with the batch being written, so that a successor waits
/// for it even when the request was dropped.
struct Claim {
    home: Arc<Home>,
    id: String,
    /// What the next [`Staged`] may go on from.
    left: Mutex<Option<Parked>>,
}

impl Drop for Claim {
    fn drop(&mut self) {
        let left = self.left.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        let mut uploads = self.home.uploads();
        match left {
            Some(parked) if uploads.len() <= PARKED => uploads.insert(self.id.clone(), parked),
            _ => uploads.remove(&self.id),
        };
    }
}

impl Staged {
    pub(crate) async fn open(blobs: Blobs, id: &str, create: bool) -> Result<Staged, BlobError> {
        if !is_upload_id(id) {
            return Err(BlobError::UploadId(id.chars().take(200).collect()));
        }
        let home = blobs.home;
        let parked = home.uploads().insert(id.to_owned(), Parked::Busy);
        if matches!(parked, Some(Parked::Busy)) {
            return Err(BlobError::Busy(id.to_owned()));
        }
        let path = home.upload(id);
        let claim = Arc::new(Claim { home, id: id.to_owned(), left: Mutex::default() });
        let (held, target) = (claim.clone(), path.clone());
        let written = blocking(move || resume(&held, target, parked, create)).await?;
        let offset = written.len;
        let (pending, writing) = (Vec::new(), None);
        Ok(Staged { claim, path, rest: Some(written), writing, pending, pending_len: 0, offset })
    }

    /// Bytes received so far.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Takes the next bytes. A failure of an earlier batch may come to light here; the upload then
    /// holds what reached the disk, except that a full disk removes it.
    pub async fn append(&mut self, bytes: Bytes) -> Result<(), BlobError> {
        self.offset += bytes.len() as u64;
        self.pending_len += bytes.len();
        self.pending.push(bytes);
        if self.pending_len >= BATCH || self.pending.len() >= 1024 {
            self.write_pending().await?;
        }
        Ok(())
    }

    /// Waits until everything received is in the file and hashed.
    pub async fn flush(&mut self) -> Result<(), BlobError> {
        if !self.pending.is_empty() {
            self.write_pending().await?;
        }
        self.settle().await
    }

    pub(crate) async fn commit(mut self, expected: Digest) -> Result<(), BlobError> {
        let committed = match self.flush().await {
            Ok(()) => self.publish(expected).await,
            Err(error) => Err(error),
        };
        if committed.is_err() {
            fs::remove_file(&self.path).ok();
        }
        committed
    }

    async fn publish(&mut self, expected: Digest) -> Result<(), BlobError> {
        let written = self.rest.take().expect("a flushed upload is at rest");
        let (claim, path) = (self.claim.clone(), self.path.clone());
        blocking(move || {
            let actual = written.hasher.finish();
            if actual != expected {
                return Err(BlobError::DigestMismatch { expected, actual });
            }
            claim.home.publish(&written.file, &path, &actual)
        })
        .await
    }

    async fn write_pending(&mut self) -> Result<(), BlobError> {
        self.settle().await?;
        let mut written = self.rest.take().ok_or_else(|| BlobError::NoUpload(self.claim.id.clone()))?;
        let batch = std::mem::take(&mut self.pending);
        self.pending_len = 0;
        let (claim, path) = (self.claim.clone(), self.path.clone());
        self.writing = Some(tokio::task::spawn_blocking(move || {
            let _claim = claim;
            for bytes in &batch {
                if let Err(error) = written.file.write_all(bytes) {
                    let error = BlobError::io(&path, error);
                    if matches!(error, BlobError::Full(_)) {
                        fs::remove_file(&path).ok();
                    }
                    return Err(error);
                }
                written.hasher.update(bytes);
                written.len += bytes.len() as u64;
            }
            Ok(written)
        }));
        Ok(())
    }

    async fn settle(&mut self) -> Result<(), BlobError> {
        if let Some(writing) = &mut self.writing {
            let written = writing.await;
            self.writing = None;
            self.rest = Some(written.map_err(|e| BlobError::io(&self.path, io::Error::other(e)))??);
        }
        match self.rest {
            Some(_) => Ok(()),
            None => Err(BlobError::NoUpload(self.claim.id.clone())),
        }
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        let Some(Written { hasher, len, .. }) = self.rest.take() else { return };
        let mut left = self.claim.left.lock().unwrap_or_else(PoisonError::into_inner);
        *left = Some(Parked::Hashed { hasher, len });
    }
}

/// Opens the file at its end, with a hash state that covers it.
fn resume(claim: &Claim, path: PathBuf, parked: Option<Parked>, create: bool) -> Result<Written, BlobError> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(create);
    let file = options.open(&path).map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => BlobError::NoUpload(claim.id.clone()),
        _ => BlobError::io(&path, e),
    })?;
    let len = file.metadata().map_err(|e| BlobError::io(&path, e))?.len();
    if let Some(Parked::Hashed { hasher, len: hashed }) = parked
        && hashed == len
    {
        return Ok(Written { file, hasher, len });
    }
    let mut hasher = Hasher::default();
    let mut buffer = vec![0; BATCH];
    let mut rest = (&file).take(len);
    loop {
        let read = rest.read(&mut buffer).map_err(|e| BlobError::io(&path, e))?;
        if read == 0 {
            return Ok(Written { file, hasher, len });
        }
        hasher.update(&buffer[..read]);
    }
}
