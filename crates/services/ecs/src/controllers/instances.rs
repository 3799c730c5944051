//! Forgets container instances that were deregistered.

use std::time::Duration;

use control::{Controller, Plan, World, Write};
use store::{Change, Key, Record};

use crate::state::instance::{ContainerInstance, InstanceStatus};

/// AWS: a deregistered instance stays visible as INACTIVE for a while.
const VISIBLE_FOR: Duration = Duration::from_secs(3600);

/// The loop over deregistered container instances.
#[derive(Debug, Default)]
pub struct Instances;

impl Controller for Instances {
    type Key = Key;

    fn name(&self) -> &'static str {
        "ecs/instances"
    }

    fn touched(&self, change: &Change) -> Vec<Key> {
        let gone = change.after::<ContainerInstance>().filter(|instance| !instance.is_registered());
        gone.map(|instance| instance.key()).into_iter().collect()
    }

    fn plan(&self, key: &Key, world: &World) -> Plan {
        let mut plan = Plan::default();
        let Some(instance) = world.get::<ContainerInstance>(key) else { return plan };
        let InstanceStatus::Inactive { deregistered_at } = instance.status else { return plan };
        let gone_at = deregistered_at + VISIBLE_FOR;
        if world.now < gone_at {
            plan.wake_by(gone_at);
        } else {
            plan.writes.push(Write::delete::<ContainerInstance>(key.clone()));
        }
        plan
    }
}
