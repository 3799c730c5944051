//! Removes task definitions that were deleted, once no task and no service refers to them.

use std::time::Duration;

use control::{Controller, Plan, World, Write};
use store::{Change, Key, Record};

use crate::state::definition::{DefinitionStatus, TaskDefinition};
use crate::state::revision::{BY_DEFINITION, Revision};
use crate::state::service::{Service, ServiceStatus};
use crate::state::task::Task;

/// AWS: a deleted definition stays visible as DELETE_IN_PROGRESS for a while.
const VISIBLE_FOR: Duration = Duration::from_secs(3600);
/// Tasks that still need it end by themselves; nothing hurries.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(600);

/// The loop over deleted task definitions.
#[derive(Debug, Default)]
pub struct Definitions;

impl Controller for Definitions {
    type Key = Key;

    fn name(&self) -> &'static str {
        "ecs/definitions"
    }

    fn touched(&self, change: &Change) -> Vec<Key> {
        let definition = change.after::<TaskDefinition>();
        let deleting = definition.filter(|it| matches!(it.status, DefinitionStatus::Deleting { .. }));
        deleting.map(|definition| definition.key()).into_iter().collect()
    }

    fn plan(&self, key: &Key, world: &World) -> Plan {
        let mut plan = Plan::default();
        let Some(definition) = world.get::<TaskDefinition>(key) else { return plan };
        let DefinitionStatus::Deleting { requested_at, .. } = definition.status else { return plan };
        let gone_at = requested_at + VISIBLE_FOR;
        if world.now < gone_at {
            plan.wake_by(gone_at);
            return plan;
        }
        // Nobody can run it any more, so what is not there now never will be.
        let place = Key::of(&[definition.account.as_str(), definition.region.as_str()]);
        let mut tasks = world.peek().scan::<Task>(&place);
        let has_tasks =
            tasks.any(|task| task.family == definition.family && task.revision == definition.revision);
        if has_tasks || is_served(&definition, world) {
            plan.wake_by(world.now + LOOK_AGAIN_AFTER);
        } else {
            plan.writes.push(Write::delete::<TaskDefinition>(key.clone()));
        }
        plan
    }
}

/// Whether a service starts tasks from it, or would if it were to go back.
fn is_served(definition: &TaskDefinition, world: &World) -> bool {
    let TaskDefinition { account, region, family, revision, .. } = definition;
    let key = Key::of(&[account.as_str(), region.as_str(), family, &revision.to_string()]);
    let records = world.peek();
    let mut revisions = records.by::<Revision>(BY_DEFINITION, &key);
    revisions.any(|revision| {
        let key = revision.at.key();
        let (Some(service), Some(status)) =
            (records.get::<Service>(&key), records.get::<ServiceStatus>(&key))
        else {
            return false;
        };
        let is_wanted = service.revision == revision.id || status.completed.as_ref() == Some(&revision.id);
        service.deleted_at.is_none() && (is_wanted || status.counts.contains_key(&revision.id))
    })
}
