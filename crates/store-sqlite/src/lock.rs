//! One server per database: a lock that the kernel drops with its holder, however that ends.
//!
//! SQLite's own exclusive mode would do, but would also keep readers out.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::Path;
use std::process;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use store::BackendError;

/// Held until dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    pub fn take(path: &Path) -> Result<Lock, BackendError> {
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let mut file = opened.map_err(|error| unwritable(path, &error))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(BackendError::Held { by: holder(&mut file) }),
            Err(error) => return Err(unwritable(path, &error.into())),
        }
        sign(&mut file).map_err(|error| match error.kind() {
            io::ErrorKind::StorageFull => BackendError::Full,
            _ => unwritable(path, &error),
        })?;
        Ok(Lock { _file: file })
    }
}

fn holder(file: &mut File) -> String {
    let mut id = String::new();
    match file.read_to_string(&mut id) {
        Ok(_) if !id.trim().is_empty() => format!("process {}", id.trim()),
        _ => String::from("another process"),
    }
}

fn sign(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", process::id())
}

fn unwritable(path: &Path, error: &io::Error) -> BackendError {
    BackendError::ReadOnly(format!("{}: {error}", path.display()))
}
