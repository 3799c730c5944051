//! Wakes services that wait for room in a cluster when there may be some.

use control::{Controller, Plan, World, Write};
use store::{Change, Key};

use crate::state::instance::ContainerInstance;
use crate::state::service::{Retry, ServiceStatus, WAITING};
use crate::state::task::TaskStatus;

/// The loop over clusters in which there may be room.
#[derive(Debug, Default)]
pub struct Waiting;

impl Controller for Waiting {
    type Key = Key;

    fn name(&self) -> &'static str {
        "ecs/waiting"
    }

    /// An instance that came or changed, a task that let go of what it had.
    fn touched(&self, change: &Change) -> Vec<Key> {
        if let Some(instance) = change.after::<ContainerInstance>() {
            let at = &instance.at;
            return vec![Key::of(&[at.account.as_str(), at.region.as_str(), &at.cluster])];
        }
        let (Some(before), Some(after)) = (change.before::<TaskStatus>(), change.after::<TaskStatus>())
        else {
            return Vec::new();
        };
        let has_stopped = before.state.stopped_at().is_none() && after.state.stopped_at().is_some();
        let at = &after.at;
        let cluster = || Key::of(&[at.account.as_str(), at.region.as_str(), &at.cluster]);
        has_stopped.then(cluster).into_iter().collect()
    }

    fn plan(&self, key: &Key, world: &World) -> Plan {
        let mut plan = Plan::default();
        for status in world.by::<ServiceStatus>(WAITING, key) {
            let Some(retry) = status.retry.as_ref().filter(|retry| world.now < retry.at) else { continue };
            // How often it was tried stays: nothing spins where room is never enough.
            let retry = Retry { at: world.now, ..retry.clone() };
            plan.writes.push(Write::put(ServiceStatus { retry: Some(retry), ..(*status).clone() }));
        }
        plan
    }
}
