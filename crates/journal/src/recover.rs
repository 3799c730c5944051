//! Opening: footers for sealed segments, a scan for the last one, whose torn tail is cut off.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use crate::error::OpenError;
use crate::frame::Frame;
use crate::index::Index;
use crate::segment::{self, Footer, MAGIC, Scan, Segment};

/// The segment that grows.
#[derive(Debug)]
pub(crate) struct Active {
    pub segment: Arc<Segment>,
    /// Everything before it is synced.
    pub length: u64,
    /// Streams deleted in it, for its footer.
    pub deleted: BTreeSet<String>,
}

pub(crate) struct Recovered {
    /// Held as long as the journal is open.
    pub lock: File,
    pub index: Index,
    pub active: Active,
}

pub(crate) fn open(dir: &Path) -> Result<Recovered, OpenError> {
    let weather = |source| OpenError::Io { path: dir.to_owned(), source };
    fs::create_dir_all(dir).map_err(weather)?;
    let lock = lock(dir)?;
    let mut numbers = Vec::new();
    for entry in fs::read_dir(dir).map_err(weather)? {
        let name = entry.map_err(weather)?.file_name();
        let name = name.to_string_lossy();
        if name.ends_with(".new") {
            fs::remove_file(dir.join(&*name)).map_err(weather)?;
        }
        numbers.extend(segment::number_of(&name));
    }
    numbers.sort_unstable();
    let mut index = Index::default();
    let last = numbers.pop();
    for number in numbers {
        load_sealed(dir, number, &mut index)?;
    }
    let active = match last {
        None => create(dir, 1).map_err(weather)?,
        Some(number) => match load_last(dir, number, &mut index)? {
            Some(active) => active,
            None => create(dir, number + 1).map_err(weather)?,
        },
    };
    index.segments.insert(active.segment.number, Arc::clone(&active.segment));
    index.streams.values_mut().for_each(crate::index::Stream::drop_hidden);
    Ok(Recovered { lock, index, active })
}

fn lock(dir: &Path) -> Result<File, OpenError> {
    let path = dir.join("lock");
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|source| OpenError::Io { path: path.clone(), source })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked(dir.to_owned())),
        Err(TryLockError::Error(source)) => Err(OpenError::Io { path, source }),
    }
}

/// A new empty segment, durable before it is used.
pub(crate) fn create(dir: &Path, number: u64) -> io::Result<Active> {
    let path = segment::path_of(dir, number);
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path)?;
    file.write_all_at(MAGIC, 0)?;
    file.sync_all()?;
    segment::sync_dir(dir)?;
    let segment = Arc::new(Segment { number, file, path });
    Ok(Active { segment, length: MAGIC.len() as u64, deleted: BTreeSet::new() })
}

fn load_sealed(dir: &Path, number: u64, index: &mut Index) -> Result<(), OpenError> {
    let path = segment::path_of(dir, number);
    let weather = |source| OpenError::Io { path: path.clone(), source };
    let file = File::open(&path).map_err(weather)?;
    let Some(footer) = Footer::read(&file).map_err(weather)? else {
        let length = file.metadata().map_err(weather)?.len();
        return Err(OpenError::Damaged { path, offset: length });
    };
    for key in &footer.deleted {
        index.streams.remove(key.as_str());
    }
    for (key, part) in footer.parts {
        index.add_part(&key, number, part);
    }
    index.segments.insert(number, Arc::new(Segment { number, file, path }));
    Ok(())
}

/// The last segment, `None` if it turns out to be sealed. Its footer is believed only where the
/// scan meets it: an event's bytes could look like one.
fn load_last(dir: &Path, number: u64, index: &mut Index) -> Result<Option<Active>, OpenError> {
    let path = segment::path_of(dir, number);
    let weather = |source| OpenError::Io { path: path.clone(), source };
    let file = OpenOptions::new().read(true).write(true).open(&path).map_err(weather)?;
    let length = file.metadata().map_err(weather)?.len();
    let Some(mut scan) = Scan::new(&file).map_err(weather)? else {
        // The process died while it made the file: nothing in it was ever acknowledged.
        let is_stillborn = length <= MAGIC.len() as u64;
        return match is_stillborn {
            true => create(dir, number).map(Some).map_err(weather),
            false => Err(OpenError::Damaged { path, offset: 0 }),
        };
    };
    let mut deleted = BTreeSet::new();
    let mut ends_in_footer = false;
    while let Some((start, payload)) = scan.step().map_err(weather)? {
        let end = start + (crate::frame::HEADER + payload.len()) as u64;
        let Ok(frame) = Frame::parse(payload) else {
            return Err(OpenError::Damaged { path, offset: start });
        };
        ends_in_footer = matches!(frame, Frame::Footer(_));
        if let Frame::Delete { key } = frame {
            deleted.insert(key.to_owned());
        }
        index.note(number, start..end, &frame);
    }
    let whole = scan.at;
    drop(scan);
    let segment = Arc::new(Segment { number, file, path: path.clone() });
    if ends_in_footer && Footer::read(&segment.file).map_err(weather)?.is_some() {
        index.segments.insert(number, segment);
        return Ok(None);
    }
    if whole < length {
        segment.file.set_len(whole).map_err(weather)?;
    }
    // Whole frames may still be unsynced, and from here on they count as acknowledged.
    segment.file.sync_all().map_err(weather)?;
    Ok(Some(Active { segment, length: whole, deleted }))
}
