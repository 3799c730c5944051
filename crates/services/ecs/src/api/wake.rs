//! Services that sleep while nobody asks for them: what is published of them, and what is told of
//! requests.
//!
//! Invariant: what their owner wants stays as it is; whether they sleep is a record of its own.

use std::sync::Arc;
use std::time::Duration;

use base::Fault;
use service::{Caller, Platform, Tx};
use store::{Change, Key, Snapshot};

use super::member;
use crate::behaviour::wake::{self as behaviour, HELD_FOR, SleepError, Sleeper, idle_for};
use crate::state::deployment::{Deployment, UNDER_WAY};
use crate::state::revision::{BY_GROUP, Revision};
use crate::state::service::{SLEEPERS, Service, ServiceId, ServiceStatus};
use crate::state::sleep::Sleep;

/// After how long a service sleeps, and the target groups that wake it; `None`: it does not, be it that
/// nobody asked for it or that nothing could wake it.
pub fn of(records: &Snapshot, service: &Service) -> Option<(Duration, Vec<Arc<str>>)> {
    // The tag was checked when it was set.
    let idle_for = idle_for(&service.tags).ok().flatten().filter(|_| service.deleted_at.is_none())?;
    let revision = records.get::<Revision>(&Revision::key_of(&service.at, &service.revision))?;
    let groups = groups(&revision);
    (!groups.is_empty()).then_some((idle_for, groups))
}

/// Whether a service may have its tags.
pub fn check(records: &Snapshot, service: &Service) -> Result<(), SleepError> {
    let revision = records.get::<Revision>(&Revision::key_of(&service.at, &service.revision));
    let has_groups = revision.is_some_and(|revision| !groups(&revision).is_empty());
    behaviour::check(&service.tags, has_groups)
}

fn groups(revision: &Revision) -> Vec<Arc<str>> {
    let both = revision.balancers.iter().flat_map(|balancer| {
        let advanced = balancer.advanced_configuration.as_ref();
        let alternate = advanced.and_then(|advanced| advanced.alternate_target_group_arn.as_deref());
        balancer.target_group_arn.as_deref().into_iter().chain(alternate)
    });
    both.map(Arc::from).collect()
}

/// For how long requests for a target group without targets are held; zero: not at all.
pub fn held_for(records: &Snapshot, group: &str) -> Duration {
    let is_held = |revision: Arc<Revision>| {
        let service = records.get::<Service>(&revision.at.key());
        let service = service.filter(|service| service.revision == revision.id && service.desired > 0);
        service.is_some_and(|service| of(records, &service).is_some())
    };
    let is_held = records.by::<Revision>(BY_GROUP, &Key::of(&[group])).any(is_held);
    if is_held { HELD_FOR } else { Duration::ZERO }
}

/// The target groups whose requests may be held after a change that were not before, or the other way
/// round. `records` is as the change left it, or later.
pub fn touched(records: &Snapshot, change: &Change) -> Vec<Arc<str>> {
    let (before, after) = (change.before::<Service>(), change.after::<Service>());
    let says = |service: &Option<Arc<Service>>| {
        let service = service.as_ref()?;
        let idle_for = idle_for(&service.tags).ok().flatten()?;
        Some((idle_for, service.revision.clone(), service.desired > 0, service.deleted_at))
    };
    if says(&before) == says(&after) {
        return Vec::new();
    }
    let revisions = before
        .iter()
        .chain(&after)
        .filter_map(|service| records.get::<Revision>(&Revision::key_of(&service.at, &service.revision)));
    revisions.flat_map(|revision| groups(&revision)).collect()
}

/// Every service that may sleep, or does.
pub fn sleepers(records: &Snapshot) -> Vec<Sleeper> {
    let sleeper = |service: Arc<Service>| {
        let (idle_for, groups) = of(records, &service).filter(|_| service.desired > 0)?;
        let at = service.at.key();
        Some(Sleeper {
            service: Arc::from(service.at.arn().as_str()),
            groups,
            idle_for,
            is_asleep: records.get::<Sleep>(&at).is_some(),
            is_busy: records.by::<Deployment>(UNDER_WAY, &at).next().is_some(),
        })
    };
    records.by::<Service>(SLEEPERS, &Key::all()).filter_map(sleeper).collect()
}

/// Sends a service to sleep, by its ARN, unless something has come in between.
///
/// # Errors
/// The store takes no writes; it can be told again.
pub async fn sleep(platform: &Platform, service: Arc<str>) -> Result<(), Fault> {
    let Some((at, _)) = ServiceId::of_arn("service", &service) else { return Ok(()) };
    let caller = caller(&at);
    platform
        .write("Sleep", caller, move |tx| {
            lay(tx, &at);
            Ok(())
        })
        .await
}

/// Wakes every service with a target group that is asked for.
///
/// # Errors
/// As [`sleep`].
pub async fn wake(platform: &Platform, group: Arc<str>) -> Result<(), Fault> {
    let records = platform.store().snapshot();
    for at in asleep(&records, &group) {
        let caller = caller(&at);
        let raise = move |tx: &mut Tx<'_>| {
            raise(tx, &at);
            Ok(())
        };
        platform.write("Wake", caller, raise).await?;
    }
    Ok(())
}

fn caller(at: &ServiceId) -> Caller {
    Caller::platform("ecs.amazonaws.com", at.account.clone(), at.region.clone())
}

fn asleep(records: &Snapshot, group: &str) -> Vec<ServiceId> {
    let revisions = records.by::<Revision>(BY_GROUP, &Key::of(&[group]));
    let mut all: Vec<ServiceId> = revisions.map(|revision| revision.at.clone()).collect();
    all.sort();
    all.dedup();
    all.retain(|at| records.get::<Sleep>(&at.key()).is_some());
    all
}

fn lay(tx: &mut Tx<'_>, at: &ServiceId) {
    let key = at.key();
    let Some(service) = tx.get::<Service>(&key) else { return };
    let Some((idle_for, _)) = of(tx, &service) else { return };
    let is_busy = tx.by::<Deployment>(UNDER_WAY, &key).next().is_some();
    if is_busy || service.desired == 0 || tx.get::<Sleep>(&key).is_some() {
        return;
    }
    let since = tx.now;
    tx.put(Sleep { at: at.clone(), since });
    let seconds = idle_for.as_secs();
    tell(
        tx,
        at,
        format!("(service {}) has gone to sleep after {seconds} seconds without a request.", at.name),
    );
}

fn raise(tx: &mut Tx<'_>, at: &ServiceId) {
    if tx.get::<Sleep>(&at.key()).is_none() {
        return;
    }
    tx.delete::<Sleep>(&at.key());
    tell(tx, at, format!("(service {}) has been woken by a request.", at.name));
}

/// The status is the controller's, which makes its plan again where this came in between.
fn tell(tx: &mut Tx<'_>, at: &ServiceId, message: String) {
    let Some(status) = tx.get::<ServiceStatus>(&at.key()) else { return };
    let mut status = (*status).clone();
    member::tell(tx, &mut status, message);
    tx.put(status);
}
