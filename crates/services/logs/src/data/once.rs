//! The way in for shippers of our own: PutLogEvents that may be repeated.

use base::{AccountId, Fault, Region};
use service::{Caller, Platform};

use crate::Logs;
use crate::behaviour::accept::{Incoming, Put};
use crate::data::put::{Destination, write};

/// A log stream by name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Target {
    pub account: AccountId,
    pub region: Region,
    pub group: String,
    pub stream: String,
}

impl Logs {
    /// Puts `events` into an existing stream, each at most once: those whose `offset` the stream
    /// already has from `source` are left out, also after a crash on either side. Durable when it
    /// answers. Their times may go back, as a host's clock does; the limits of PutLogEvents on
    /// size, age and retention hold, and its faults are answered (`ResourceNotFoundException`).
    pub async fn put_once(
        &self,
        platform: &Platform,
        to: &Target,
        source: &str,
        events: Vec<Incoming>,
    ) -> Result<Put, Fault> {
        let now = platform.clock().now();
        let to = self.destination(platform, to)?;
        write(&self.journal, &to, Some(source), now, events, false).await
    }

    /// The offset up to which the stream has `source`'s events: where its shipper goes on.
    /// `None`: nothing yet.
    pub fn covered(&self, platform: &Platform, to: &Target, source: &str) -> Result<Option<u64>, Fault> {
        Ok(self.journal.covered(&self.destination(platform, to)?.key, source))
    }

    fn destination(&self, platform: &Platform, to: &Target) -> Result<Destination, Fault> {
        let caller = Caller::platform("logs.amazonaws.com", to.account.clone(), to.region.clone());
        let records = platform.store().snapshot();
        Destination::find(&records, &caller, &to.group, &to.stream, platform.clock().now())
    }
}
