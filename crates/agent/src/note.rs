//! What the agent keeps on disk of each task, so that a restart goes on where it was.
//!
//! ```text
//! DIR/<task>/task.json           order, generation, observation
//! DIR/<task>/<container>.shipped how far its output is shipped
//! DIR/<task>/<container>-json.log  output under the `json-file` driver
//! ```
//!
//! Invariant: files are replaced whole. They outlive every process; after a loss of power they
//! may be older than what was reported, and the control plane's repeated orders mend that.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use core_lifecycle::supervision::Checks;
use core_lifecycle::{Assignment, Observation};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

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
    pub assignment: Option<Assignment>,
    pub observation: Observation,
    /// By container, from its image: asked for at the stop, when the image may be gone.
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
        Ok(Notes { dir })
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

    pub fn remove(&self, id: &str) -> io::Result<()> {
        match fs::remove_dir_all(self.dir.join(id)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
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
