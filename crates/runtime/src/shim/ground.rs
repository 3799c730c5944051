//! What a task's containers stand on together: namespaces that they share, shared memory, a disk.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::CString;

use base::clock;
use core_lifecycle::Namespace;
use launch::Holder;
use launch::cgroup::{Cgroup, Hierarchies};
use rustix::mount::MountFlags;

use super::Config;
use crate::contract::RuntimeError;
use crate::record::TaskDir;
use crate::storage::disk::{self, Ready};

pub(super) struct Ground {
    /// Holds the namespaces that containers share.
    pub holder: Option<Holder>,
    /// What could not be had and was not asked for.
    pub warning: Option<String>,
    /// What every container that was started weighs, by name.
    shares: RefCell<BTreeMap<String, u64>>,
    /// An image that was made ahead and that the task has no use for. To unmount it takes longer than a
    /// container's start, so it stays until the shim's end.
    _unused: Option<Ready>,
}

/// Of the task's shared memory, as Docker has it.
const SHM: &str = "mode=1777,size=65536k";

impl Ground {
    /// In the shim's own mount namespace: what is mounted here goes with it.
    pub fn lay(task: &TaskDir, config: &Config, mut ready: Option<Ready>) -> Result<Self, RuntimeError> {
        let sandbox = &config.sandbox;
        let warning = match disk::prepare(task, sandbox.storage_gib, &mut ready) {
            Err(RuntimeError::Limit(text)) if config.is_advisory => Some(text),
            other => other?,
        };
        if let Some(text) = &warning {
            eprintln!("{} shim: {text}", clock::wall());
        }
        if sandbox.ipc_mode == Namespace::Task {
            let shm = task.shm();
            std::fs::create_dir_all(&shm).map_err(|e| RuntimeError::host("make shared memory", e))?;
            let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
            let options = CString::new(SHM).expect("a constant without zero bytes");
            rustix::mount::mount("shm", &shm, "tmpfs", flags, Some(options.as_c_str()))
                .map_err(|e| RuntimeError::host("mount shared memory", e))?;
        }
        let shares = [sandbox.pid_mode, sandbox.ipc_mode].contains(&Namespace::Task);
        let holder = shares.then(launch::hold).transpose();
        let holder = holder.map_err(|e| RuntimeError::host("share namespaces", e))?;
        Ok(Ground { holder, warning, shares: RefCell::default(), _unused: ready })
    }

    /// Gives the task the weight of its containers, of which one more is to start, where it has no limit of
    /// its own.
    pub fn weigh(&self, config: &Config, container: &str, shares: u64) -> Result<(), RuntimeError> {
        if config.sandbox.cpu_units.is_some() {
            return Ok(());
        }
        let mut all = self.shares.borrow_mut();
        all.insert(container.to_owned(), shares);
        let weighed = Hierarchies::detect()
            .and_then(|found| Cgroup::open(&found, &config.cgroup))
            .and_then(|group| group.limit(&crate::spec::weight_of(all.values().copied())));
        match weighed {
            Err(error) if !config.is_advisory => Err(RuntimeError::Limit(error.to_string())),
            _ => Ok(()),
        }
    }
}
