//! Decisions by table.

mod breaker;
mod rolling;
mod rolling_histories;
mod shift;
mod shift_histories;
mod shift_world;
mod world;
