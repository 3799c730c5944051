//! What directions of the simulated runtime say of targets: for whoever stands in for load balancers
//! there, where nobody can be asked.

use base::Timestamp;
use core_lifecycle::simulate::{Directions, LABEL};
use core_lifecycle::{ContainerObservation, ContainerSpec};
use core_routing::TargetName;
use store::{Key, Snapshot};

use crate::state::member::{BY_TARGET, TaskTargets};
use crate::state::task::{TaskAssignment, TaskObserved};

/// From when on a target that is a task fails its checks; `None`: it passes them. Of a task with several
/// containers it is the one with the target's port, where one has it.
pub fn unhealthy_at(records: &Snapshot, target: &TargetName) -> Option<Timestamp> {
    let of_target = Key::of(&[&target.group, &target.id, &target.port.to_string()]);
    let tasks = records.by::<TaskTargets>(BY_TARGET, &of_target);
    let turns = tasks.filter_map(|task| {
        let key = task.at.key();
        let assignment = records.get::<TaskAssignment>(&key)?;
        let observed = records.get::<TaskObserved>(&key)?;
        let all = &assignment.assignment.containers;
        let serves = |container: &&ContainerSpec| {
            container.ports.iter().any(|port| port.container_port == target.port)
        };
        let serving: Vec<_> = all.iter().filter(serves).collect();
        let serving = if serving.is_empty() { all.iter().collect() } else { serving };
        serving.into_iter().filter_map(|one| turns_at(one, &observed.observation.containers)).min()
    });
    turns.min()
}

fn turns_at(container: &ContainerSpec, seen: &[ContainerObservation]) -> Option<Timestamp> {
    // A label that cannot be read starts no container.
    let after = Directions::parse(container.labels.get(LABEL)?).ok()?.unhealthy_after?;
    let seen = seen.iter().find(|seen| seen.name == container.name)?;
    Some(seen.started_at? + after)
}
