//! Wakes services that may not sleep any more: their owner took the tag away, or the balancer, or
//! deleted them; or a deployment has to bring tasks to know whether they work.

use control::{Controller, Plan, World, Write};
use store::{Change, Record};

use crate::api::wake;
use crate::state::deployment::{Deployment, UNDER_WAY};
use crate::state::service::{Service, ServiceId};
use crate::state::sleep::Sleep;

/// The loop over services that sleep.
#[derive(Debug, Default)]
pub struct Wake;

impl Controller for Wake {
    type Key = ServiceId;

    fn name(&self) -> &'static str {
        "ecs/wake"
    }

    fn touched(&self, change: &Change) -> Vec<ServiceId> {
        let service = change.after::<Service>().or_else(|| change.before::<Service>());
        if let Some(deployment) = change.after::<Deployment>() {
            return vec![deployment.at.clone()];
        }
        let of_service = service.map(|service| service.at.clone());
        of_service.or_else(|| change.after::<Sleep>().map(|sleep| sleep.at.clone())).into_iter().collect()
    }

    fn plan(&self, key: &ServiceId, world: &World) -> Plan {
        let mut plan = Plan::default();
        let Some(sleep) = world.get::<Sleep>(&key.key()) else { return plan };
        let service = world.get::<Service>(&key.key());
        let is_busy = world.by::<Deployment>(UNDER_WAY, &key.key()).next().is_some();
        if is_busy || service.is_none_or(|service| wake::of(world.peek(), &service).is_none()) {
            plan.writes.push(Write::delete::<Sleep>(sleep.key()));
        }
        plan
    }
}
