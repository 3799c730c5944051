//! Images: their names, manifests and layers, where they come from and how they are unpacked.
//!
//! Owns the image model ([`Reference`], [`manifest`]), the way to other registries
//! ([`distribution`]), the store of unpacked layers ([`Content`]), image archives ([`archive`],
//! [`assemble`]) and the look-up of users in a root file system ([`users`]).
//!
//! Invariant: what a layer or a registry says is never trusted: digests, diff ids and sizes are
//! checked, parsers are strict and bounded, and no path planted by a layer is followed out of it.
//!
//! Ignores what runs: overlay mounts and containers are the runtime's.

pub mod archive;
pub mod assemble;
pub mod content;
pub mod distribution;
mod error;
pub mod manifest;
mod reference;
mod source;
pub mod tar;
pub mod unpack;
pub mod users;

pub use content::{Content, Event, Image, Options, Progress};
pub use distribution::{Client, Mirrors};
pub use error::Error;
pub use manifest::Platform;
pub use reference::{Reference, ReferenceError, is_repository, is_tag};
pub use source::{BoxFuture, Resolved, Source};
