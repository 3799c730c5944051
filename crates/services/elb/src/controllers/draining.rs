//! Forgets deregistered targets once their delay is over.

use control::{Controller, Plan, World, Write};
use store::{Change, Key, Record};

use crate::state::{Health, Target};

/// The loop over targets that drain.
#[derive(Debug, Default)]
pub struct Draining;

impl Controller for Draining {
    type Key = Key;

    fn name(&self) -> &'static str {
        "elb/draining"
    }

    fn touched(&self, change: &Change) -> Vec<Key> {
        let drains = change.after::<Target>().filter(|target| target.draining_until.is_some());
        drains.map(|target| target.key()).into_iter().collect()
    }

    fn plan(&self, key: &Key, world: &World) -> Plan {
        let mut plan = Plan::default();
        let Some(target) = world.get::<Target>(key) else { return plan };
        let Some(until) = target.draining_until else { return plan };
        if world.now < until {
            plan.wake_by(until);
        } else {
            plan.writes.push(Write::delete::<Target>(key.clone()));
            plan.writes.push(Write::delete::<Health>(key.clone()));
        }
        plan
    }
}
