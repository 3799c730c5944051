//! The runtime of every loop that changes something by itself.
//!
//! A [`Controller`] says which keys a change touches, and plans one key at a time from one instant
//! of the state. Everything else is here: the queue with one entry per key, wake-ups, passes over
//! everything, backoff, and commits that happen only if nothing that a plan has read has moved.
//!
//! [`Agenda`] decides what is due and is a pure state machine over `now`; [`Engine`] drives it from
//! the store's commits and a clock, real or simulated.
//!
//! Invariant: a key is planned by one at a time. Invariant: a plan's writes and calls are committed
//! together, before any of its commands leaves. Invariant: whatever was missed (a lost command, a
//! commit that a slow watcher never saw, a restart) is found by the next pass over everything.
//!
//! Deliberately ignores what controllers decide, and whether a command arrives.

mod agenda;
mod controller;
mod engine;
mod plan;
mod queue;
mod world;

pub use agenda::{Agenda, Outcome, Planned, Refusal, Ticket};
pub use controller::Controller;
pub use engine::{Controllers, Engine, Outbox};
pub use plan::{Call, Plan, Report, Write};
pub use world::World;
