//! Tasks on one host behind one trait.
//!
//! - [`Linux`]: real containers. One shim process per task ([`shim`]) owns its mounts, containers
//!   and their output, and outlives the server; a container is an OCI runtime specification
//!   ([`spec`]) run by our launcher or by any other OCI runtime.
//! - [`Simulated`]: no container; tasks walk their life cycle under a clock that tests advance.
//!
//! Invariant: an exit is on disk before anybody hears of it, and output is in the spool
//! ([`spool`]) before a container's pipe is read further.
//!
//! Deliberately ignores what a task is for: pulling, networks, logs' destination and the order
//! of containers belong to the agent.

mod contract;
mod descriptors;
mod exec;
mod linux;
mod plan;
mod protocol;
mod record;
pub mod shim;
mod simulated;
pub mod spec;
pub mod spool;
mod stats;
mod storage;
mod sys;

pub use contract::{
    ContainerRecord, ContainerStats, Event, Events, Exec, ExecControl, Foretold, InterfaceStats, OutputState,
    Pending, Runtime, RuntimeError, SandboxPhase, SandboxRecord,
};
pub use linux::{Limits, Linux, LinuxOptions};
pub use plan::{
    ContainerPlan, ExecPlan, ImageDefaults, MountPlan, MountSource, Network, Output, Place, Signal,
    TaskSandbox, TerminalSize,
};
pub use simulated::Simulated;
pub use sys::close_inherited;
