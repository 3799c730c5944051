//! The network of tasks, on a machine's network of the test's own: nothing here touches the
//! machine that it runs on. Without root every test says that it was left out.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod bridge;
mod crash;
mod faults;
mod files;
mod firewall;
mod groups;
mod network;
mod nodes;
mod resolver;
