//! ECS's own rules, pure: over records' values, without transactions, shapes or clocks.

pub mod assign;
pub mod capability;
pub mod check;
pub mod complete;
pub mod container;
pub mod dependency;
pub mod logs;
pub mod naming;
pub mod overrides;
pub mod size;
pub mod support;
