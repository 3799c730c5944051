//! The shim's side of a spool.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::{HEADER, MAX_LINE, Position, Stream, segment_name, segments};

/// Appends frames; knows how much waits unread.
#[derive(Debug)]
pub struct Writer {
    dir: PathBuf,
    limit: u64,
    segment_bytes: u64,
    file: File,
    end: Position,
    /// Unread bytes when last counted, plus what was written since.
    unread: u64,
    /// Frames that are not on disk yet, and how many.
    pending: Vec<u8>,
    pending_frames: u64,
    /// Behind `end` lies a part of a frame that did not fit on the disk.
    is_torn: bool,
}

/// What became of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    Written,
    /// The limit is reached: nothing was written.
    Full,
}

impl Writer {
    /// Starts a new segment after those that are there. `limit` bytes may wait unread.
    pub fn open(dir: &Path, limit: u64) -> io::Result<Self> {
        std::fs::create_dir_all(dir)?;
        let there = segments(dir)?;
        let segment = there.last().map_or(0, |(number, _)| number + 1);
        Ok(Writer {
            dir: dir.to_path_buf(),
            // One frame always fits.
            limit: limit.max((HEADER + MAX_LINE) as u64),
            segment_bytes: (limit / 4).clamp(64 * 1024, 4 * 1024 * 1024),
            file: create(dir, segment)?,
            end: Position { segment, offset: 0 },
            unread: there.iter().map(|(_, bytes)| bytes).sum(),
            pending: Vec::new(),
            pending_frames: 0,
            is_torn: false,
        })
    }

    /// Where what is not on disk yet will begin.
    pub fn end(&self) -> Position {
        self.end
    }

    /// Whether a line of `bytes` may be written now. Counts on disk only when the answer would
    /// be no.
    pub fn has_room(&mut self, bytes: usize) -> io::Result<bool> {
        let needed = (self.pending.len() + HEADER + bytes) as u64;
        if self.unread + needed <= self.limit {
            return Ok(true);
        }
        self.unread = segments(&self.dir)?.iter().map(|(_, bytes)| bytes).sum();
        Ok(self.unread + needed <= self.limit)
    }

    /// How many bytes of frames may be pushed now. Counts on disk only when they are fewer than `wanted`.
    pub fn room(&mut self, wanted: usize) -> usize {
        // Where it cannot be counted, nothing can be written either.
        let _ = self.has_room(wanted);
        self.limit.saturating_sub(self.unread + self.pending.len() as u64) as usize
    }

    /// Appends one line, or a piece of one that `goes_on`; at most [`MAX_LINE`] bytes.
    pub fn append(
        &mut self,
        stream: Stream,
        millis: i64,
        text: &[u8],
        goes_on: bool,
    ) -> io::Result<Appended> {
        if !self.has_room(text.len())? {
            return Ok(Appended::Full);
        }
        self.append_unbounded(stream, millis, text, goes_on)?;
        Ok(Appended::Written)
    }

    /// Appends without looking at the limit. After an error, the same may be tried again.
    pub fn append_unbounded(
        &mut self,
        stream: Stream,
        millis: i64,
        text: &[u8],
        goes_on: bool,
    ) -> io::Result<()> {
        let (bytes, frames) = (self.pending.len(), self.pending_frames);
        self.push(stream, millis, text, goes_on);
        let flushed = self.flush();
        if flushed.is_err() {
            self.pending.truncate(bytes);
            self.pending_frames = frames;
        }
        flushed
    }

    /// Takes a line to be written by [`Writer::flush`]: many lines in one write cost little more than one.
    pub fn push(&mut self, stream: Stream, millis: i64, text: &[u8], goes_on: bool) {
        let length = (HEADER - 4 + text.len()) as u32;
        self.pending.extend_from_slice(&length.to_le_bytes());
        self.pending.push(stream.code());
        self.pending.push(u8::from(goes_on));
        self.pending.extend_from_slice(&millis.to_le_bytes());
        self.pending.extend_from_slice(text);
        self.pending_frames += 1;
    }

    /// Writes what was pushed. After an error it stays, to be tried again.
    pub fn flush(&mut self) -> io::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        if self.is_torn {
            self.file.set_len(u64::from(self.end.offset))?;
            self.is_torn = false;
        }
        if u64::from(self.end.offset) >= self.segment_bytes {
            self.next_segment()?;
        }
        if let Err(error) = self.file.write_all(&self.pending) {
            // A full disk may have taken a part.
            self.is_torn = true;
            return Err(error);
        }
        self.end.offset += self.pending.len() as u32;
        self.unread += self.pending.len() as u64;
        self.drop_pending();
        Ok(())
    }

    /// Whether something was pushed that is not on disk.
    pub fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Gives up what was pushed and is not on disk; returns how many lines that were.
    pub fn drop_pending(&mut self) -> u64 {
        self.pending.clear();
        if self.pending.capacity() > 8192 {
            self.pending = Vec::new();
        }
        std::mem::take(&mut self.pending_frames)
    }

    fn next_segment(&mut self) -> io::Result<()> {
        let segment = self.end.segment + 1;
        self.file = create(&self.dir, segment)?;
        self.end = Position { segment, offset: 0 };
        Ok(())
    }
}

fn create(dir: &Path, segment: u32) -> io::Result<File> {
    OpenOptions::new().append(true).create_new(true).open(dir.join(segment_name(segment)))
}
