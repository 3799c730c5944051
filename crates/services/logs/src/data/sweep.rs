//! Giving back what deleted groups and streams held and what has expired.

use std::collections::HashSet;
use std::sync::Arc;

use base::Timestamp;
use journal::AppendError;
use service::Platform;
use store::Key;

use crate::Logs;
use crate::state::{Group, JOURNAL, Stream};

/// What a sweep did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Streams of which the journal knew and no record.
    pub deleted: usize,
    /// Bytes of files given back.
    pub freed: u64,
}

impl Logs {
    /// Lets go of the events that nobody can read any more. For the server to run now and then
    /// (hourly is plenty: what has expired or was deleted is never answered, swept or not).
    pub async fn sweep(&self, platform: &Platform) -> Result<Swept, AppendError> {
        // The journal first: a stream in it that a later snapshot does not have was deleted.
        let streams = self.journal.streams(JOURNAL);
        let records = platform.store().snapshot();
        let now = platform.clock().now();
        let mut known = HashSet::new();
        for group in records.scan::<Group>(&Key::all()) {
            let streams = records.scan::<Stream>(&store::Record::key(&*group));
            let keys: Vec<String> = streams.map(|stream| stream.journal_key()).collect();
            self.expire(&group, &keys, now).await?;
            known.extend(keys);
        }
        let mut swept = Swept::default();
        for stream in streams.iter().filter(|stream| !known.contains(*stream)) {
            self.journal.delete(stream).await?;
            swept.deleted += 1;
        }
        let journal = Arc::clone(&self.journal);
        match tokio::task::spawn_blocking(move || journal.collect()).await {
            Ok(Ok(freed)) => swept.freed = freed,
            Ok(Err(error)) => tracing::warn!(error = %error, "the journal was not collected"),
            Err(error) => tracing::warn!(error = %error, "the journal was not collected"),
        }
        Ok(swept)
    }

    async fn expire(&self, group: &Group, keys: &[String], now: Timestamp) -> Result<(), AppendError> {
        if group.retention_days.is_none() {
            return Ok(());
        }
        for key in keys {
            self.journal.trim(key, group.cutoff_ms(now)).await?;
        }
        Ok(())
    }
}
