//! Streams a blob without blocking its caller.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use tokio::task::JoinHandle;

use crate::BlobError;

/// Bytes per chunk.
const CHUNK: u64 = 256 << 10;

/// A range of a blob as chunks of at most 256 KiB, the next of which is read ahead.
pub struct BlobReader {
    file: Arc<File>,
    path: PathBuf,
    next: Range<u64>,
    ahead: Option<JoinHandle<io::Result<Bytes>>>,
    remaining: u64,
}

impl BlobReader {
    pub(crate) fn new(file: File, path: PathBuf, range: Range<u64>) -> Self {
        let remaining = range.end - range.start;
        BlobReader { file: Arc::new(file), path, next: range, ahead: None, remaining }
    }

    /// Bytes that are still to come.
    pub fn remaining(&self) -> u64 {
        self.remaining
    }

    /// The next chunk, or None at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, BlobError> {
        if self.ahead.is_none() {
            self.read_ahead();
        }
        let Some(ahead) = &mut self.ahead else { return Ok(None) };
        let read = ahead.await;
        self.ahead = None;
        let bytes = read
            .map_err(io::Error::other)
            .and_then(|result| result)
            .map_err(|e| BlobError::io(&self.path, e))?;
        self.remaining -= bytes.len() as u64;
        self.read_ahead();
        Ok(Some(bytes))
    }

    fn read_ahead(&mut self) {
        let start = self.next.start;
        let len = (self.next.end - start).min(CHUNK);
        if len == 0 {
            return;
        }
        self.next.start += len;
        let file = self.file.clone();
        self.ahead = Some(tokio::task::spawn_blocking(move || {
            let chunk = read_at(&file, start, len as usize)?;
            Ok(chunk.into())
        }));
    }
}

/// Exactly `len` bytes, into memory that nobody has filled with zeros before.
fn read_at(file: &File, start: u64, len: usize) -> io::Result<Vec<u8>> {
    let mut chunk = Vec::with_capacity(len);
    while chunk.len() < len {
        let at = start + chunk.len() as u64;
        match rustix::io::pread(file, rustix::buffer::spare_capacity(&mut chunk), at) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    // The allocation may be larger than asked for, and so the last read.
    chunk.truncate(len);
    Ok(chunk)
}
