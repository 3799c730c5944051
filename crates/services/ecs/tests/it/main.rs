//! ECS by its requests and answers, on the memory store, with peers made up.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod balancer;
mod cluster;
mod definition;
mod deployments;
mod exec;
mod full;
mod instance;
mod life;
mod peers;
mod rollout;
mod rules;
mod run;
mod service;
mod setting;
mod stage;
mod tag;
mod tasks;
mod wake;
mod world;
