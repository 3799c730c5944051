//! Decisions by table.

mod breaker;
mod completion;
mod health;
mod rolling;
mod rolling_histories;
mod shift;
mod shift_histories;
mod shift_world;
mod sizes;
mod throttle;
mod week;
mod world;
