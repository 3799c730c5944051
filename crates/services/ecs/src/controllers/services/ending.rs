//! What is let go of: services that were deleted, and what old deployments leave.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use base::Timestamp;
use control::{World, Write};
use store::Record;

use super::draft::Draft;
use super::scene::Scene;
use crate::state::deployment::Deployment;
use crate::state::event::Event;
use crate::state::revision::Revision;
use crate::state::service::{Service, ServiceStatus, State};

/// AWS: a deleted service stays visible as INACTIVE for a while.
const VISIBLE_FOR: Duration = Duration::from_secs(3600);
/// Deployments that are kept of a service, newest first.
// AWS: those of the last ninety days.
const DEPLOYMENTS: usize = 50;

/// A deleted service whose last task is gone is INACTIVE.
pub fn drained(scene: &Scene, draft: &mut Draft, now: Timestamp) {
    if scene.service.deleted_at.is_none() {
        return;
    }
    let is_empty = scene.members.iter().all(|seen| seen.status.state.stopped_at().is_some());
    draft.status.state = if is_empty { State::Inactive { since: now } } else { State::Draining };
}

/// Forgets an inactive service after a while.
pub fn retire(scene: &Scene, draft: &mut Draft, since: Timestamp, world: &World) {
    let gone_at = since + VISIBLE_FOR;
    if world.now < gone_at {
        draft.plan.wake_by(gone_at);
        return;
    }
    let at = scene.service.at.key();
    let writes = &mut draft.plan.writes;
    writes.extend(world.scan::<Event>(&at).map(|it| Write::delete::<Event>(it.key())));
    writes.extend(world.scan::<Deployment>(&at).map(|it| Write::delete::<Deployment>(it.key())));
    writes.extend(world.scan::<Revision>(&at).map(|it| Write::delete::<Revision>(it.key())));
    writes.push(Write::delete::<ServiceStatus>(at.clone()));
    writes.push(Write::delete::<Service>(at));
}

/// Forgets the oldest deployments, and revisions that nothing refers to any more. To be called
/// where a deployment has just ended.
pub fn prune(scene: &Scene, draft: &mut Draft, world: &World) {
    let at = scene.service.at.key();
    let mut deployments: Vec<_> = world.scan::<Deployment>(&at).collect();
    deployments.sort_by_key(|deployment| std::cmp::Reverse(deployment.created_at));
    let mut old = deployments.split_off(deployments.len().min(DEPLOYMENTS));
    // What is shown of a revision that has tasks comes from the deployment that brought it.
    let is_live = |id: &str| {
        draft.service.revision == id
            || draft.status.completed.as_deref() == Some(id)
            || scene.members.iter().any(|seen| seen.member.revision == id)
    };
    let is_shown = |it: &Arc<Deployment>| it.id == draft.service.newest_deployment || is_live(&it.target);
    deployments.extend(old.extract_if(.., |it| is_shown(it)));
    let writes = &mut draft.plan.writes;
    writes.extend(old.iter().map(|it| Write::delete::<Deployment>(it.key())));
    let mut needed: BTreeSet<&str> = deployments.iter().map(|it| it.target.as_str()).collect();
    needed.extend(deployments.iter().flat_map(|it| &it.sources).map(String::as_str));
    needed.extend(scene.members.iter().map(|seen| seen.member.revision.as_str()));
    needed.extend([draft.service.revision.as_str()]);
    needed.extend(draft.status.completed.as_deref());
    let revisions = world.scan::<Revision>(&at).filter(|revision| !needed.contains(revision.id.as_str()));
    writes.extend(revisions.map(|it| Write::delete::<Revision>(it.key())));
}
