//! Task and container life cycles: what a host is asked to run, what it reports, and which state
//! follows from that.
//!
//! Invariant: everything here is a function of its arguments; `now` is one of them.
//! No AWS shapes, no async, no store. AWS's status strings live in the services' `convert.rs`.
//!
//! What a host promises to the state machine: it ends a task's other containers when an essential
//! one exits; a task that it is told to stop and does not know is reported as `Phase::Stopped`.

mod assignment;
mod container;
mod observation;
pub mod simulate;
mod task;

pub use assignment::{Assignment, ContainerSpec, Interface, LogTarget, PortMapping, PullAs, Ulimit};
pub use container::{Container, OUT_OF_MEMORY};
pub use observation::{ContainerObservation, Exit, Failure, Observation, Phase};
pub use task::{Event, Facts, Goal, Milestones, Stop, StopCode, Task, status_of};
