//! A backend that keeps its batches in memory: for tests, and for servers that may forget.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::backend::{Backend, BackendError, Batch, Fence, Head, Row, Stop};

/// Clones share what they hold, as two opens of one data directory do.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    disk: Arc<Mutex<Disk>>,
}

#[derive(Debug, Default)]
struct Disk {
    head: Head,
    rows: BTreeMap<(String, String), (u32, u64, String)>,
    fence: u64,
    is_held: bool,
    failure: Option<BackendError>,
}

/// One open of it.
struct Opened {
    memory: Memory,
    is_holder: bool,
}

impl Memory {
    /// A backend over what this memory holds.
    pub fn open(&self) -> Box<dyn Backend> {
        Box::new(Opened { memory: self.clone(), is_holder: false })
    }

    /// The next commit fails with `error`.
    pub fn fail_next_commit(&self, error: BackendError) {
        self.disk().failure = Some(error);
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Backend for Opened {
    fn hold_lease(&mut self) -> Result<Fence, BackendError> {
        let mut disk = self.memory.disk();
        if disk.is_held && !self.is_holder {
            return Err(BackendError::Held { by: String::from("this process") });
        }
        self.is_holder = true;
        disk.is_held = true;
        disk.fence += 1;
        Ok(Fence(disk.fence))
    }

    fn head(&mut self) -> Result<Head, BackendError> {
        Ok(self.memory.disk().head.clone())
    }

    fn load(&mut self, each: &mut dyn FnMut(Row<'_>) -> Result<(), Stop>) -> Result<(), BackendError> {
        let disk = self.memory.disk();
        for ((kind, key), (version, revision, json)) in &disk.rows {
            each(Row { kind, key, version: *version, revision: *revision, json })
                .map_err(|Stop| BackendError::Stopped)?;
        }
        Ok(())
    }

    fn commit(&mut self, batch: &Batch, fence: Fence) -> Result<(), BackendError> {
        let mut disk = self.memory.disk();
        if let Some(error) = disk.failure.take() {
            return Err(error);
        }
        if fence.0 != disk.fence {
            return Err(BackendError::Fenced { ours: fence.0, newest: disk.fence });
        }
        for write in &batch.writes {
            let at = (write.kind.to_owned(), write.key.as_str().to_owned());
            match &write.json {
                Some(json) => disk.rows.insert(at, (write.version, write.revision, json.clone())),
                None => disk.rows.remove(&at),
            };
        }
        disk.head.schema = batch.schema;
        disk.head.revision = batch.revision;
        let facts = batch.meta.iter().map(|(name, value)| (name.to_string(), value.to_string()));
        disk.head.meta.extend(facts);
        Ok(())
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        if self.is_holder {
            self.memory.disk().is_held = false;
        }
    }
}
