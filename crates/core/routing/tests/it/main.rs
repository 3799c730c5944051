//! Decisions of a load balancer through their public surface: the corpus, tables, properties.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod balance;
mod corpus;
mod desync;
mod headers;
mod health;
mod index;
mod logs;
mod policies;
mod shapes;
mod sticky;
