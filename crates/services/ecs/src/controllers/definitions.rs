//! Removes task definitions that were deleted, once no task refers to them.

use std::time::Duration;

use control::{Controller, Plan, World, Write};
use store::{Change, Key, Record};

use crate::state::definition::{DefinitionStatus, TaskDefinition};
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
        // No task can be started from it any more, so what is not there now never will be.
        let place = Key::of(&[definition.account.as_str(), definition.region.as_str()]);
        let mut tasks = world.peek().scan::<Task>(&place);
        if tasks.any(|task| task.family == definition.family && task.revision == definition.revision) {
            plan.wake_by(world.now + LOOK_AGAIN_AFTER);
        } else {
            plan.writes.push(Write::delete::<TaskDefinition>(key.clone()));
        }
        plan
    }
}
