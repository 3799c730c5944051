//! What one plan of a service changes: copies of its records, written if they differ in the end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use base::{Chance, Timestamp};
use control::{Plan, World, Write};
use store::{Key, Record};

use super::scene::Scene;
use crate::behaviour::members::Seen;
use crate::state::deployment::Deployment;
use crate::state::event::{Event, KEPT};
use crate::state::member::Member;
use crate::state::revision::Revision;
use crate::state::service::{Service, ServiceId, ServiceStatus};

/// A complaint that holds on is said again after so long.
const COMPLAINS_EVERY: Duration = Duration::from_secs(6 * 3600);

/// A plan in the making.
pub struct Draft {
    pub plan: Plan,
    pub service: Service,
    pub status: ServiceStatus,
    pub deployment: Option<Deployment>,
    pub current: Revision,
    /// Ids of tasks that are told to stop.
    pub stopped: BTreeSet<Arc<str>>,
    /// As many healthy tasks as are desired, and no other.
    pub is_steady: bool,
    before: Before,
    members: BTreeMap<String, Member>,
    forgotten: BTreeSet<Key>,
    now: Timestamp,
    chance: Chance,
}

/// What the records were.
struct Before {
    service: Arc<Service>,
    status: Arc<ServiceStatus>,
    deployment: Option<Arc<Deployment>>,
    current: Arc<Revision>,
}

impl Draft {
    pub fn of(scene: &Scene, world: &World) -> Draft {
        Draft {
            plan: Plan::default(),
            service: (*scene.service).clone(),
            status: (*scene.status).clone(),
            deployment: scene.deployment.as_deref().cloned(),
            current: (*scene.current).clone(),
            stopped: BTreeSet::new(),
            is_steady: false,
            before: Before {
                service: Arc::clone(&scene.service),
                status: Arc::clone(&scene.status),
                deployment: scene.deployment.clone(),
                current: Arc::clone(&scene.current),
            },
            members: BTreeMap::new(),
            forgotten: BTreeSet::new(),
            now: world.now,
            chance: world.chance("events"),
        }
    }

    /// The member as it will be.
    pub fn member(&mut self, seen: &Seen) -> &mut Member {
        let id = &seen.member.task.id;
        self.members.entry(id.clone()).or_insert_with(|| (*seen.member).clone())
    }

    /// The member is one no more.
    pub fn forget(&mut self, member: &Member) {
        self.forgotten.insert(member.key());
    }

    /// The service is to be of another revision, which is there.
    pub fn turn_to(&mut self, revision: Arc<Revision>) {
        if self.current != *self.before.current {
            self.plan.writes.push(Write::put(self.current.clone()));
        }
        self.service.revision = revision.id.clone();
        self.current = (*revision).clone();
        self.before.current = revision;
    }

    /// Tells the owner.
    pub fn tell(&mut self, message: String) {
        let (now, id) = (self.now, self.chance.uuid());
        let (event, forgotten) = next_event(&mut self.status, id, message, now);
        self.plan.writes.push(Write::put(event));
        if let Some(number) = forgotten {
            let key = Event::key_of(&self.status.at, number);
            self.plan.writes.push(Write::delete::<Event>(key));
        }
    }

    /// Tells why nothing moves, unless that was said a short while ago.
    pub fn complain(&mut self, message: String) {
        if is_new(&self.status, &message, self.now) {
            self.status.complaint = Some((message.clone(), self.now));
            self.tell(message);
        }
    }

    /// The plan, with what has changed.
    pub fn finish(self) -> Plan {
        let Draft { mut plan, before, .. } = self;
        if self.service != *before.service {
            plan.writes.push(Write::put(self.service));
        }
        if self.status != *before.status {
            plan.writes.push(Write::put(self.status));
        }
        if let Some(mut deployment) = self.deployment
            && before.deployment.as_deref() != Some(&deployment)
        {
            deployment.updated_at = self.now;
            plan.writes.push(Write::put(deployment));
        }
        if self.current != *before.current {
            plan.writes.push(Write::put(self.current));
        }
        let kept = self.members.into_values().filter(|member| !self.forgotten.contains(&member.key()));
        plan.writes.extend(kept.map(Write::put));
        plan.writes.extend(self.forgotten.iter().cloned().map(Write::delete::<Member>));
        plan
    }
}

/// The next event of a service, and the number of the one that is forgotten for it.
pub fn next_event(
    status: &mut ServiceStatus,
    id: String,
    message: String,
    created_at: Timestamp,
) -> (Event, Option<u64>) {
    let (at, number): (ServiceId, u64) = (status.at.clone(), status.events);
    status.events += 1;
    (Event { at, number, id, created_at, message }, number.checked_sub(KEPT))
}

/// Whether a complaint is news.
pub fn is_new(status: &ServiceStatus, message: &str, now: Timestamp) -> bool {
    status.complaint.as_ref().is_none_or(|(said, at)| said != message || now >= *at + COMPLAINS_EVERY)
}
