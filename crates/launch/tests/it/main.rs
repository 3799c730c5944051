//! Real containers: what is promised about them, looked at from inside and from outside.
//!
//! Needs root and `/bin/busybox` (static); where one is missing a test says so in a line and passes.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(clippy::print_stdout, reason = "what is left out is said")]

mod basics;
mod cgroups;
mod confinement;
mod enter;
mod errors;
mod hostile;
mod init;
mod life;
mod rig;
mod terminal;
