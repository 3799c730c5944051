//! The controller runtime through its public surface.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod convergence;
mod driven;
mod toy;
