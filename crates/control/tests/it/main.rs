//! The controller runtime through its public surface.

mod convergence;
mod driven;
mod toy;
