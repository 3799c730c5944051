//! One container from an OCI runtime specification.
//!
//! Owns: everything between a [`Spec`](oci_spec::runtime::Spec) and the first instruction of the program:
//! namespaces, mounts, the root, devices, control groups, capabilities, seccomp; entering a running container
//! ([`exec()`]); and the life cycle of an OCI runtime over a state directory ([`runtime_cli`]).
//!
//! The work is split in three. [`create()`] turns the specification into a *plan* in which every string is
//! ready for the kernel, makes the control group, and clones. The clone walks the plan: it makes system calls
//! and nothing else. It never allocates, never takes a lock and cannot panic for want of data, so the caller
//! may have threads (although the shim has none). The parent turns what the clone reports into an error text.
//!
//! Invariant: what the specification asks for is done or refused by name, never skipped.
//! Invariant: the order in the container is join, mount, pivot, mask, drop capabilities, `no_new_privs`,
//! seccomp, exec.
//! Invariant: no path below the container's root is resolved but by `openat2` with `RESOLVE_IN_ROOT`, and no
//! mount is made but by descriptor.
//! Ignores: images, snapshots, logs, networks' insides, restarts. Reaping is the caller's: the container's
//! process is its child.

pub mod cgroup;
mod child;
mod create;
pub mod defaults;
mod error;
pub mod exe;
mod exec;
mod hold;
mod plan;
mod report;
pub mod runtime_cli;
pub mod seccomp;
mod sys;

pub use create::{Created, Launch, Started, Stdio, WritableExe, create};
pub use error::{ExecError, LaunchError};
pub use exec::{Exec, exec};
pub use hold::{Holder, hold};
pub use report::Step;

/// An annotation of the specification: with the value `true` the container's program is the child of a small
/// first process of ours, which passes signals on and reaps. Other runtimes do not know it.
pub const INIT: &str = "boxship.init";
