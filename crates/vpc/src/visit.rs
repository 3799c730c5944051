//! Sockets in VPCs that another process has made and owns, for one that only dials there.

use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use crate::dial::Dialers;
use crate::error::Doing;
use crate::namespace::Namespace;
use crate::vpc::file_name;
use crate::{VpcError, VpcKey};

/// The VPCs below a run directory, seen by a process that makes and removes none.
pub struct Visit {
    netns: PathBuf,
    dialers: Dialers,
}

impl Visit {
    /// `run_dir` as in [`crate::VpcsConfig`].
    pub fn new(run_dir: &Path) -> Self {
        Visit { netns: run_dir.join("netns"), dialers: Dialers::default() }
    }

    /// As [`crate::Vpcs::dial`].
    ///
    /// # Errors
    /// [`VpcError::Kernel`], with ENOENT where the VPC is not on this host.
    pub fn dial(&self, vpc: &VpcKey, from: Ipv4Addr) -> Result<OwnedFd, VpcError> {
        if let Ok(socket) = self.dialers.dial(vpc, from) {
            return Ok(socket);
        }
        // Not seen before, or made anew since.
        let file = self.netns.join(file_name(vpc));
        let namespace = Namespace::open(&file).doing("opening a VPC's namespace")?;
        self.dialers.open(vpc, namespace);
        self.dialers.dial(vpc, from)
    }
}
