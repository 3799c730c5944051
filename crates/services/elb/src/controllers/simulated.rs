//! Stands in for proxies with the simulated runtime: a target in use is healthy, unless it was told
//! otherwise.

use std::sync::Arc;

use base::Timestamp;
use control::{Controller, Plan, World, Write};
use core_routing::{Anomaly, Reason, State, TargetName};
use store::{Change, Snapshot};

use crate::state::{Group, GroupId, Health, Rule, Target};

/// From when on a target fails its checks: what others publish of the targets that are theirs.
pub type UnhealthyAt = fn(&Snapshot, &TargetName) -> Option<Timestamp>;

/// What a target that fails answers.
const FAILS_WITH: Reason = Reason::Code(503);

/// The loop over groups whose targets nobody checks.
#[derive(Debug)]
pub struct Simulated {
    pub unhealthy_at: UnhealthyAt,
}

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
        let arn: Arc<str> = Arc::from(key.arn().as_str());
        for target in world.scan::<Target>(&key.targets()) {
            if target.draining_until.is_some() {
                continue;
            }
            let (group, id) = (Arc::clone(&arn), Arc::clone(&target.id));
            let name = TargetName { group, id, port: target.port };
            // A container starts before its task is registered.
            let turns_at = (self.unhealthy_at)(world.peek(), &name);
            let state = match turns_at {
                Some(at) if at <= world.now => State::Unhealthy,
                Some(at) => {
                    plan.wake_by(at);
                    State::Healthy
                }
                None => State::Healthy,
            };
            let seen = world.peek().get::<Health>(&key.target(&target.id, target.port));
            let is_seen =
                seen.is_some_and(|seen| seen.registered_at == target.registered_at && seen.state == state);
            if !is_seen {
                plan.writes.push(Write::put(health(&target, state, world)));
            }
        }
        plan
    }
}

fn health(target: &Target, state: State, world: &World) -> Health {
    Health {
        group: target.group.clone(),
        id: target.id.clone(),
        port: target.port,
        registered_at: target.registered_at,
        state,
        reason: (state == State::Unhealthy).then_some(FAILS_WITH),
        anomaly: Anomaly::default(),
        at: world.now,
    }
}
