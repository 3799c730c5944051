//! Inflating, hashing and writing side by side.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;

use blobs::{Digest, Hasher};
use rustix::fs::OFlags;

use super::apply::Applier;
use super::{Limits, Opaque, UnpackError, inflate};
use crate::tar::TarReader;

/// Bytes per buffer, and buffers on their way between two threads.
const BUFFER: usize = 256 << 10;
const BUFFERS: usize = 8;

/// What came out of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unpacked {
    /// Of the uncompressed archive.
    pub diff_id: Digest,
    /// Bytes of the uncompressed archive.
    pub bytes: u64,
    pub entries: u64,
}

type Piece = Arc<Vec<u8>>;

/// Unpacks the layer in `file` into the existing directory `root` and puts it on disk. Blocking.
/// `media_type` may be empty: then the content alone decides. `progress` is told how many more
/// compressed bytes are done. After a failure the directory holds a part: the caller removes it.
pub fn unpack(
    file: File,
    media_type: &str,
    root: &Path,
    (limits, opaque): (Limits, Opaque),
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Unpacked, UnpackError> {
    let read = Arc::new(AtomicU64::new(0));
    let reader = inflate::reader(file, media_type, read.clone())?;
    let root = OpenOptions::new()
        .read(true)
        .custom_flags(OFlags::DIRECTORY.bits() as i32)
        .open(root)
        .map_err(|e| UnpackError::io(root.as_os_str().as_encoded_bytes(), e))?;
    let synced = root.try_clone().map_err(|e| UnpackError::io(b"/", e))?;

    let (to_writer, from_inflater) = sync_channel::<Result<Piece, UnpackError>>(BUFFERS);
    let (to_hasher, for_hash) = sync_channel::<Piece>(BUFFERS);
    let (recycle, recycled) = sync_channel::<Vec<u8>>(2 * BUFFERS + 4);
    let hash_recycle = recycle.clone();
    let unpacked = thread::scope(|scope| {
        let outputs = Outputs { to_writer, to_hasher, recycled };
        scope.spawn(move || outputs.run(reader, &read, &limits, progress));
        let hashed = scope.spawn(move || hash(&for_hash, &hash_recycle));
        let mut pieces =
            Pieces { from_inflater, recycle, current: Piece::default(), at: 0, bytes: 0, failure: None };
        let entries = write(&mut pieces, root, limits, opaque);
        let (bytes, failure) = (pieces.bytes, pieces.failure.take());
        // Ends the inflater if it still runs, and with it the hasher.
        drop(pieces);
        let diff_id = hashed.join().expect("hashing does not panic");
        match failure {
            Some(failure) => Err(failure),
            None => Ok(Unpacked { diff_id, bytes, entries: entries? }),
        }
    })?;
    rustix::fs::syncfs(&synced).map_err(|e| UnpackError::io(b"/", e))?;
    Ok(unpacked)
}

fn write(pieces: &mut Pieces, root: File, limits: Limits, opaque: Opaque) -> Result<u64, UnpackError> {
    let entries = Applier::new(root.into(), limits, opaque).run(&mut TarReader::new(pieces))?;
    // What follows the archive's end belongs to the diff id too.
    loop {
        let len = pieces.fill_buf().map_err(UnpackError::Inflate)?.len();
        if len == 0 {
            return Ok(entries);
        }
        pieces.consume(len);
    }
}

fn hash(pieces: &Receiver<Piece>, recycle: &SyncSender<Vec<u8>>) -> Digest {
    let mut hasher = Hasher::default();
    for piece in pieces {
        hasher.update(&piece);
        give_back(piece, recycle);
    }
    hasher.finish()
}

fn give_back(piece: Piece, recycle: &SyncSender<Vec<u8>>) {
    if let Some(buffer) = Arc::into_inner(piece) {
        match recycle.try_send(buffer) {
            // Too many or nobody to want them: memory is cheap to get again.
            Ok(()) | Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
        }
    }
}

struct Outputs {
    to_writer: SyncSender<Result<Piece, UnpackError>>,
    to_hasher: SyncSender<Piece>,
    recycled: Receiver<Vec<u8>>,
}

impl Outputs {
    fn run(
        self,
        mut reader: Box<dyn Read + Send>,
        read: &AtomicU64,
        limits: &Limits,
        progress: &(dyn Fn(u64) + Sync),
    ) {
        let (mut total, mut told) = (0u64, 0u64);
        loop {
            let mut buffer = self.recycled.try_recv().unwrap_or_default();
            buffer.resize(BUFFER, 0);
            let filled = match fill(&mut *reader, &mut buffer) {
                Ok(0) => return progress(read.load(Ordering::Relaxed) - told),
                Ok(filled) => filled,
                Err(error) => return drop(self.to_writer.send(Err(UnpackError::Inflate(error)))),
            };
            buffer.truncate(filled);
            total += filled as u64;
            let compressed = read.load(Ordering::Relaxed);
            progress(compressed - told);
            told = compressed;
            if let Err(error) = check(total, compressed, limits) {
                return drop(self.to_writer.send(Err(error)));
            }
            let piece = Arc::new(buffer);
            // Either of the two has given up: so do we.
            if self.to_hasher.send(piece.clone()).is_err() || self.to_writer.send(Ok(piece)).is_err() {
                return;
            }
        }
    }
}

fn check(total: u64, compressed: u64, limits: &Limits) -> Result<(), UnpackError> {
    if total > limits.bytes {
        return Err(UnpackError::Limit { what: "unpacked bytes", limit: limits.bytes });
    }
    if total > limits.ratio_from && total / compressed.max(1) > limits.ratio {
        return Err(UnpackError::Limit { what: "unpacked bytes per compressed byte", limit: limits.ratio });
    }
    Ok(())
}

fn fill(reader: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(len) => filled += len,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}

/// The inflated pieces as one stream.
struct Pieces {
    from_inflater: Receiver<Result<Piece, UnpackError>>,
    recycle: SyncSender<Vec<u8>>,
    current: Piece,
    at: usize,
    bytes: u64,
    /// The real cause of a failed read.
    failure: Option<UnpackError>,
}

impl Read for Pieces {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let piece = self.fill_buf()?;
        let len = piece.len().min(to.len());
        to[..len].copy_from_slice(&piece[..len]);
        self.consume(len);
        Ok(len)
    }
}

impl BufRead for Pieces {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.at == self.current.len() {
            match self.from_inflater.recv() {
                Ok(Ok(piece)) => {
                    self.bytes += piece.len() as u64;
                    let used = std::mem::replace(&mut self.current, piece);
                    self.at = 0;
                    give_back(used, &self.recycle);
                }
                Ok(Err(failure)) => {
                    self.failure = Some(failure);
                    return Err(io::ErrorKind::InvalidData.into());
                }
                Err(_) => return Ok(&[]),
            }
        }
        Ok(&self.current[self.at..])
    }

    fn consume(&mut self, len: usize) {
        self.at += len;
    }
}
