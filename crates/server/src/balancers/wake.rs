//! Services that sleep while nobody asks for them: what planes tell of requests, handed to ECS.
//!
//! Invariant: who wakes up late has lost nothing: requests wait in the plane, which tells of them again
//! every second.

use std::sync::Arc;
use std::time::Duration;

use service::Platform;
use service_ecs::Activity;
use tokio::sync::mpsc;

/// How often it is looked whether a service has been idle for long enough.
const EVERY: Duration = Duration::from_secs(1);
/// Groups that are taken in at once.
const BATCH: usize = 256;

/// Follows what planes tell for as long as there are any. Where none is, as with the simulated runtime,
/// this does not run, and nothing sleeps.
pub async fn run(platform: Platform, mut asked: mpsc::Receiver<Arc<str>>) {
    let mut activity = Activity::default();
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut batch = Vec::new();
    loop {
        tokio::select! {
            biased;
            count = asked.recv_many(&mut batch, BATCH) => {
                if count == 0 {
                    return;
                }
                batch.sort();
                batch.dedup();
                for group in batch.drain(..) {
                    activity.asked(group.clone(), platform.clock().now());
                    if let Err(fault) = service_ecs::wake(&platform, group).await {
                        tracing::error!(%fault, "a service cannot be woken");
                    }
                }
            }
            _ = ticks.tick() => {
                let sleepers = service_ecs::sleepers(&platform.store().snapshot());
                for service in activity.idle(&sleepers, platform.clock().now()) {
                    if let Err(fault) = service_ecs::sleep(&platform, service).await {
                        tracing::error!(%fault, "a service cannot be sent to sleep");
                    }
                }
            }
        }
    }
}
