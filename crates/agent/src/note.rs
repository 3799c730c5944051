//! What the agent keeps on disk of each task, so that a restart goes on where it was.
//!
//! ```text
//! DIR/<task>/task.json           order, generation, observation
//! DIR/<task>/<container>.shipped how far its output is shipped
//! DIR/<task>/<container>-json.log  output under the `json-file` driver; outlives the rest for a while
//! ```
//!
//! Invariant: files are replaced whole. They outlive every process; after a loss of power they
//! may be older than what was reported, and the control plane's repeated orders mend that.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use base::{Timestamp, clock};
use core_lifecycle::supervision::Checks;
use core_lifecycle::{Assignment, Observation};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// AWS: how long the ECS agent keeps a stopped task's containers, and with them their `json-file` logs
/// (`ECS_ENGINE_TASK_CLEANUP_WAIT_DURATION`).
const KEPT: Duration = Duration::from_secs(3 * 60 * 60);

/// What the control plane wants of a task, as far as the agent has heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Goal {
    Run,
    Stop,
    Forget,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Note {
    pub task: String,
    pub generation: u64,
    pub goal: Goal,
    /// `None`: a task that was ordered to stop before it was ordered to run.
    pub assignment: Option<Arc<Assignment>>,
    pub observation: Observation,
    /// By container, from its image, where it is not SIGTERM: asked for at the stop, when the image may be
    /// gone.
    pub stop_signals: BTreeMap<String, i32>,
    /// What health checks have shown, by container, while it runs.
    #[serde(default)]
    pub checks: BTreeMap<String, Checks>,
    /// Sandbox and network are gone.
    pub is_torn_down: bool,
}

/// The agent's directory.
#[derive(Debug, Clone)]
pub(crate) struct Notes {
    dir: PathBuf,
}

impl Notes {
    pub fn open(dir: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&dir)?;
        let notes = Notes { dir };
        notes.sweep(clock::wall());
        Ok(notes)
    }

    /// Every task's note, by directory name. Broken ones are left alone and named in the log.
    pub fn load(&self) -> io::Result<Vec<(String, Note)>> {
        let mut notes = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            let Ok(id) = entry.file_name().into_string() else { continue };
            match read(&entry.path().join("task.json")) {
                Ok(Some(note)) => notes.push((id, note)),
                Ok(None) => {}
                Err(error) => tracing::error!(task = id, %error, "a task's note cannot be read"),
            }
        }
        Ok(notes)
    }

    pub fn save(&self, id: &str, note: &Note) -> io::Result<()> {
        let dir = self.dir.join(id);
        fs::create_dir_all(&dir)?;
        write(&dir.join("task.json"), note)
    }

    /// Forgets a task, but for what the `json-file` driver wrote: that can still be read for [`KEPT`].
    pub fn remove(&self, id: &str) -> io::Result<()> {
        let dir = self.dir.join(id);
        let entries = match fs::read_dir(&dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        let mut is_empty = true;
        for entry in entries {
            let entry = entry?;
            if is_log(&entry.file_name()) {
                is_empty = false;
            } else {
                fs::remove_file(entry.path())?;
            }
        }
        if is_empty {
            return fs::remove_dir(dir);
        }
        self.sweep(clock::wall());
        Ok(())
    }

    /// Removes logs of forgotten tasks that have been kept long enough.
    fn sweep(&self, now: Timestamp) {
        let Ok(entries) = fs::read_dir(&self.dir) else { return };
        for dir in entries.flatten().map(|entry| entry.path()) {
            if dir.join("task.json").exists() {
                continue;
            }
            let files = fs::read_dir(&dir).into_iter().flatten().flatten();
            let times = files.filter_map(|file| file.metadata().and_then(|data| data.modified()).ok());
            let newest = times.max().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
            // An empty one is about to get its note.
            if newest.is_some_and(|at| now.since(Timestamp::EPOCH).saturating_sub(at) > KEPT) {
                let _ = fs::remove_dir_all(dir);
            }
        }
    }

    /// Where the `json-file` driver writes.
    pub fn log_file(&self, id: &str, container: &str) -> PathBuf {
        self.dir.join(id).join(format!("{container}-json.log"))
    }

    /// Where it is written how far a container's output is shipped.
    pub fn shipped_path(&self, id: &str, container: &str) -> PathBuf {
        // `task` cannot be a container's file: the suffix differs.
        self.dir.join(id).join(format!("{container}.shipped"))
    }
}

/// The `json-file` driver's, the current one or one that it has rotated.
fn is_log(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| name.contains("-json.log"))
}

fn read<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match fs::read(path) {
        Ok(text) => serde_json::from_slice(&text).map(Some).map_err(io::Error::other),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn write(path: &Path, value: &impl Serialize) -> io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    fs::write(&new, serde_json::to_vec(value).map_err(io::Error::other)?)?;
    fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_outlive_their_task_for_a_while() {
        let dir = tempfile::tempdir().unwrap();
        let notes = Notes::open(dir.path().to_owned()).unwrap();
        for id in ["with", "without"] {
            fs::create_dir(dir.path().join(id)).unwrap();
            fs::write(notes.shipped_path(id, "web"), "").unwrap();
        }
        let logs = [notes.log_file("with", "web"), dir.path().join("with/web-json.log.1.gz")];
        logs.iter().for_each(|log| fs::write(log, "said").unwrap());
        notes.remove("with").unwrap();
        notes.remove("without").unwrap();
        notes.remove("without").unwrap();
        assert!(logs.iter().all(|log| log.exists()));
        assert!(!notes.shipped_path("with", "web").exists());
        assert!(!dir.path().join("without").exists());
        fs::create_dir(dir.path().join("new")).unwrap();
        notes.sweep(clock::wall() + KEPT + Duration::from_secs(60));
        assert!(!dir.path().join("with").exists());
        assert!(dir.path().join("new").exists(), "one that is only being made");
    }
}
