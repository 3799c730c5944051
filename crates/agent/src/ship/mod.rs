//! One container's output, from its spool to where its log driver takes it.
//!
//! Invariant: a batch's bounds are on disk before it is sent, and are sent again unchanged until
//! the driver has it; so that a sink that remembers the bounds stores every line once. `awslogs`
//! and `json-file` do; `syslog` and `fluentd` cannot, and may get a batch twice after a crash.

mod awslogs;
mod driver;
mod fluentd;
mod group;
mod identity;
mod json_file;
mod progress;
mod syslog;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base::clock::Clock;
use runtime::spool::{Entry, MAX_LINE, Position, Reader};
use runtime::{OutputState, Runtime};

use crate::note::Notes;
use driver::Driver;
use progress::{Progress, Shipped};

pub(crate) use driver::{Driving, is_kept, probe};
pub(crate) use identity::Identity;

/// Read at once from a spool; one line may come on top.
const MAX_SPOOL_BYTES: usize = awslogs::MAX_BYTES - MAX_LINE;

/// How long lines are collected after the first: few calls, and still readable within a second.
const LINGER: Duration = Duration::from_millis(200);

/// AWS: how long an event's first line waits for the lines that follow it.
const EVENT_WAIT: Duration = Duration::from_secs(5);

const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(5);

/// A collector outside Boxship that does not come back after a container's end must not keep its
/// task for ever.
const GIVE_UP: Duration = Duration::from_secs(30);

pub(crate) struct Shipper {
    pub runtime: Arc<dyn Runtime>,
    pub notes: Notes,
    pub clock: Clock,
    /// The task's id.
    pub task: String,
    pub driving: Driving,
}

/// Lines on their way: everything up to `next` is one batch.
struct Batch {
    entries: Vec<Entry>,
    next: Position,
    /// More lies behind it already.
    is_full: bool,
}

impl Shipper {
    /// Ships until the container's output is closed and stored.
    pub async fn run(self) {
        if let Err(error) = self.ship().await {
            let (task, container) = (&self.task, &self.driving.source.container);
            tracing::error!(task, container, %error, "a container's output cannot be shipped");
        }
    }

    async fn ship(&self) -> io::Result<()> {
        let container = &self.driving.source.container;
        let (mut progress, mut shipped) = Progress::open(&self.notes.shipped_path(&self.task, container))?;
        let path = self.notes.log_file(&self.task, container);
        let opened = Driver::open(&self.driving, path, shipped.under_way.and(shipped.file_bytes));
        let mut driver = opened.map_err(io::Error::other)?;
        let dir = self.runtime.spool(&self.task, container);
        let mut is_closed = false;
        // Asked once, so that the last lines are not lingered over.
        let closed = self.runtime.output(&self.task, container, Position::END);
        let mut closed = std::pin::pin!(closed);
        loop {
            let batch = self.read(&dir, shipped, &driver, is_closed).await?;
            if let Some(Batch { entries, next, is_full }) = batch {
                shipped.under_way = Some(next);
                shipped.file_bytes = driver.file_bytes();
                progress.save(&shipped)?;
                self.put(&mut driver, (shipped.until, next), entries, is_closed).await;
                let is_segment_done = next.segment != shipped.until.segment;
                shipped = Shipped { until: next, under_way: None, file_bytes: None };
                if is_segment_done || driver.is_outside() {
                    // Elsewhere the next batch says so: until then, this one may be sent again.
                    progress.save(&shipped)?;
                }
                if is_segment_done {
                    Reader::new(&dir, next).release(next)?;
                }
                if is_full {
                    continue;
                }
            } else if is_closed {
                return progress.save(&shipped);
            }
            if !is_closed && !self.wait(shipped.until).await {
                let lingered = tokio::time::timeout(LINGER, closed.as_mut()).await;
                is_closed = lingered.is_ok();
            } else {
                is_closed = true;
            }
        }
    }

    /// Waits for more; `true` once nothing more will be written.
    async fn wait(&self, from: Position) -> bool {
        match self.runtime.output(&self.task, &self.driving.source.container, from).await {
            Ok(OutputState::More) => false,
            Ok(OutputState::Closed) => true,
            Err(error) => {
                tracing::debug!(task = self.task, %error, "no more output: the sandbox is gone");
                true
            }
        }
    }

    /// The next batch: exactly the one that was under way, if there was one. `None`: there is
    /// nothing, or nothing but an event that may go on.
    async fn read(
        &self,
        dir: &std::path::Path,
        shipped: Shipped,
        driver: &Driver,
        is_closed: bool,
    ) -> io::Result<Option<Batch>> {
        let dir: PathBuf = dir.to_path_buf();
        let start = driver.start().cloned();
        let now = self.clock.now();
        let work = move || {
            let mut reader = Reader::new(&dir, shipped.until);
            let mut entries = reader.read(awslogs::MAX_EVENTS, MAX_SPOOL_BYTES)?;
            let next = reader.position();
            let bytes: usize = entries.iter().map(|entry| entry.text.len()).sum();
            let is_full = entries.len() == awslogs::MAX_EVENTS || bytes >= MAX_SPOOL_BYTES / 2;
            if let Some(end) = shipped.under_way {
                entries.retain(|entry| entry.next <= end);
                let entries = match &start {
                    Some(start) => group::join(start, entries),
                    None => entries,
                };
                return Ok(Some(Batch { entries, next: end, is_full: false }));
            }
            let fitting = awslogs::fitting(&entries);
            let is_cut = fitting < entries.len();
            entries.truncate(fitting);
            if let Some(start) = start {
                let waited = entries.first().map_or(Duration::ZERO, |first| now.since(first.time));
                let whole = group::complete(&start, &entries, is_closed || is_cut || waited >= EVENT_WAIT);
                entries.truncate(whole);
                let last = entries.last().map(|entry| entry.next);
                let batch = |next| Batch { entries: group::join(&start, entries), next, is_full };
                return Ok(last.map(batch));
            }
            let next = if is_cut { entries.last().map_or(next, |entry| entry.next) } else { next };
            let has_some = !entries.is_empty();
            Ok(has_some.then_some(Batch { entries, next, is_full }))
        };
        tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
    }

    /// Sends until the driver has it, or refuses it for good.
    async fn put(
        &self,
        driver: &mut Driver,
        bounds: (Position, Position),
        entries: Vec<Entry>,
        is_closed: bool,
    ) {
        let mut retry = FIRST_RETRY;
        let mut waited = Duration::ZERO;
        loop {
            let Err(error) = driver.put(&self.driving, bounds, &entries).await else { return };
            let (task, container) = (&self.task, &self.driving.source.container);
            let is_hopeless = is_closed && driver.is_outside() && waited >= GIVE_UP;
            if !error.is_retryable || is_hopeless {
                // AWS: the awslogs driver drops what CloudWatch Logs refuses.
                tracing::warn!(task, container, %error, "a batch of output was refused and is dropped");
                return;
            }
            tracing::debug!(task, container, %error, "output is sent again later");
            tokio::time::sleep(retry).await;
            waited += retry;
            retry = (retry * 2).min(LAST_RETRY);
        }
    }
}
