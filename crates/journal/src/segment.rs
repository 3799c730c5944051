//! One segment file: its name, its scan, its footer.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::frame::{self, Cursor, Frame, HEADER, Malformed};
use crate::index::{Index, Part, Span};

/// The first bytes of every segment; the last digit is the format's version.
pub(crate) const MAGIC: &[u8; 8] = b"bxjrnl\n1";
/// The last bytes of a sealed segment: where the footer frame begins, and this.
const SEALED: &[u8; 8] = b"bxsealed";
const TRAILER: u64 = 16;

#[derive(Debug)]
pub(crate) struct Segment {
    pub number: u64,
    pub file: File,
    pub path: PathBuf,
}

pub(crate) fn path_of(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:016}.seg"))
}

/// The number in a segment's file name.
pub(crate) fn number_of(name: &str) -> Option<u64> {
    name.strip_suffix(".seg")?.parse().ok()
}

/// The entry of a file that was made or renamed is durable once its directory is synced.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Reads the frames of a file in order, from behind the magic.
pub(crate) struct Scan<'a> {
    file: BufReader<&'a File>,
    /// Where the next frame begins.
    pub at: u64,
    payload: Vec<u8>,
}

impl<'a> Scan<'a> {
    /// `None`: the file does not begin like a segment.
    pub fn new(file: &'a File) -> io::Result<Option<Self>> {
        let mut start = [0; MAGIC.len()];
        let count = file.read_at(&mut start, 0)?;
        if count < MAGIC.len() || start != *MAGIC {
            return Ok(None);
        }
        let mut reader = BufReader::with_capacity(256 << 10, file);
        io::Seek::seek(&mut reader, io::SeekFrom::Start(MAGIC.len() as u64))?;
        Ok(Some(Scan { file: reader, at: MAGIC.len() as u64, payload: Vec::new() }))
    }

    /// The next payload whose length and checksum are right, with the frame's start;
    /// `None` at the end of what is whole.
    pub fn step(&mut self) -> io::Result<Option<(u64, &[u8])>> {
        let mut header = [0; HEADER];
        if !read_fully(&mut self.file, &mut header)? {
            return Ok(None);
        }
        let Some((length, checksum)) = frame::header(header) else { return Ok(None) };
        // A torn length may promise 64 MiB: memory follows what is there.
        self.payload.clear();
        (&mut self.file).take(length as u64).read_to_end(&mut self.payload)?;
        if self.payload.len() < length || crc32fast::hash(&self.payload) != checksum {
            return Ok(None);
        }
        let start = self.at;
        self.at += (HEADER + length) as u64;
        Ok(Some((start, &self.payload)))
    }
}

fn read_fully(from: &mut impl Read, into: &mut [u8]) -> io::Result<bool> {
    match from.read_exact(into) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// What a sealed segment says about itself.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Footer {
    /// Streams that were deleted in it: nothing of them in earlier segments counts.
    pub deleted: Vec<String>,
    pub parts: Vec<(String, Part)>,
}

impl Footer {
    pub fn gather(index: &Index, segment: u64, deleted: Vec<String>) -> Footer {
        let parts = index.streams.iter().filter_map(|(key, stream)| {
            let at = stream.parts.binary_search_by_key(&segment, |(number, _)| *number).ok()?;
            Some((key.to_string(), stream.parts[at].1.clone()))
        });
        Footer { deleted, parts: parts.collect() }
    }

    /// The footer's frame and the trailer, for a segment that is `length` bytes long now.
    pub fn encode(&self, length: u64) -> Vec<u8> {
        let mut out = Vec::new();
        frame::framed(&mut out, |out| {
            out.push(frame::FOOTER);
            frame::text(out, "");
            out.extend_from_slice(&(self.deleted.len() as u32).to_le_bytes());
            self.deleted.iter().for_each(|key| frame::text(out, key));
            out.extend_from_slice(&(self.parts.len() as u32).to_le_bytes());
            for (key, part) in &self.parts {
                frame::text(out, key);
                put_part(out, part);
            }
        });
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(SEALED);
        out
    }

    /// The footer of a sealed file; `None` where it has no whole one.
    pub fn read(file: &File) -> io::Result<Option<Footer>> {
        let length = file.metadata()?.len();
        let Some(trailer_at) = length.checked_sub(TRAILER) else { return Ok(None) };
        let mut trailer = [0; TRAILER as usize];
        file.read_exact_at(&mut trailer, trailer_at)?;
        let (at, mark) = trailer.split_at(8);
        let at = u64::from_le_bytes(at.try_into().expect("eight of sixteen bytes"));
        if mark != SEALED || at.saturating_add(HEADER as u64) > trailer_at {
            return Ok(None);
        }
        let mut bytes = vec![0; (trailer_at - at) as usize];
        file.read_exact_at(&mut bytes, at)?;
        let Some((header, payload)) = bytes.split_first_chunk::<HEADER>() else { return Ok(None) };
        match frame::header(*header) {
            Some((length, checksum)) if length == payload.len() && crc32fast::hash(payload) == checksum => {
                Ok(Footer::parse(payload).ok())
            }
            _ => Ok(None),
        }
    }

    fn parse(payload: &[u8]) -> Result<Footer, Malformed> {
        let Frame::Footer(rest) = Frame::parse(payload)? else { return Err(Malformed) };
        let mut cursor = Cursor(rest);
        let mut footer = Footer::default();
        for _ in 0..cursor.u32()? {
            footer.deleted.push(cursor.text()?.to_owned());
        }
        for _ in 0..cursor.u32()? {
            footer.parts.push((cursor.text()?.to_owned(), part(&mut cursor)?));
        }
        Ok(footer)
    }
}

fn put_part(out: &mut Vec<u8>, part: &Part) {
    frame::put_state(out, &part.state);
    out.push(u8::from(part.trim.is_some()));
    if let Some(trim) = part.trim {
        frame::put_trim(out, trim);
    }
    out.extend_from_slice(&(part.spans.len() as u32).to_le_bytes());
    for span in &part.spans {
        for number in [span.start, span.end, span.first_seq, span.next_seq, span.own, span.bytes] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&span.min_ms.to_le_bytes());
        out.extend_from_slice(&span.max_ms.to_le_bytes());
    }
}

fn part(cursor: &mut Cursor<'_>) -> Result<Part, Malformed> {
    let state = cursor.state()?;
    let trim = if cursor.u8()? == 1 { Some(cursor.trim()?) } else { None };
    let mut spans = Vec::new();
    for _ in 0..cursor.u32()? {
        spans.push(Span {
            start: cursor.u64()?,
            end: cursor.u64()?,
            first_seq: cursor.u64()?,
            next_seq: cursor.u64()?,
            own: cursor.u64()?,
            bytes: cursor.u64()?,
            min_ms: cursor.i64()?,
            max_ms: cursor.i64()?,
        });
    }
    Ok(Part { spans, trim, state })
}
