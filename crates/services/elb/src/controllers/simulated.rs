//! Stands in for proxies with the simulated runtime: a target in use is healthy.

use control::{Controller, Plan, World, Write};
use core_routing::{Anomaly, State};
use store::Change;

use crate::state::{Group, GroupId, Health, Rule, Target};

/// The loop over groups whose targets nobody checks.
#[derive(Debug, Default)]
pub struct Simulated;

impl Controller for Simulated {
    type Key = GroupId;

    fn name(&self) -> &'static str {
        "elb/simulated"
    }

    fn touched(&self, change: &Change) -> Vec<GroupId> {
        if let Some(rule) = change.after::<Rule>() {
            return rule.groups().cloned().collect();
        }
        change.after::<Target>().map(|target| (*target.group).clone()).into_iter().collect()
    }

    fn plan(&self, key: &GroupId, world: &World) -> Plan {
        let mut plan = Plan::default();
        let (index, prefix) = Rule::of_group(key);
        let is_used = world.by::<Rule>(index, &prefix).next().is_some();
        if !is_used || world.get::<Group>(&key.key()).is_none() {
            return plan;
        }
        for target in world.scan::<Target>(&key.targets()) {
            let seen = world.peek().get::<Health>(&key.target(&target.id, target.port));
            let is_seen = seen.is_some_and(|seen| seen.registered_at == target.registered_at);
            if !is_seen && target.draining_until.is_none() {
                plan.writes.push(Write::put(healthy(&target, world)));
            }
        }
        plan
    }
}

fn healthy(target: &Target, world: &World) -> Health {
    Health {
        group: target.group.clone(),
        id: target.id.clone(),
        port: target.port,
        registered_at: target.registered_at,
        state: State::Healthy,
        reason: None,
        anomaly: Anomaly::default(),
        at: world.now,
    }
}
