//! Tasks that ask, over loopback: 127.0.0.1 is the address of the task, any other is a stranger's.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod credentials;
mod doors;
mod ecs;
mod environment;
mod faults;
mod metadata;
mod protection;
mod stats;
mod world;
