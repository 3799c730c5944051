//! Ends the protection of tasks when its time is over.

use control::{Controller, Plan, World, Write};
use store::{Change, Key, Record};

use crate::state::protection::TaskProtection;

/// The loop over protected tasks.
#[derive(Debug, Default)]
pub struct Protections;

impl Controller for Protections {
    type Key = Key;

    fn name(&self) -> &'static str {
        "ecs/protections"
    }

    fn touched(&self, change: &Change) -> Vec<Key> {
        change.after::<TaskProtection>().map(|protection| protection.key()).into_iter().collect()
    }

    fn plan(&self, key: &Key, world: &World) -> Plan {
        let mut plan = Plan::default();
        let Some(protection) = world.get::<TaskProtection>(key) else { return plan };
        if world.now < protection.expires_at {
            plan.wake_by(protection.expires_at);
        } else {
            plan.writes.push(Write::delete::<TaskProtection>(key.clone()));
        }
        plan
    }
}
