//! Taking away what nobody uses.

use std::collections::BTreeSet;
use std::fs;

use blobs::Digest;

use super::{Content, Record, Scratch, sync_directory};
use crate::Error;

/// What [`Content::remove_unused`] took away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Removed {
    pub images: usize,
    pub layers: usize,
}

impl Content {
    /// Removes every image whose manifest is not to be kept, and every layer that neither an image
    /// that stays nor a living [`super::Image`] needs. Blocking.
    ///
    /// Layers that are mounted must belong to an image that is kept.
    pub fn remove_unused(&self, keep: &dyn Fn(&Digest) -> bool) -> Result<Removed, Error> {
        let mut removed = Removed::default();
        // Emptied after the lock is gone: deleting takes long.
        let mut rubbish: Vec<Scratch> = Vec::new();
        let state = self.home.state();
        let mut needed: BTreeSet<Digest> = state.leases.keys().copied().collect();
        for digest in self.images()? {
            let path = self.home.image_path(&digest);
            let record = fs::read(&path).ok().and_then(|text| serde_json::from_slice::<Record>(&text).ok());
            match record {
                Some(record) if keep(&digest) => needed.extend(record.layers),
                _ => {
                    fs::remove_file(&path).map_err(|e| Error::io(&path, e))?;
                    removed.images += 1;
                }
            }
        }
        // Records are gone for good before a layer of theirs is.
        sync_directory(&self.home.root.join("images"))?;
        let layers = self.home.root.join("layers");
        for entry in fs::read_dir(&layers).map_err(|e| Error::io(&layers, e))? {
            let path = entry.map_err(|e| Error::io(&layers, e))?.path();
            let hex = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
            let diff_id = format!("sha256:{hex}").parse::<Digest>();
            if diff_id.is_ok_and(|diff_id| needed.contains(&diff_id)) {
                continue;
            }
            let scratch = self.home.scratch();
            fs::rename(&path, &scratch.0).map_err(|e| Error::io(&path, e))?;
            rubbish.push(scratch);
            removed.layers += 1;
        }
        drop(state);
        drop(rubbish);
        Ok(removed)
    }
}
