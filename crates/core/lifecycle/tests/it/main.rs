//! Life cycles through their public surface: tables, properties, transcripts.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod container;
mod histories;
mod life;
mod properties;
mod simulate;
mod supervision;
