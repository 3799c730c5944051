//! What happens by itself, one file per loop.

mod draining;
mod provisioning;
mod simulated;

pub use draining::Draining;
pub use provisioning::Provisioning;
pub use simulated::{Simulated, UnhealthyAt};
