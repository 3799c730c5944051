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
mod logging;
mod observation;
pub mod simulate;
pub mod supervision;
mod task;

pub use assignment::{
    Assignment, ContainerSpec, Device, Interface, LaunchType, Link, LinuxSettings, Mount, Names, Namespace,
    NetworkMode, PortMapping, PortRange, PullAs, SecretReference, Tmpfs, Ulimit, Volume, VolumeSource,
    VolumesFrom,
};
pub use container::{Container, OUT_OF_MEMORY};
pub use logging::{LogDriver, LogTarget, Logging, Multiline};
pub use observation::{
    Binding, ContainerObservation, Exit, Failure, Health, HealthStatus, Observation, Phase,
};
pub use supervision::{Condition, Dependency, HealthCheck, RestartPolicy};
pub use task::{Event, Facts, Goal, Milestones, Stop, StopCode, Task, status_of};
