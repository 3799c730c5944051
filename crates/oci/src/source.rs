//! Where images come from.

use std::fs::File;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;

use blobs::Digest;
use bytes::Bytes;

use crate::manifest::Part;
use crate::{Error, Reference};

pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A manifest or index as it lies in a registry.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// As announced; the document may know better.
    pub media_type: Option<String>,
    /// Of `bytes`, verified.
    pub digest: Digest,
    pub bytes: Bytes,
}

/// A registry to pull from: ours in process, or any other over HTTP.
pub trait Source: Send + Sync {
    /// The manifest or index that `reference` names, by digest if it has one.
    fn resolve<'a>(&'a self, reference: &'a Reference) -> BoxFuture<'a, Result<Resolved, Error>>;

    /// The blob `part` of the repository of `reference`, verified against its digest and size, as
    /// a file to be read from its start. `scratch` is a path that the source may create a file at;
    /// the caller removes it. `received` is told how many more bytes have arrived.
    fn blob<'a>(
        &'a self,
        reference: &'a Reference,
        part: &'a Part,
        scratch: &'a Path,
        received: &'a (dyn Fn(u64) + Send + Sync),
    ) -> BoxFuture<'a, Result<File, Error>>;
}
