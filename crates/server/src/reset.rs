//! Wiping everything, for test suites.

use anyhow::{Context, Result};
use base::{AccountId, Region};
use service::{Caller, Platform};
use store::Record;

use crate::host::Host;
use crate::instance;
use crate::options::Instance;

/// Stops all tasks and wipes all accounts. Content and log events that nothing refers to any more
/// go with the next sweep.
/// This machine stays the container instance that it was started as, under another id.
pub async fn reset(platform: &Platform, host: &Host, machine: Option<&Instance>) -> Result<()> {
    let caller = Caller::platform("boxship", AccountId::default_account(), Region::default_region());
    platform
        .write("Reset", caller, |tx| {
            // Who was told to trust an authority goes on doing so.
            tx.delete_all(|kind, _| kind != authority::Root::KIND);
            Ok(())
        })
        .await
        .context("the records could not be wiped")?;
    host.wipe().await?;
    instance::settle(platform, machine).await?;
    match host.network() {
        Some(network) => instance::stand(platform, &network).await,
        None => Ok(()),
    }
}
