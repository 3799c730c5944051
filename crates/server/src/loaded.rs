//! Images that an operator loaded under a name of his choice, so that tasks find them without a
//! registry.

use blobs::Digest;
use serde::{Deserialize, Serialize};
use store::{Key, Record};

/// ```text
/// image/loaded   full reference: docker.io/library/nginx:latest
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Loaded {
    pub reference: String,
    pub digest: Digest,
    pub media_type: String,
    /// The manifest and everything that it names: kept from collection.
    pub content: Vec<Digest>,
}

impl Loaded {
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
