//! A container's output on its way from the pipe to the logs: an append-only sequence of framed
//! lines in segment files, written by the shim and read by whoever ships them.
//!
//! ```text
//! DIR/00000000.log, 00000001.log …     segments; only the last one grows
//! frame: length u32 LE (of all that follows) · stream u8 (1 stdout, 2 stderr) · flags u8 (1: the
//!        line goes on in the next frame of that stream) · milliseconds since 1970 i64 LE · text
//! ```
//!
//! A line loses its newline. One longer than [`MAX_LINE`] is split into several frames, all but
//! the last flagged. A torn frame at the end of a segment (the writer was killed) ends it: the
//! writer that follows opens a new segment. A reader that has shipped a segment deletes it, and
//! that is how the writer knows how much is unread.
//!
//! Invariant: one writer and one reader.

mod line;
mod reader;
mod writer;

use serde::{Deserialize, Serialize};

pub use line::Lines;
pub use reader::{Entry, Reader};
pub use writer::{Appended, Writer};

/// AWS: an event holds 1 MB at most, 26 bytes of overhead included; a quarter leaves room for
/// JSON's escapes.
pub const MAX_LINE: usize = 256 * 1024;

/// Bytes of a frame before its text, length included.
pub(crate) const HEADER: usize = 4 + 1 + 1 + 8;

/// A place between two frames. Ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Position {
    pub segment: u32,
    /// Bytes from the segment's start.
    pub offset: u32,
}

impl Position {
    /// After everything that can be written: whoever waits for more waits for the close.
    pub const END: Position = Position { segment: u32::MAX, offset: u32::MAX };

    /// One growing number, for sequence tokens.
    pub fn sequence(self) -> u64 {
        (u64::from(self.segment) << 32) | u64::from(self.offset)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stream {
    Stdout,
    Stderr,
}

impl Stream {
    pub(crate) fn code(self) -> u8 {
        match self {
            Stream::Stdout => 1,
            Stream::Stderr => 2,
        }
    }

    pub(crate) fn of(code: u8) -> Option<Self> {
        match code {
            1 => Some(Stream::Stdout),
            2 => Some(Stream::Stderr),
            _ => None,
        }
    }
}

pub(crate) fn segment_name(segment: u32) -> String {
    format!("{segment:08}.log")
}

/// The segments in `dir`, ascending.
pub(crate) fn segments(dir: &std::path::Path) -> std::io::Result<Vec<(u32, u64)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|n| n.strip_suffix(".log")).and_then(|n| n.parse().ok());
        if let Some(number) = number {
            // A reader may delete it between the two calls.
            found.push((number, entry.metadata().map_or(0, |m| m.len())));
        }
    }
    found.sort_unstable();
    Ok(found)
}
