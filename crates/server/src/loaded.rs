//! Images that an operator loaded under a name of his choice, so that tasks find them without a
//! registry.

use base::Timestamp;
use blobs::Digest;
use serde::{Deserialize, Serialize};
use service::Tx;
use store::{Key, Record};

/// ```text
/// image/loaded   full reference: docker.io/library/nginx:latest
///                that had the name before: docker.io/library/nginx:latest@sha256:…
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Loaded {
    pub reference: String,
    pub digest: Digest,
    pub media_type: String,
    /// The manifest and everything that it names: kept from collection.
    pub content: Vec<Digest>,
    /// When another image got its name: it is found by its digest since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced_at: Option<Timestamp>,
}

/// Images that had a name before and are kept: services go on with what their revision began with.
const KEPT: usize = 10;

impl Loaded {
    /// Gives the name to a newer image.
    pub fn put(self, tx: &mut Tx<'_>) {
        let before = tx.get::<Loaded>(&self.key()).filter(|before| before.digest != self.digest);
        if let Some(before) = before {
            let name = format!("{}@", self.reference);
            let records = tx.scan::<Loaded>(&Key::all());
            let mut kept: Vec<_> = records.filter(|other| other.reference.starts_with(&name)).collect();
            kept.sort_by_key(|other| other.replaced_at);
            for oldest in kept.iter().take((kept.len() + 1).saturating_sub(KEPT)) {
                tx.delete::<Loaded>(&oldest.key());
            }
            let reference = format!("{name}{}", before.digest);
            let replaced_at = Some(tx.now);
            tx.put(Loaded { reference, replaced_at, ..(*before).clone() });
        }
        tx.put(self);
    }

    pub fn key_of(reference: &str) -> Key {
        Key::of(&[reference])
    }
}

impl Record for Loaded {
    const KIND: &'static str = "image/loaded";
    fn key(&self) -> Key {
        Loaded::key_of(&self.reference)
    }
}
