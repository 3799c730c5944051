//! Pulls that are under way, for people who wait for them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use oci::{Event, Progress};
use serde::Serialize;

/// How far pulls have come, by task and image. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Pulls(Arc<Mutex<BTreeMap<(String, String), Pull>>>);

/// One pull. Sizes in bytes, as the registry has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Pull {
    pub layers: usize,
    /// Layers that need nothing more.
    pub ready: usize,
    pub total: u64,
    pub received: u64,
    pub unpacked: u64,
}

/// One pull, while it lasts.
pub struct Watched {
    pulls: Pulls,
    key: (String, String),
}

impl Pulls {
    pub fn begin(&self, task: &str, image: &str) -> Arc<Watched> {
        let key = (task.to_owned(), image.to_owned());
        self.lock().insert(key.clone(), Pull::default());
        Arc::new(Watched { pulls: self.clone(), key })
    }

    /// Of one task, by image.
    pub fn of(&self, task: &str) -> BTreeMap<String, Pull> {
        let all = self.lock();
        let own = all.iter().filter(|((of, _), _)| of == task);
        own.map(|((_, image), pull)| (image.clone(), *pull)).collect()
    }

    /// No code panics while it holds the lock.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<(String, String), Pull>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress for Watched {
    fn event(&self, event: Event<'_>) {
        let mut all = self.pulls.lock();
        let Some(pull) = all.get_mut(&self.key) else { return };
        match event {
            Event::Layers(layers) => {
                pull.layers = layers.len();
                pull.total = layers.iter().map(|layer| layer.size).sum();
            }
            Event::Received { bytes, .. } => pull.received += bytes,
            Event::Unpacked { bytes, .. } => pull.unpacked += bytes,
            Event::Ready { .. } => pull.ready += 1,
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.pulls.lock().remove(&self.key);
    }
}
