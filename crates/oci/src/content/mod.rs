//! The store of unpacked layers on one host.
//!
//! ```text
//! DIR/layers/<diff id>/fs      one layer, whole and on disk
//! DIR/images/<digest>.json     one image: configuration, diff ids, size
//! DIR/ingest/<n>               on its way in or out; swept when the store is opened
//! ```
//!
//! Invariant: what lies in `layers` is complete: it is unpacked in `ingest`, synced, then renamed.
//! Invariant: a layer is fetched and unpacked once, however many pulls want it at the same time.
//! Invariant: nothing that a living [`Image`] names is removed.
//!
//! Ignores mounts: callers stack [`Image::layers`] as overlayfs's lower directories.

mod collect;
mod pull;

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use blobs::Digest;
use oci_spec::image::ImageConfiguration;
use serde::{Deserialize, Serialize};

pub use collect::Removed;
pub(crate) use pull::blocking;

use crate::manifest::{Part, parse_config};
use crate::unpack::{Limits, Opaque};
use crate::{Error, Reference};

/// How a store unpacks.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    pub limits: Limits,
    pub opaque: Opaque,
    /// Layers that are fetched and unpacked at the same time, over all pulls.
    pub parallel: usize,
}

impl Default for Options {
    fn default() -> Self {
        Options { limits: Limits::default(), opaque: Opaque::default(), parallel: 3 }
    }
}

/// A step of a pull. Layers go by the digest of their blob.
#[derive(Debug, Clone)]
pub enum Event<'a> {
    /// The manifest is known: these layers belong to it.
    Layers(&'a [Part]),
    /// Another so many bytes of a layer have arrived.
    Received { layer: Digest, bytes: u64 },
    /// Another so many compressed bytes of a layer are unpacked.
    Unpacked { layer: Digest, bytes: u64 },
    /// A layer is there, perhaps since long ago.
    Ready { layer: Digest },
}

/// Told how a pull comes along, from several threads. Must be quick.
pub trait Progress: Send + Sync {
    fn event(&self, event: Event<'_>);
}

/// Nobody watches.
impl Progress for () {
    fn event(&self, _event: Event<'_>) {}
}

/// A handle on the store; clones share it.
#[derive(Clone)]
pub struct Content {
    home: Arc<Home>,
}

/// An image that is here. Its layers stay while it or a clone lives.
#[derive(Debug, Clone)]
pub struct Image {
    /// Of the manifest for this platform.
    pub digest: Digest,
    pub config: ImageConfiguration,
    /// Root directories of the layers, lowest first, each once.
    pub layers: Vec<PathBuf>,
    /// Bytes of the compressed layers and the configuration.
    pub size: u64,
    _lease: Arc<Lease>,
}

struct Home {
    root: PathBuf,
    options: Options,
    next: AtomicU64,
    slots: Arc<tokio::sync::Semaphore>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Layers in use, by diff id, and by how many.
    leases: BTreeMap<Digest, usize>,
    /// One lock per layer on its way in.
    turns: HashMap<Digest, Weak<tokio::sync::Mutex<()>>>,
}

struct Lease {
    home: Arc<Home>,
    layers: Vec<Digest>,
}

impl std::fmt::Debug for Lease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(&self.layers).finish()
    }
}

/// `images/<digest>.json`
#[derive(Serialize, Deserialize)]
struct Record {
    /// The configuration's own text.
    config: String,
    layers: Vec<Digest>,
    size: u64,
}

