//! Decisions by table.

mod breaker;
mod shift;
mod shift_histories;
mod shift_world;
