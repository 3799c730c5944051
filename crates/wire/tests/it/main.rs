//! The codecs from outside.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod dynamic;
mod fuzz;
mod json;
mod members;
mod model;
mod property;
mod signatures;
mod validation;
mod vectors;
