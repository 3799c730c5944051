//! Makes a balancer active. Its interfaces are made with it, so nothing is left to wait for.

use control::{Controller, Plan, World, Write};
use store::{Change, Key, Record};

use crate::state::Balancer;

/// The loop over balancers that are being provisioned.
#[derive(Debug, Default)]
pub struct Provisioning;

impl Controller for Provisioning {
    type Key = Key;

    fn name(&self) -> &'static str {
        "elb/provisioning"
    }

    fn touched(&self, change: &Change) -> Vec<Key> {
        let new = change.after::<Balancer>().filter(|balancer| !balancer.is_active);
        new.map(|balancer| balancer.key()).into_iter().collect()
    }

    fn plan(&self, key: &Key, world: &World) -> Plan {
        let mut plan = Plan::default();
        let Some(balancer) = world.get::<Balancer>(key) else { return plan };
        if !balancer.is_active {
            plan.writes.push(Write::put(Balancer { is_active: true, ..(*balancer).clone() }));
        }
        plan
    }
}
