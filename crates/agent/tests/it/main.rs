//! The agent over the simulated runtime and fakes of its surroundings.

mod end;
mod fakes;
mod orders;
mod output;
mod restart;
mod start;
