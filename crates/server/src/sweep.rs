//! Giving back what nothing needs: uploads, layers, content, log events, sessions.

use std::time::Duration;

use base::{AccountId, Region, clock};
use blobs::Blobs;
use service::{Caller, Platform};
use service_logs::Logs;

const EVERY: Duration = Duration::from_secs(3600);
/// Content that no record names may be on its way into one.
const GRACE: Duration = Duration::from_secs(24 * 3600);

/// Sweeps now and every hour, until it is aborted.
pub async fn run(platform: Platform, logs: Logs, blobs: Blobs) {
    loop {
        once(&platform, &logs, &blobs).await;
        tokio::time::sleep(EVERY).await;
    }
}

async fn once(platform: &Platform, logs: &Logs, blobs: &Blobs) {
    let caller =
        Caller::platform("ecr.amazonaws.com", AccountId::default_account(), Region::default_region());
    if let Err(fault) = platform.write("SweepRegistry", caller, service_ecr::sweep).await {
        tracing::warn!(%fault, "the registry's records were not swept");
        return;
    }
    let wall = clock::wall();
    let sts = Caller::platform("sts.amazonaws.com", AccountId::default_account(), Region::default_region());
    if let Err(fault) = platform.write("SweepSessions", sts, move |tx| service_sts::sweep(tx, wall)).await {
        tracing::warn!(%fault, "sessions that have expired were not swept");
    }
    let records = platform.store().snapshot();
    let blobs = blobs.clone();
    let collected = tokio::task::spawn_blocking(move || {
        let mut live = service_ecr::live_blobs(&records);
        live.extend(crate::load::live_blobs(&records));
        let cutoff = clock::wall() - GRACE;
        blobs.sweep_uploads(cutoff)?;
        blobs.collect(&|digest| live.contains(digest), cutoff)
    });
    match collected.await {
        Ok(Ok(collected)) => {
            tracing::debug!(blobs = collected.blobs, bytes = collected.bytes, "swept content")
        }
        Ok(Err(error)) => tracing::warn!(%error, "content was not swept"),
        Err(error) => tracing::warn!(%error, "content was not swept"),
    }
    match logs.sweep(platform).await {
        Ok(swept) => tracing::debug!(streams = swept.deleted, bytes = swept.freed, "swept log events"),
        Err(error) => tracing::warn!(%error, "log events were not swept"),
    }
}
