//! The agent over the simulated runtime and fakes of its surroundings.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod end;
mod fakes;
mod given;
mod histories;
mod orders;
mod output;
mod restart;
mod start;
mod supervise;
