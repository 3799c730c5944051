//! What proxies saw of targets.

use std::sync::Arc;

use base::{AccountId, Fault, Region};
use core_routing::HealthReport;
use service::{Caller, Platform, Tx};
use store::Record;

use crate::PRINCIPAL;
use crate::state::{GroupId, Health, Target};

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
        at: report.at,
    };
    let before = tx.get::<Health>(&seen.key());
    let is_news = before.is_none_or(|before| {
        before.registered_at != seen.registered_at
            || (before.at <= seen.at && (before.state != seen.state || before.reason != seen.reason))
    });
    if is_news {
        tx.put(seen);
    }
}
