//! How far a container's output is shipped.
//!
//! ```text
//! two slots of 64 bytes, written in turn:
//! sequence u64 · until u32 u32 · flags u8 (1: a batch is under way; 2: file bytes) · under way u32 u32
//! · file bytes u64 · zeros · CRC-32 of all that u32           (little-endian)
//! ```
//!
//! Written thousands of times a second when many containers talk, hence neither a new file nor
//! JSON. Invariant: a slot that was being written when the process died leaves the other one.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use runtime::spool::Position;

const SLOT: usize = 64;
const HAS_BATCH: u8 = 1;
const HAS_BYTES: u8 = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Shipped {
    /// Everything before it has been stored.
    pub until: Position,
    /// The batch from `until` to here was under way.
    pub under_way: Option<Position>,
    /// Where that batch began in the log driver's own file, where it has one.
    pub file_bytes: Option<u64>,
}

#[derive(Debug)]
pub(super) struct Progress {
    file: File,
    sequence: u64,
}

impl Progress {
    /// Opens the file at `path`, made where it is missing, and answers what it says.
    pub fn open(path: &Path) -> io::Result<(Self, Shipped)> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let mut newest = (0, Shipped::default());
        for slot in 0..2 {
            let mut bytes = [0; SLOT];
            let is_whole = file.read_exact_at(&mut bytes, slot * SLOT as u64).is_ok();
            if let Some(found) = is_whole.then(|| parse(&bytes)).flatten().filter(|found| found.0 > newest.0)
            {
                newest = found;
            }
        }
        Ok((Progress { file, sequence: newest.0 }, newest.1))
    }

    pub fn save(&mut self, shipped: &Shipped) -> io::Result<()> {
        self.sequence += 1;
        let slot = self.sequence % 2;
        self.file.write_all_at(&print(self.sequence, shipped), slot * SLOT as u64)
    }
}

fn print(sequence: u64, shipped: &Shipped) -> [u8; SLOT] {
    let mut bytes = Vec::with_capacity(SLOT);
    let position = |bytes: &mut Vec<u8>, position: Position| {
        bytes.extend(position.segment.to_le_bytes());
        bytes.extend(position.offset.to_le_bytes());
    };
    bytes.extend(sequence.to_le_bytes());
    position(&mut bytes, shipped.until);
    let batch = if shipped.under_way.is_some() { HAS_BATCH } else { 0 };
    let size = if shipped.file_bytes.is_some() { HAS_BYTES } else { 0 };
    bytes.push(batch | size);
    position(&mut bytes, shipped.under_way.unwrap_or_default());
    bytes.extend(shipped.file_bytes.unwrap_or_default().to_le_bytes());
    bytes.resize(SLOT - 4, 0);
    let crc = crc32fast::hash(&bytes);
    bytes.extend(crc.to_le_bytes());
    bytes.try_into().expect("a slot's length")
}

fn parse(bytes: &[u8; SLOT]) -> Option<(u64, Shipped)> {
    let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    let u64_at = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
    let position = |at: usize| Position { segment: u32_at(at), offset: u32_at(at + 4) };
    if crc32fast::hash(&bytes[..SLOT - 4]) != u32_at(SLOT - 4) {
        return None;
    }
    let flags = bytes[16];
    let shipped = Shipped {
        until: position(8),
        under_way: (flags & HAS_BATCH != 0).then(|| position(17)),
        file_bytes: (flags & HAS_BYTES != 0).then(|| u64_at(25)),
    };
    Some((u64_at(0), shipped))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(segment: u32, offset: u32) -> Position {
        Position { segment, offset }
    }

    #[test]
    fn the_newest_whole_slot_counts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("web.shipped");
        let (mut progress, first) = Progress::open(&path).unwrap();
        assert_eq!(first, Shipped::default());
        let said = [
            Shipped { until: at(1, 2), under_way: Some(at(3, 4)), file_bytes: Some(5) },
            Shipped { until: at(3, 4), under_way: None, file_bytes: None },
            Shipped { until: at(3, 4), under_way: Some(at(0, 9)), file_bytes: None },
        ];
        for shipped in &said {
            progress.save(shipped).unwrap();
            assert_eq!(Progress::open(&path).unwrap().1, *shipped);
        }
        // The third save went to the second slot: torn, the one before it counts.
        progress.file.write_all_at(b"torn", SLOT as u64 + 20).unwrap();
        let (mut progress, found) = Progress::open(&path).unwrap();
        assert_eq!(found, said[1]);
        progress.save(&said[0]).unwrap();
        assert_eq!(Progress::open(&path).unwrap().1, said[0]);
    }

    #[test]
    fn nonsense_is_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("web.shipped");
        std::fs::write(&path, vec![7; 300]).unwrap();
        assert_eq!(Progress::open(&path).unwrap().1, Shipped::default());
    }
}
