//! Append-only streams of events on disk: log events now, metric samples and messages later.
//!
//! Many streams share a few segment files, so a stream that is silent costs its index entry and
//! nothing else. One writer thread takes whatever waits, writes it at once and syncs it once;
//! readers never wait for it.
//!
//! ```text
//! DIR/lock                  held by the one process that has the journal open
//! DIR/0000000000000001.seg  magic, frames, then (once sealed) a footer frame and its trailer
//! DIR/….new                 a segment being rewritten; removed at open
//!
//! frame    length u32 · crc32 u32 · payload          everything is little endian
//! payload  batch | delete | trim | state | footer    see `frame`
//! ```
//!
//! Invariant: an append is answered after its bytes are synced, and is found again by every later
//! open. A batch is there as a whole or not at all.
//! Invariant: frames of one stream stand in the order of their sequence numbers.
//! Invariant: what an open journal knows is what the next open will rebuild: the live path and
//! recovery note frames through the same function.
//!
//! Ignores: what the bytes mean, who may read them, and clocks (ingestion times are arguments).

mod collect;
mod error;
mod frame;
mod index;
mod journal;
mod read;
mod recover;
mod segment;
mod writer;

pub use error::{AppendError, OpenError, ReadError};
pub use journal::{Appended, Event, Journal, Options, Summary};
pub use read::{Page, Position, Query, Stored};
