//! Writes down how the targets of tasks stand, as the balancers' service publishes it.

use control::{Controller, Plan, World, Write};
use core_routing::TargetName;
use store::{Change, Key};

use crate::balancing::Balancing;
use crate::state::member::{BY_TARGET, Standing, TaskTargets};

/// The loop over targets that are tasks.
#[derive(Debug)]
pub struct Targets {
    balancing: Balancing,
}

impl Targets {
    pub fn of(balancing: Balancing) -> Targets {
        Targets { balancing }
    }
}

impl Controller for Targets {
    type Key = TargetName;

    fn name(&self) -> &'static str {
        "ecs/targets"
    }

    fn touched(&self, change: &Change) -> Vec<TargetName> {
        if let Some(targets) = change.after::<TaskTargets>() {
            let names = targets.targets.iter().map(|target| TargetName {
                group: target.group.as_str().into(),
                id: target.id.as_str().into(),
                port: target.port,
            });
            return names.collect();
        }
        (self.balancing.touched)(change).into_iter().collect()
    }

    fn plan(&self, key: &TargetName, world: &World) -> Plan {
        let mut plan = Plan::default();
        let of_target = Key::of(&[&key.group, &key.id, &key.port.to_string()]);
        for targets in world.by::<TaskTargets>(BY_TARGET, &of_target) {
            // What moves while this is planned touches the target again.
            let standing = (self.balancing.standing)(world.peek(), key);
            let state = match standing.state {
                None => Standing::Gone,
                Some("initial") => Standing::Initial,
                Some("healthy") => Standing::Healthy,
                Some("draining") => Standing::Draining,
                Some("unused") => Standing::Unused,
                // AWS: `unhealthy`, `unhealthy.draining`, `unavailable`.
                Some(_) => Standing::Unhealthy,
            };
            let mut changed = (*targets).clone();
            let of_key = |target: &&mut crate::state::member::TaskTarget| {
                target.group == *key.group && target.id == *key.id && target.port == key.port
            };
            for target in changed.targets.iter_mut().filter(of_key) {
                // Why it was never registered is what its service tells of.
                if target.state != state {
                    target.state = state;
                    target.reason = standing.text.clone();
                }
            }
            if changed != *targets {
                plan.writes.push(Write::put(changed));
            }
        }
        plan
    }
}
