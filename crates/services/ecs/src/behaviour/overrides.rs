//! What RunTask changes of a task definition for its tasks.

use super::complete;
use crate::state::container::{ContainerDefinition, KeyValuePair};
use crate::state::definition::Spec;
use crate::state::overrides::{ContainerOverride, TaskOverride};

/// Why overrides do not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OverrideFlaw {
    #[error("Override for container named {0} is not a container in the TaskDefinition.")]
    UnknownContainer(String),
    #[error("Container Overrides length must be at most 8192")]
    TooLong,
    #[error("Container overrides for container named {0} are given more than once.")]
    Twice(String),
}

/// AWS: overrides may take at most so many characters.
const MAX_LENGTH: usize = 8192;

/// The definition with `changes` in it.
pub fn apply(mut spec: Spec, changes: &TaskOverride) -> Result<Spec, OverrideFlaw> {
    let length = serde_json::to_string(changes).map_or(usize::MAX, |text| text.len());
    if length > MAX_LENGTH {
        return Err(OverrideFlaw::TooLong);
    }
    let mut seen = std::collections::BTreeSet::new();
    for change in changes.container_overrides.iter().flatten() {
        let name = change.name.as_deref().unwrap_or_default();
        if !seen.insert(name) {
            return Err(OverrideFlaw::Twice(String::from(name)));
        }
        let Some(container) = spec.containers.iter_mut().find(|container| container.name() == name) else {
            return Err(OverrideFlaw::UnknownContainer(String::from(name)));
        };
        change_container(container, change);
    }
    replace(&mut spec.cpu, &changes.cpu);
    replace(&mut spec.memory, &changes.memory);
    replace(&mut spec.execution_role, &changes.execution_role_arn);
    replace(&mut spec.task_role, &changes.task_role_arn);
    replace(&mut spec.ephemeral_storage, &changes.ephemeral_storage);
    complete::sizes(&mut spec);
    Ok(spec)
}

fn change_container(container: &mut ContainerDefinition, change: &ContainerOverride) {
    replace(&mut container.command, &change.command);
    replace(&mut container.cpu, &change.cpu);
    replace(&mut container.memory, &change.memory);
    replace(&mut container.memory_reservation, &change.memory_reservation);
    replace(&mut container.environment_files, &change.environment_files);
    replace(&mut container.resource_requirements, &change.resource_requirements);
    let environment = container.environment.get_or_insert_default();
    for pair in change.environment.iter().flatten() {
        set(environment, pair);
    }
}

fn set(environment: &mut Vec<KeyValuePair>, pair: &KeyValuePair) {
    match environment.iter_mut().find(|old| old.name == pair.name) {
        Some(old) => old.value.clone_from(&pair.value),
        None => environment.push(pair.clone()),
    }
}

fn replace<T: Clone>(value: &mut Option<T>, with: &Option<T>) {
    if with.is_some() {
        value.clone_from(with);
    }
}
