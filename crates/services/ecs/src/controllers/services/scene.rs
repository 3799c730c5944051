//! What one plan of a service reads.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use control::World;
use core_rollout::{Stage, TaskView};

use crate::behaviour::members::Seen;
use crate::state::deployment::{Deployment, UNDER_WAY};
use crate::state::member::{Member, TaskTargets};
use crate::state::protection::TaskProtection;
use crate::state::revision::Revision;
use crate::state::service::{Counts, Service, ServiceId, ServiceStatus};
use crate::state::sleep::Sleep;
use crate::state::task::{Task, TaskObserved, TaskStatus};

/// A service with everything that its plan looks at, at one instant.
pub struct Scene {
    pub service: Arc<Service>,
    pub status: Arc<ServiceStatus>,
    /// The deployment under way.
    pub deployment: Option<Arc<Deployment>>,
    /// Deployments that a newer one has overtaken.
    pub superseded: Vec<Arc<Deployment>>,
    /// The revision that is wanted.
    pub current: Arc<Revision>,
    /// Tasks that have not been forgotten.
    pub members: Vec<Seen>,
    /// Of the members, in the same order.
    pub views: Vec<TaskView>,
    /// Nobody asks for it, and no task of it is wanted for now.
    pub is_asleep: bool,
    /// Members whose tasks are no more.
    pub orphans: Vec<Arc<Member>>,
}

impl Scene {
    pub fn read(key: &ServiceId, world: &World) -> Option<Scene> {
        let at = key.key();
        let (service, status) = (world.get::<Service>(&at)?, world.get::<ServiceStatus>(&at)?);
        let current = world.get::<Revision>(&Revision::key_of(key, &service.revision))?;
        let mut under_way: Vec<_> = world.by::<Deployment>(UNDER_WAY, &at).collect();
        // What a deployment brings has to show that it works.
        let is_asleep = under_way.is_empty() && world.get::<Sleep>(&at).is_some();
        let newest = under_way.iter().position(|deployment| deployment.id == service.newest_deployment);
        let deployment = newest.map(|newest| under_way.remove(newest));
        let (mut members, mut orphans) = (Vec::new(), Vec::new());
        let all: Vec<_> = world.scan::<Member>(&at).collect();
        let is_large = all.len() > LARGE;
        for member in all {
            match seen(Arc::clone(&member), world, is_large) {
                Some(seen) => members.push(seen),
                None => orphans.push(member),
            }
        }
        let views = members.iter().map(|seen| seen.view(world.now)).collect();

        Some(Scene {
            is_asleep,
            service,
            status,
            deployment,
            superseded: under_way,
            current,
            members,
            views,
            orphans,
        })
    }

    /// How many tasks there are in each zone.
    pub fn zones(&self) -> BTreeMap<String, usize> {
        let known = self.current.zones.iter().map(|zone| (zone.clone(), 0));
        let mut counts: BTreeMap<String, usize> = known.collect();
        for view in self.views.iter().filter(|view| view.stage != Stage::Leaving) {
            *counts.entry(String::from(&*view.zone)).or_default() += 1;
        }
        counts
    }

    /// Tasks of each revision, by what they count as, but for those in `stopped`.
    pub fn counts(&self, stopped: &BTreeSet<Arc<str>>) -> BTreeMap<String, Counts> {
        let mut counts = BTreeMap::<String, Counts>::new();
        for view in self.views.iter().filter(|view| !stopped.contains(&view.id)) {
            match view.stage {
                Stage::Coming => counts.entry(String::from(&*view.revision)).or_default().pending += 1,
                Stage::Running => counts.entry(String::from(&*view.revision)).or_default().running += 1,
                Stage::Leaving => {}
            }
        }
        counts
    }
}

/// Some task of a service with more is always about to change. Its plan holds nevertheless if which
/// tasks there are has not changed, and those that it stops: what it missed touches it again.
const LARGE: usize = 100;

fn seen(member: Arc<Member>, world: &World, is_large: bool) -> Option<Seen> {
    let key = member.task.key();
    if is_large {
        let records = world.peek();
        return Some(Seen {
            task: records.get::<Task>(&key)?,
            status: records.get::<TaskStatus>(&key)?,
            observed: records.get::<TaskObserved>(&key),
            targets: records.get::<TaskTargets>(&key),
            protection: records.get::<TaskProtection>(&key),
            member,
        });
    }
    Some(Seen {
        task: world.get::<Task>(&key)?,
        status: world.get::<TaskStatus>(&key)?,
        observed: world.get::<TaskObserved>(&key),
        targets: world.get::<TaskTargets>(&key),
        protection: world.get::<TaskProtection>(&key),
        member,
    })
}
