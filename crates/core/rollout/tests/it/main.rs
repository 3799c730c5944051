//! Decisions by table.

mod breaker;
