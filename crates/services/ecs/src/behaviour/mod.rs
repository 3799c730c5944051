//! ECS's own rules, pure: over records' values, without transactions, shapes or clocks.

pub mod assign;
pub mod attribute;
pub mod capability;
pub mod capacity;
pub mod check;
pub mod complete;
pub mod container;
pub mod dependency;
pub mod events;
pub mod fargate;
pub mod linux;
pub mod logs;
pub mod members;
pub mod names;
pub mod naming;
pub mod overrides;
pub mod ports;
pub mod query;
pub mod room;
pub mod service;
pub mod setting;
pub mod size;
pub mod support;
pub mod traffic;
pub mod wake;
