//! What proxies saw of targets.

use std::sync::Arc;

use base::{AccountId, Fault, Region};
use core_routing::{HealthReport, State, TargetKey, TargetName};
use service::{Caller, Platform, Tx};
use store::{Change, Record, Snapshot};

use crate::PRINCIPAL;
use crate::state::{GroupId, Health, Target};
use crate::table::{either, users};

/// Takes reports in, in their order; durable when it answers. A report about a target that is not
/// registered any more, or was registered anew since, is void.
///
/// # Errors
/// The store takes no writes; the reports can be given again.
pub async fn take_in(platform: &Platform, reports: Vec<HealthReport>) -> Result<(), Fault> {
    if reports.is_empty() {
        return Ok(());
    }
    let caller = Caller::platform(PRINCIPAL, AccountId::default_account(), Region::default_region());
    platform
        .write("TakeInHealth", caller, move |tx| {
            reports.into_iter().for_each(|report| take(tx, report));
            Ok(())
        })
        .await
}

/// Whether a target of the group with this ARN was healthy when it was last seen.
pub fn is_healthy(records: &Snapshot, group: &str, target: &core_routing::Target) -> bool {
    let seen = GroupId::of_arn(group)
        .and_then(|group| records.get::<Health>(&group.target(&target.id, target.port)))
        .filter(|seen| seen.registered_at == target.registered_at);
    seen.is_some_and(|seen| seen.state == State::Healthy)
}

/// What was seen last of the targets of a table, for whoever begins to serve it.
pub fn known(records: &Snapshot, table: &core_routing::Balancer) -> Vec<HealthReport> {
    let of_group = |group: &core_routing::TargetGroup| {
        let at = GroupId::of_arn(&group.arn);
        let all = at.into_iter().flat_map(|at| records.scan::<Health>(&at.targets()));
        let report = |seen: Arc<Health>| HealthReport {
            target: TargetKey { group: Arc::clone(&group.arn), id: Arc::clone(&seen.id), port: seen.port },
            registered_at: seen.registered_at,
            state: seen.state,
            reason: seen.reason.clone(),
            anomaly: seen.anomaly,
            at: seen.at,
        };
        all.map(report).collect::<Vec<_>>()
    };
    table.groups.values().flat_map(|group| of_group(group)).collect()
}

/// The balancers, by ARN, of which a change says how a target stands.
pub fn touched_by_health(records: &Snapshot, change: &Change) -> Vec<Arc<str>> {
    let Some(seen) = either::<Health>(change) else { return Vec::new() };
    users(records, &seen.group).iter().map(|at| Arc::from(at.arn().to_string())).collect()
}

/// The balancers, by ARN, that send to the group with this ARN.
pub fn users_of_group(records: &Snapshot, group: &str) -> Vec<Arc<str>> {
    let group = GroupId::of_arn(group);
    let users = group.map(|group| users(records, &group)).unwrap_or_default();
    users.iter().map(|at| Arc::from(at.arn().to_string())).collect()
}

/// The target of which a change says something.
pub fn touched_target(change: &Change) -> Option<TargetName> {
    let name = |group: &GroupId, id: &Arc<str>, port| TargetName {
        group: Arc::from(group.arn().as_str()),
        id: Arc::clone(id),
        port,
    };
    if let Some(seen) = either::<Health>(change) {
        return Some(name(&seen.group, &seen.id, seen.port));
    }
    either::<Target>(change).map(|target| name(&target.group, &target.id, target.port))
}

fn take(tx: &mut Tx<'_>, report: HealthReport) {
    let Some(group) = GroupId::of_arn(&report.target.group) else { return };
    let key = group.target(&report.target.id, report.target.port);
    let Some(target) = tx.get::<Target>(&key) else { return };
    if target.registered_at != report.registered_at || target.draining_until.is_some() {
        return;
    }
    let seen = Health {
        group: Arc::clone(&target.group),
        id: Arc::clone(&target.id),
        port: target.port,
        registered_at: report.registered_at,
        state: report.state,
        reason: report.reason,
        anomaly: report.anomaly,
        at: report.at,
    };
    let before = tx.get::<Health>(&seen.key());
    if before.is_none_or(|before| is_news(&seen, &before)) {
        tx.put(seen);
    }
}

fn is_news(seen: &Health, before: &Health) -> bool {
    if before.registered_at != seen.registered_at {
        return true;
    }
    // A proxy that has just begun knows less than the one before it: what that one saw holds until
    // there is a verdict again.
    let is_verdict = seen.state != State::Initial || before.state == State::Initial;
    let is_other = (before.state, &before.reason, before.anomaly) != (seen.state, &seen.reason, seen.anomaly);
    is_verdict && is_other && before.at <= seen.at
}
