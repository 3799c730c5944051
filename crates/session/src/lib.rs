//! Sessions: a program in a running container, spoken to over a web socket, as ECS Exec does.
//!
//! - [`protocol`]: the messages and both ends' state machines, pure.
//! - [`DataChannels`]: the agent's end under `/v1/data-channel/`, for session-manager-plugin and
//!   whoever speaks like it.
//! - [`attach`]: the client's end, for `boxship exec`.
//!
//! Invariant: bytes arrive once and in order, in both directions, whatever the messages do.
//! Invariant: a session holds bounded memory, however fast its program and however slow its client.
//!
//! Known gaps: no KMS encryption of the channel, no session logs, and a client that loses its
//! connection cannot resume: its program is hung up at once.
//!
//! Deliberately ignores who may open a session, and how programs get into containers.

mod attach;
mod characters;
mod converse;
mod program;
pub mod protocol;
mod seams;
mod serve;
pub mod words;

pub use attach::{AttachError, Ended, Grant, Local, attach};
pub use seams::{OnHost, Pending, Programs, Sessions, Target};
pub use serve::{DataChannels, PATH};
