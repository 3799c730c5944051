//! Requests in, answers, records and tables out, on the memory store.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod attributes;
mod balancers;
mod groups;
mod listeners;
mod peers;
mod random;
mod rules;
mod tables;
mod tags;
mod targets;
mod world;
