//! Content-addressed immutable data, and its collection.
//!
//! Owns a directory of blobs named by their SHA-256 and the uploads that are on their way in.
//!
//! Invariant: a blob that can be opened is whole, has the digest of its name, and is on disk: data
//! is synced, then renamed into place, then the directory is synced.
//! Invariant: an upload is visible to nobody until it is committed under the digest that its
//! sender announced.
//!
//! Ignores what blobs mean, who refers to them and who may read them: callers say what is live.
//! The surface is what an S3-compatible store offers too, so that a second home can come.

mod digest;
mod directory;
mod error;
mod reader;
mod staged;

pub use digest::{Digest, DigestError, Hasher};
pub use directory::{Blob, Blobs, Collected};
pub use error::BlobError;
pub use reader::BlobReader;
pub use staged::Staged;
