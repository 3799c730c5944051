//! The host's agent: turns [`link::Desired`] into running tasks and what it sees into
//! [`link::Observed`].
//!
//! Owns: one actor per task (network, images, values, sandbox, supervision of its containers, stop,
//! teardown), health checks, the shipping of containers' output, what survives a restart of all
//! that. Failures carry AWS's classes and words.
//!
//! Invariants: orders may be lost, repeated and late (an older generation is refused, a
//! repetition answered with the report again); a kill at any moment loses no exit and no line.
//!
//! Ignores: which host runs what, and every AWS shape. What is to be done next about a task's
//! containers is [`core_lifecycle::supervision`]'s to decide; what tasks are told at 169.254.170.2
//! is the endpoint's.

mod agent;
mod failure;
mod note;
mod seams;
mod ship;
mod task;

pub use agent::{Agent, Parts};
pub use seams::{
    Attached, Endpoint, Images, LogBatch, LogEvent, LogSink, LogSource, Network, NetworkError, NoEndpoint,
    NoSecrets, Own, PullError, Pulled, SecretError, Secrets, SinkError, Wanted,
};
