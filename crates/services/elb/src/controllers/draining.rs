//! Forgets deregistered targets once their delay is over.

use control::{Controller, Plan, World, Write};
use store::{Change, Record};

use crate::state::{GroupId, Health, Target};

/// The loop over groups with targets that drain.
#[derive(Debug, Default)]
pub struct Draining;

impl Controller for Draining {
    type Key = GroupId;

    fn name(&self) -> &'static str {
        "elb/draining"
    }

    fn touched(&self, change: &Change) -> Vec<GroupId> {
        let drains = change.after::<Target>().filter(|target| target.draining_until.is_some());
        drains.map(|target| (*target.group).clone()).into_iter().collect()
    }

    fn plan(&self, key: &GroupId, world: &World) -> Plan {
        let mut plan = Plan::default();
        let (index, prefix) = Target::draining(key);
        for target in world.by::<Target>(index, &prefix) {
            let Some(until) = target.draining_until else { continue };
            if world.now < until {
                plan.wake_by(until);
            } else {
                plan.writes.push(Write::delete::<Target>(target.key()));
                plan.writes.push(Write::delete::<Health>(target.key()));
            }
        }
        plan
    }
}
