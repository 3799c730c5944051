//! Deployments: which tasks of a service start and stop now, and when traffic moves.
//!
//! [`rolling`] replaces tasks within a minimum and a maximum, [`shift`] moves traffic between two
//! whole sets of them, [`completion`] says when a rolling deployment is done, [`breaker`] when it is
//! given up, [`throttle`] slows starts that fail.
//!
//! Invariants: never under the minimum of healthy tasks by our own choice, never over the maximum of
//! running and pending ones; equal histories, equal decisions. `now` is an argument, a wait is
//! answered as `wake_at`.
//!
//! Deliberately ignores records, AWS shapes and wording, where tasks run, and how they are stopped.

pub mod breaker;
pub mod completion;
pub mod health;
pub mod rolling;
pub mod shift;
pub mod throttle;
mod view;

pub use view::{Check, Stage, Target, TargetState, TaskView};
