//! The shipper's side of a spool.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use base::Timestamp;

use super::{HEADER, MAX_LINE, Position, Stream, segment_name, segments};

/// One line of output, or a piece of one that was too long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where its frame begins, and where the next one does.
    pub at: Position,
    pub next: Position,
    pub stream: Stream,
    pub time: Timestamp,
    /// The line goes on in the next entry of the stream.
    pub goes_on: bool,
    pub text: Vec<u8>,
}

/// Reads a spool from a position on.
#[derive(Debug)]
pub struct Reader {
    dir: PathBuf,
    position: Position,
    open: Option<(u32, File)>,
}

/// Read at once from a segment.
const CHUNK: usize = 64 * 1024;

impl Reader {
    /// A spool that does not exist yet reads as empty.
    pub fn new(dir: &Path, position: Position) -> Self {
        Reader { dir: dir.to_path_buf(), position, open: None }
    }

    pub fn position(&self) -> Position {
        self.position
    }

    /// Up to `max_entries` entries of about `max_bytes` in all; none when everything is read.
    /// Blocks on the disk only.
    pub fn read(&mut self, max_entries: usize, max_bytes: usize) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        let mut bytes = 0;
        while entries.len() < max_entries && bytes < max_bytes {
            let before = entries.len();
            self.read_chunk(&mut entries, max_entries, max_bytes - bytes)?;
            if entries.len() == before && !self.skip_to_next_segment()? {
                break;
            }
            bytes += entries[before..].iter().map(|e| e.text.len() + HEADER).sum::<usize>();
        }
        Ok(entries)
    }

    /// Deletes the segments that lie wholly before `position`.
    pub fn release(&self, position: Position) -> io::Result<()> {
        for (segment, _) in self.there()? {
            if segment < position.segment {
                std::fs::remove_file(self.dir.join(segment_name(segment)))?;
            }
        }
        Ok(())
    }

    fn read_chunk(
        &mut self,
        entries: &mut Vec<Entry>,
        max_entries: usize,
        max_bytes: usize,
    ) -> io::Result<()> {
        let offset = u64::from(self.position.offset);
        let Some(file) = self.file()? else { return Ok(()) };
        let mut buffer = vec![0; CHUNK.min(max_bytes.max(HEADER))];
        let mut got = file.read_at(&mut buffer, offset)?;
        if got >= 4 {
            // A frame larger than the chunk is read whole.
            let needed = 4 + length_of(&buffer)?;
            if needed > buffer.len() {
                buffer.resize(needed, 0);
                got = file.read_at(&mut buffer, offset)?;
            }
        }
        let mut rest = &buffer[..got];
        while entries.len() < max_entries && rest.len() >= HEADER {
            let length = length_of(rest)?;
            let Some(frame) = rest.get(4..4 + length) else { break };
            let entry = parse(self.position, frame)?;
            self.position = entry.next;
            entries.push(entry);
            rest = &rest[4 + length..];
        }
        Ok(())
    }

    /// Moves on when a later segment exists; what is left in this one is torn.
    fn skip_to_next_segment(&mut self) -> io::Result<bool> {
        let later =
            self.there()?.into_iter().map(|(segment, _)| segment).find(|s| *s > self.position.segment);
        let Some(segment) = later else { return Ok(false) };
        // The writer may have finished this segment between our read and the listing.
        let mut last = Vec::new();
        self.read_chunk(&mut last, 1, CHUNK)?;
        if let Some(entry) = last.first() {
            self.position = entry.at;
            return Ok(true);
        }
        self.position = Position { segment, offset: 0 };
        self.open = None;
        Ok(true)
    }

    fn file(&mut self) -> io::Result<Option<&File>> {
        let segment = self.position.segment;
        if self.open.as_ref().is_none_or(|(open, _)| *open != segment) {
            match File::open(self.dir.join(segment_name(segment))) {
                Ok(file) => self.open = Some((segment, file)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        Ok(self.open.as_ref().map(|(_, file)| file))
    }

    fn there(&self) -> io::Result<Vec<(u32, u64)>> {
        match segments(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            other => other,
        }
    }
}

fn length_of(frame: &[u8]) -> io::Result<usize> {
    let bytes: [u8; 4] = frame[..4].try_into().expect("four bytes");
    let length = u32::from_le_bytes(bytes) as usize;
    if (HEADER - 4..=HEADER - 4 + MAX_LINE).contains(&length) {
        Ok(length)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidData, "the spool's framing is broken"))
    }
}

fn parse(at: Position, frame: &[u8]) -> io::Result<Entry> {
    let stream = Stream::of(frame[0]);
    let stream =
        stream.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "unknown stream in a spool"))?;
    let millis = i64::from_le_bytes(frame[2..10].try_into().expect("eight bytes"));
    Ok(Entry {
        at,
        next: Position { segment: at.segment, offset: at.offset + 4 + frame.len() as u32 },
        stream,
        time: Timestamp::from_millis(millis),
        goes_on: frame[1] & 1 == 1,
        text: frame[10..].to_vec(),
    })
}
