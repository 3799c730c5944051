//! The data plane of load balancers.
//!
//! Owns the threads, sockets and connections that serve [`core_routing::Balancer`] tables: every
//! decision is that crate's, every byte is this one's. Reading order: [`Plane`] takes tables in and
//! hands them to workers; a worker accepts connections; `h1` and `h2` read requests; `exchange` runs
//! each of them against a target.
//!
//! Invariants: a table change drops no request; a request keeps the table that it began with; no
//! lock is shared on a request's path; everything that a peer can make grow has a bound.
//!
//! Deliberately ignores where tables come from, and records.

mod arrival;
mod buffers;
mod control;
pub mod counts;
mod exchange;
mod h1;
mod h2;
mod hash;
pub mod health;
mod hold;
pub mod log;
mod plane;
mod sockets;
mod table;
pub mod tls;
mod upstream;
mod watch;
mod worker;

pub use plane::{ApplyError, Config, Plane};
pub use sockets::{Loopback, Opening, Sockets, listen_shared};
