//! Life cycles through their public surface: tables, properties, transcripts.

mod container;
mod life;
mod properties;
mod simulate;
