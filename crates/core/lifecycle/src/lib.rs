//! Task and container life cycles: what a host is asked to run, what it reports, and which state
//! follows from that.
//!
//! No AWS shapes, no async, no store. AWS's status strings live in the services' `convert.rs`.

mod assignment;
mod observation;

pub use assignment::{Assignment, ContainerSpec, Interface, LogTarget, PortMapping, PullAs, Ulimit};
pub use observation::{ContainerObservation, Exit, Failure, Observation, Phase};
