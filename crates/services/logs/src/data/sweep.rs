//! Giving back what deleted groups and streams held and what has expired.

use std::collections::HashSet;
use std::sync::Arc;

use journal::{AppendError, Journal};
use service::Platform;
use store::Key;
use tokio::task::{JoinError, JoinSet};

use crate::Logs;
use crate::state::{Group, JOURNAL, Stream};

/// Streams that are worked on at once.
const AT_ONCE: usize = 64;

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
            known.extend(keys.iter().cloned());
            if group.retention_days.is_some() {
                let cutoff_ms = group.cutoff_ms(now);
                self.each(keys, move |journal, key| async move { journal.trim(&key, cutoff_ms).await })
                    .await?;
            }
        }
        let orphans: Vec<String> = streams.into_iter().filter(|stream| !known.contains(stream)).collect();
        let mut swept = Swept { deleted: orphans.len(), freed: 0 };
        self.each(orphans, |journal, key| async move { journal.delete(&key).await }).await?;
        let journal = Arc::clone(&self.journal);
        match tokio::task::spawn_blocking(move || journal.collect()).await {
            Ok(Ok(freed)) => swept.freed = freed,
            Ok(Err(error)) => tracing::warn!(error = %error, "the journal was not collected"),
            Err(error) => tracing::warn!(error = %error, "the journal was not collected"),
        }
        Ok(swept)
    }

    /// Does `work` for every stream, a few at once, so that they share their syncs.
    async fn each<F: Future<Output = Result<(), AppendError>> + Send + 'static>(
        &self,
        keys: Vec<String>,
        work: impl Fn(Arc<Journal>, String) -> F,
    ) -> Result<(), AppendError> {
        let mut running = JoinSet::new();
        for key in keys {
            if running.len() == AT_ONCE {
                done(running.join_next().await)?;
            }
            running.spawn(work(Arc::clone(&self.journal), key));
        }
        while let Some(outcome) = running.join_next().await {
            done(Some(outcome))?;
        }
        Ok(())
    }
}

fn done(outcome: Option<Result<Result<(), AppendError>, JoinError>>) -> Result<(), AppendError> {
    match outcome {
        Some(Ok(outcome)) => outcome,
        // A panic in the journal's thread has closed it.
        Some(Err(_)) => Err(AppendError::Closed),
        None => Ok(()),
    }
}
