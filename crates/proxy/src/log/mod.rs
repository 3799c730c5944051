//! Access, connection and health check logs on their way out.
//!
//! Owns the batching between who writes a line and who keeps it. Invariant: whoever writes never
//! waits: lines that find no room are dropped and counted.
//!
//! Deliberately ignores what is in a line ([`core_routing::logs`]) and where lines are kept.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use core_routing::Balancer;

/// Who keeps lines: the server does, in its journal.
pub trait Logs: Send + Sync + 'static {
    /// Keeps a batch. Called on a thread of its own, one call at a time; it may wait.
    fn keep(&self, batch: &Batch);
}

/// Keeps nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoLogs;

impl Logs for NoLogs {
    fn keep(&self, _: &Batch) {}
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LogKind {
    Access,
    Connection,
    HealthCheck,
}

/// Lines of one balancer and kind, in the order in which one writer wrote them.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    pub kind: LogKind,
    pub balancer: Arc<Balancer>,
    /// `bucket/prefix`, as the attributes name it.
    pub destination: String,
    /// Each with a line feed at its end.
    pub lines: String,
}

/// A batch goes out when it is this large ...
const BATCH_BYTES: usize = 32 * 1024;
/// ... or when its book is flushed; so many wait before lines are dropped.
const BATCHES: usize = 256;

/// One writer's open batches. Each worker has its own; it never leaves its thread's hands.
pub struct Book {
    open: RefCell<HashMap<(LogKind, Arc<str>), Batch>>,
    out: SyncSender<Batch>,
    dropped: Arc<AtomicU64>,
}

/// The thread that hands batches to [`Logs`]. Dropping it waits for what was flushed, so books must
/// be dropped before.
pub struct Writer {
    out: Option<SyncSender<Batch>>,
    dropped: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// # Errors
    /// The thread cannot be made.
    pub fn start(logs: Arc<dyn Logs>) -> std::io::Result<Writer> {
        let (out, batches) = sync_channel(BATCHES);
        let keep = move || keep_all(&batches, &*logs);
        let thread = std::thread::Builder::new().name("proxy-logs".into()).spawn(keep)?;
        Ok(Writer { out: Some(out), dropped: Arc::default(), thread: Some(thread) })
    }

    /// A book for one more writer.
    pub fn book(&self) -> Book {
        let out = self.out.clone().expect("only dropping takes it");
        Book { open: RefCell::default(), out, dropped: self.dropped.clone() }
    }

    /// Lines that found no room since the start.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.out = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn keep_all(batches: &Receiver<Batch>, logs: &dyn Logs) {
    while let Ok(batch) = batches.recv() {
        logs.keep(&batch);
    }
}

impl Book {
    /// Adds a line, which `line` appends without its end.
    pub fn write(
        &self,
        kind: LogKind,
        balancer: &Arc<Balancer>,
        destination: &str,
        line: impl FnOnce(&mut String),
    ) {
        let mut open = self.open.borrow_mut();
        let batch = open.entry((kind, balancer.arn.clone())).or_insert_with(|| Batch {
            kind,
            balancer: balancer.clone(),
            destination: destination.to_owned(),
            lines: String::with_capacity(BATCH_BYTES),
        });
        if batch.destination != destination {
            let full = std::mem::replace(&mut batch.destination, destination.to_owned());
            let lines = std::mem::take(&mut batch.lines);
            self.send(Batch { kind, balancer: batch.balancer.clone(), destination: full, lines });
        }
        line(&mut batch.lines);
        batch.lines.push('\n');
        if batch.lines.len() >= BATCH_BYTES {
            let lines = std::mem::take(&mut batch.lines);
            let (balancer, destination) = (batch.balancer.clone(), batch.destination.clone());
            self.send(Batch { kind, balancer, destination, lines });
        }
    }

    /// Sends what is there. To be called every second or so.
    pub fn flush(&self) {
        let open = std::mem::take(&mut *self.open.borrow_mut());
        open.into_values().for_each(|batch| self.send(batch));
    }

    fn send(&self, batch: Batch) {
        if batch.lines.is_empty() {
            return;
        }
        if let Err(TrySendError::Full(batch) | TrySendError::Disconnected(batch)) = self.out.try_send(batch) {
            let lines = batch.lines.bytes().filter(|byte| *byte == b'\n').count();
            self.dropped.fetch_add(lines as u64, Ordering::Relaxed);
        }
    }
}

impl Drop for Book {
    fn drop(&mut self) {
        self.flush();
    }
}

#[cfg(test)]
mod tests;