impl Content {
    /// Opens or makes the store in `dir`, and sweeps what an interrupted pull left. One process
    /// at a time. Blocking.
    pub fn open(dir: &Path, options: Options) -> Result<Content, Error> {
        for sub in ["layers", "images", "ingest"] {
            // Nobody else on this host may reach a setuid program of some image.
            let path = dir.join(sub);
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&path)
                .map_err(|e| Error::io(&path, e))?;
        }
        let ingest = dir.join("ingest");
        for entry in fs::read_dir(&ingest).map_err(|e| Error::io(&ingest, e))? {
            let path = entry.map_err(|e| Error::io(&ingest, e))?.path();
            remove_all(&path)?;
        }
        let home = Home {
            root: dir.to_owned(),
            options,
            next: AtomicU64::new(0),
            slots: Arc::new(tokio::sync::Semaphore::new(options.parallel.max(1))),
            state: Mutex::default(),
        };
        Ok(Content { home: Arc::new(home) })
    }

    /// The image with this manifest, if all of it is here.
    pub fn image(&self, digest: &Digest) -> Option<Image> {
        let text = fs::read(self.home.image_path(digest)).ok()?;
        let record: Record = serde_json::from_slice(&text).ok()?;
        let lease = self.lease(record.layers.clone());
        if !record.layers.iter().all(|layer| self.home.has_layer(layer)) {
            return None;
        }
        let (config, _) = parse_config(record.config.as_bytes(), record.layers.len()).ok()?;
        Some(self.home.image(*digest, config, record.size, lease))
    }

    /// Manifests of the images that are here.
    pub fn images(&self) -> Result<Vec<Digest>, Error> {
        let dir = self.home.root.join("images");
        let mut digests = Vec::new();
        for entry in fs::read_dir(&dir).map_err(|e| Error::io(&dir, e))? {
            let name = entry.map_err(|e| Error::io(&dir, e))?.file_name();
            let hex = name.to_str().and_then(|n| n.strip_suffix(".json")).unwrap_or_default();
            digests.extend(format!("sha256:{hex}").parse::<Digest>());
        }
        digests.sort();
        Ok(digests)
    }

    fn lease(&self, layers: Vec<Digest>) -> Arc<Lease> {
        let mut state = self.home.state();
        for layer in &layers {
            *state.leases.entry(*layer).or_default() += 1;
        }
        Arc::new(Lease { home: self.home.clone(), layers })
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut state = self.home.state();
        for layer in &self.layers {
            let count = state.leases.get_mut(layer).expect("a lease is counted");
            *count -= 1;
            if *count == 0 {
                state.leases.remove(layer);
            }
        }
    }
}

impl Home {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn layer_path(&self, diff_id: &Digest) -> PathBuf {
        self.root.join("layers").join(diff_id.hex())
    }

    fn has_layer(&self, diff_id: &Digest) -> bool {
        self.layer_path(diff_id).join("fs").is_dir()
    }

    fn image_path(&self, digest: &Digest) -> PathBuf {
        self.root.join("images").join(format!("{}.json", digest.hex()))
    }

    /// A path of its own in `ingest`.
    fn scratch(&self) -> Scratch {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        Scratch(self.root.join("ingest").join(turn.to_string()))
    }

    /// The lock under which a layer is fetched.
    fn turn(&self, diff_id: &Digest) -> Arc<tokio::sync::Mutex<()>> {
        let mut state = self.state();
        if let Some(turn) = state.turns.get(diff_id).and_then(Weak::upgrade) {
            return turn;
        }
        state.turns.retain(|_, turn| turn.strong_count() > 0);
        let turn = Arc::default();
        state.turns.insert(*diff_id, Arc::downgrade(&turn));
        turn
    }

    fn image(&self, digest: Digest, config: ImageConfiguration, size: u64, lease: Arc<Lease>) -> Image {
        let all = &lease.layers;
        // overlayfs refuses a directory twice. The topmost one stands for all: what a lower one
        // adds, it adds again.
        let is_last = |(at, layer): &(usize, &Digest)| !all[at + 1..].contains(layer);
        let unique = all.iter().enumerate().filter(is_last);
        let layers = unique.map(|(_, layer)| self.layer_path(layer).join("fs")).collect();
        Image { digest, config, layers, size, _lease: lease }
    }
}

/// Removed when dropped, unless it was renamed by then.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays is swept at the next start.
        let _ = remove_all(&self.0);
    }
}

fn remove_all(path: &Path) -> Result<(), Error> {
    let gone = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(e) => Err(e),
    };
    match gone {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io(path, e)),
        _ => Ok(()),
    }
}

fn sync_directory(path: &Path) -> Result<(), Error> {
    fs::File::open(path).and_then(|dir| dir.sync_all()).map_err(|e| Error::io(path, e))
}

/// For messages: the name as asked for.
fn describe(reference: &Reference) -> String {
    reference.to_string()
}
