//! One container's output, from its spool to the log sink.
//!
//! Invariant: a batch's bounds are on disk before it is sent, and are sent again unchanged until
//! the sink has it; so that a sink that remembers the bounds stores every line once.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base::Timestamp;
use core_lifecycle::LogTarget;
use runtime::spool::{Entry, MAX_LINE, Position, Reader};
use runtime::{OutputState, Runtime};

use crate::note::{Notes, Shipped};
use crate::seams::{LogBatch, LogEvent, LogSink, LogSource};

/// AWS: the limits of one PutLogEvents.
const MAX_EVENTS: usize = 10_000;
const MAX_BYTES: usize = 1_048_576;
const EVENT_OVERHEAD: usize = 26;

/// Read at once from a spool; one line may come on top.
const MAX_SPOOL_BYTES: usize = MAX_BYTES / 2 - MAX_LINE;

/// How long lines are collected after the first: few calls, and still readable within a second.
const LINGER: Duration = Duration::from_millis(100);

const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(5);

pub(crate) struct Shipper {
    pub runtime: Arc<dyn Runtime>,
    pub sink: Arc<dyn LogSink>,
    pub notes: Notes,
    /// The task's id.
    pub task: String,
    pub source: LogSource,
    pub target: LogTarget,
}

impl Shipper {
    /// Ships until the container's output is closed and stored.
    pub async fn run(self) {
        if let Err(error) = self.ship().await {
            let (task, container) = (&self.task, &self.source.container);
            tracing::error!(task, container, %error, "a container's output cannot be shipped");
        }
    }

    async fn ship(&self) -> io::Result<()> {
        let mut shipped = self.notes.shipped(&self.task, &self.source.container)?;
        let dir = self.runtime.spool(&self.task, &self.source.container);
        let mut is_closed = false;
        // Asked once, so that the last lines are not lingered over.
        let closed = self.runtime.output(&self.task, &self.source.container, Position::END);
        let mut closed = std::pin::pin!(closed);
        loop {
            let entries = self.read(&dir, shipped).await?;
            if let Some(last) = entries.last() {
                let next = last.next;
                shipped.under_way = Some(next);
                self.save(&shipped)?;
                self.put(shipped.until, next, entries).await;
                shipped = Shipped { until: next, under_way: None };
                self.save(&shipped)?;
                Reader::new(&dir, next).release(next)?;
            } else if is_closed {
                return Ok(());
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
        match self.runtime.output(&self.task, &self.source.container, from).await {
            Ok(OutputState::More) => false,
            Ok(OutputState::Closed) => true,
            Err(error) => {
                tracing::debug!(task = self.task, %error, "no more output: the sandbox is gone");
                true
            }
        }
    }

    /// The next batch: exactly the one that was under way, if there was one.
    async fn read(&self, dir: &std::path::Path, shipped: Shipped) -> io::Result<Vec<Entry>> {
        let dir: PathBuf = dir.to_path_buf();
        let work = move || {
            let mut reader = Reader::new(&dir, shipped.until);
            match shipped.under_way {
                None => reader.read(MAX_EVENTS, MAX_SPOOL_BYTES).map(fit),
                Some(end) => {
                    let mut entries = reader.read(MAX_EVENTS, MAX_SPOOL_BYTES)?;
                    entries.retain(|entry| entry.next <= end);
                    Ok(entries)
                }
            }
        };
        tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
    }

    fn save(&self, shipped: &Shipped) -> io::Result<()> {
        self.notes.save_shipped(&self.task, &self.source.container, shipped)
    }

    /// Sends until the sink has it, or refuses it for good.
    async fn put(&self, first: Position, next: Position, entries: Vec<Entry>) {
        let events = events(entries);
        if events.is_empty() {
            return;
        }
        let batch = LogBatch { first: first.sequence(), next: next.sequence(), events };
        let mut retry = FIRST_RETRY;
        loop {
            let error = match self.sink.put(&self.source, &self.target, batch.clone()).await {
                Ok(()) => return,
                Err(error) => error,
            };
            let (task, container) = (&self.task, &self.source.container);
            if !error.is_retryable {
                // AWS: the awslogs driver drops what CloudWatch Logs refuses.
                tracing::warn!(task, container, %error, "a batch of output was refused and is dropped");
                return;
            }
            tracing::debug!(task, container, %error, "output is sent again later");
            tokio::time::sleep(retry).await;
            retry = (retry * 2).min(LAST_RETRY);
        }
    }
}

/// Lines as events, their times never falling.
fn events(entries: Vec<Entry>) -> Vec<LogEvent> {
    let mut latest = Timestamp::EPOCH;
    let mut events = Vec::with_capacity(entries.len());
    for entry in entries {
        // AWS: an event has at least one character; the awslogs driver sends nothing for an
        // empty line.
        if entry.text.is_empty() {
            continue;
        }
        latest = latest.max(entry.time);
        let message = match String::from_utf8(entry.text) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        };
        events.push(LogEvent { at: latest, message });
    }
    events
}

/// Cuts a batch to what one call takes.
fn fit(mut entries: Vec<Entry>) -> Vec<Entry> {
    let mut bytes = 0;
    let fitting = entries.iter().take_while(|entry| {
        bytes += EVENT_OVERHEAD + text_bytes(&entry.text);
        bytes <= MAX_BYTES
    });
    let count = fitting.count();
    entries.truncate(count);
    entries
}

/// Bytes as text: what is not UTF-8 grows by its replacement characters.
fn text_bytes(bytes: &[u8]) -> usize {
    bytes
        .utf8_chunks()
        .map(|chunk| chunk.valid().len() + if chunk.invalid().is_empty() { 0 } else { 3 })
        .sum()
}
