//! Real containers: what is promised about them, looked at from inside and from outside.
//!
//! Needs root and `/bin/busybox` (static); where one is missing a test says so in a line and passes.

mod basics;
mod cgroups;
mod confinement;
mod enter;
mod errors;
mod hostile;
mod life;
mod rig;
