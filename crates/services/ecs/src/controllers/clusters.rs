//! Removes clusters that were deleted, once nothing of theirs is left.

use std::time::Duration;

use control::{Controller, Plan, World, Write};
use store::{Change, Key, Record};

use crate::state::cluster::Cluster;
use crate::state::deployment::Deployment;
use crate::state::event::Event;
use crate::state::member::Member;
use crate::state::revision::Revision;
use crate::state::service::{Service, ServiceStatus};
use crate::state::task::Task;

/// AWS: a deleted cluster stays visible as INACTIVE for a while. Its tasks are all stopped, and
/// gone by then.
const VISIBLE_FOR: Duration = Duration::from_secs(2 * 3600);

/// The loop over deleted clusters.
#[derive(Debug, Default)]
pub struct Clusters;

impl Controller for Clusters {
    type Key = Key;

    fn name(&self) -> &'static str {
        "ecs/clusters"
    }

    fn touched(&self, change: &Change) -> Vec<Key> {
        let deleted = change.after::<Cluster>().filter(|cluster| !cluster.is_active());
        deleted.map(|cluster| cluster.key()).into_iter().collect()
    }

    fn plan(&self, key: &Key, world: &World) -> Plan {
        let mut plan = Plan::default();
        let Some(deleted_at) = world.get::<Cluster>(key).and_then(|cluster| cluster.deleted_at) else {
            return plan;
        };
        let gone_at = deleted_at + VISIBLE_FOR;
        if world.now < gone_at {
            plan.wake_by(gone_at);
        } else if world.scan::<Task>(key).next().is_some() {
            plan.wake_by(world.now + VISIBLE_FOR);
        } else {
            plan.writes.push(Write::delete::<Cluster>(key.clone()));
            services(key, world, &mut plan);
        }
        plan
    }
}

/// What inactive services of the cluster have left goes with it.
fn services(cluster: &Key, world: &World, plan: &mut Plan) {
    fn all<R: Record>(cluster: &Key, world: &World, plan: &mut Plan) {
        let found = world.scan::<R>(cluster).map(|record| Write::delete::<R>(record.key()));
        plan.writes.extend(found);
    }
    all::<Service>(cluster, world, plan);
    all::<ServiceStatus>(cluster, world, plan);
    all::<Revision>(cluster, world, plan);
    all::<Deployment>(cluster, world, plan);
    all::<Event>(cluster, world, plan);
    all::<Member>(cluster, world, plan);
}
