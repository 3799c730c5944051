//! Commands that are ordinary clients of the API: they go through the one port as the AWS CLI
//! does, and know nothing that it could not know.
//!
//! Owns the terminal: progress, tables, exit codes. Deliberately ignores how the server works;
//! starting and stopping it is `server`'s.

#![expect(clippy::print_stdout, reason = "commands print their results")]

mod client;
mod commands;
mod demo;
mod http;
mod patience;
mod place;
mod push;
mod rollout;
mod screen;
mod traffic;

pub use client::{Client, Refused};
pub use commands::{Command, reason, run};
pub use demo::demo;
pub use http::{get, post};
pub use place::{DEFAULT_LISTEN, Place, RunFile, default_listen, invoking_user, listen_option};
pub use screen::{Color, Steps, paint};
