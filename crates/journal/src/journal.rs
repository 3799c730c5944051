//! The door: a handle that appends through the writer's thread and reads the index directly.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot};

use crate::error::{AppendError, OpenError};
use crate::index::Index;
use crate::recover;
use crate::writer::{Command, Writer};

/// Appends that may wait for the writer; more wait for a place in the queue.
const QUEUE: usize = 64;

/// One event. Its place among others of its stream: by `timestamp_ms`, then by order of arrival.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub timestamp_ms: i64,
    /// The position in the append's source just behind this event; unused without a source.
    pub offset: u64,
    pub bytes: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// A segment is sealed once it is this long.
    pub segment_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Options { segment_bytes: 32 << 20 }
    }
}

/// What an append did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// Events written; those that their source had delivered before are left out.
    pub written: usize,
    /// The stream's events so far, which is the next one's sequence number.
    pub next_seq: u64,
}

/// A stream at a glance, from memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Earliest and latest time of the events there are; `None` without any.
    pub span_ms: Option<(i64, i64)>,
    pub last_ingestion_ms: i64,
    /// Bytes of the events themselves.
    pub bytes: u64,
    pub next_seq: u64,
}

pub(crate) struct Shared {
    pub dir: PathBuf,
    index: RwLock<Index>,
    /// A segment file below this is not worth rewriting for its own sake.
    pub small: u64,
    /// One collection at a time.
    pub collecting: Mutex<()>,
}

impl Shared {
    pub fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn index_mut(&self) -> RwLockWriteGuard<'_, Index> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An open journal. Dropping it finishes what was queued and lets go of the directory.
pub struct Journal {
    pub(crate) shared: Arc<Shared>,
    commands: Option<mpsc::Sender<Command>>,
    writer: Option<JoinHandle<()>>,
    lock: File,
}

impl Journal {
    /// Opens or makes the journal in `dir`, cutting off what a dying process half wrote.
    pub fn open(dir: impl AsRef<Path>) -> Result<Journal, OpenError> {
        Journal::open_with(dir, Options::default())
    }

    pub fn open_with(dir: impl AsRef<Path>, options: Options) -> Result<Journal, OpenError> {
        let dir = dir.as_ref().to_owned();
        let recovered = recover::open(&dir)?;
        let index = RwLock::new(recovered.index);
        let (small, collecting) = (options.segment_bytes / 16, Mutex::new(()));
        let shared = Arc::new(Shared { dir: dir.clone(), index, small, collecting });
        let (commands, queue) = mpsc::channel(QUEUE);
        let writer = Writer::new(Arc::clone(&shared), recovered.active, options);
        let writer = std::thread::Builder::new()
            .name(String::from("journal"))
            .spawn(move || writer.run(queue))
            .map_err(|source| OpenError::Io { path: dir, source })?;
        Ok(Journal { shared, commands: Some(commands), writer: Some(writer), lock: recovered.lock })
    }

    /// Appends `events` to `stream`, which need not exist, and answers once they are durable.
    ///
    /// With a `source`, events whose `offset` the stream already has from that source are left
    /// out, so a shipper that does not know how far it got may send again from anywhere before.
    /// Appends of one caller that awaits each keep their order. An empty append makes nothing.
    pub async fn append(
        &self,
        stream: &str,
        source: Option<&str>,
        ingestion_ms: i64,
        events: Vec<Event>,
    ) -> Result<Appended, AppendError> {
        let (reply, answer) = oneshot::channel();
        check(stream, source, &events)?;
        let (stream, source) = (stream.to_owned(), source.map(str::to_owned));
        let command = Command::Append { stream, source, ingestion_ms, events, reply };
        self.send(command).await?;
        answer.await.unwrap_or(Err(AppendError::Closed))
    }

    /// [`Journal::append`] for threads outside an asynchronous runtime.
    pub fn append_blocking(
        &self,
        stream: &str,
        source: Option<&str>,
        ingestion_ms: i64,
        events: Vec<Event>,
    ) -> Result<Appended, AppendError> {
        let (reply, answer) = oneshot::channel();
        check(stream, source, &events)?;
        let (stream, source) = (stream.to_owned(), source.map(str::to_owned));
        let command = Command::Append { stream, source, ingestion_ms, events, reply };
        self.sender().blocking_send(command).map_err(|_| AppendError::Closed)?;
        answer.blocking_recv().unwrap_or(Err(AppendError::Closed))
    }

    /// Forgets the stream: its events, its sources. A later append begins it anew.
    pub async fn delete(&self, stream: &str) -> Result<(), AppendError> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Delete { stream: stream.to_owned(), reply }).await?;
        answer.await.unwrap_or(Err(AppendError::Closed))
    }

    /// Lets go of events older than `cutoff_ms`, in stretches: an older event stays visible as long
    /// as a younger one shares its stretch, so who must not see it reads from the cutoff on.
    /// Events that arrive later are not meant, however old.
    pub async fn trim(&self, stream: &str, cutoff_ms: i64) -> Result<(), AppendError> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Trim { stream: stream.to_owned(), cutoff_ms, reply }).await?;
        answer.await.unwrap_or(Err(AppendError::Closed))
    }

    /// Seals the growing segment, so that [`Journal::collect`] may rewrite it.
    pub async fn seal(&self) -> Result<(), AppendError> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Seal { reply }).await?;
        answer.await.unwrap_or(Err(AppendError::Closed))
    }

    /// How far `source` is covered in `stream`: where its shipper goes on.
    pub fn covered(&self, stream: &str, source: &str) -> Option<u64> {
        self.shared.index().streams.get(stream)?.state.sources.get(source).copied()
    }

    /// `None` for a stream that was never appended to, or deleted since.
    pub fn summary(&self, stream: &str) -> Option<Summary> {
        let index = self.shared.index();
        let stream = index.streams.get(stream)?;
        let mut summary = Summary {
            span_ms: None,
            last_ingestion_ms: stream.state.last_ingestion_ms,
            bytes: 0,
            next_seq: stream.state.next_seq,
        };
        for (_, span) in stream.spans() {
            let (first, last) = summary.span_ms.unwrap_or((span.min_ms, span.max_ms));
            summary.span_ms = Some((first.min(span.min_ms), last.max(span.max_ms)));
            summary.bytes += span.bytes;
        }
        Some(summary)
    }

    /// The streams whose key begins with `prefix`, in order.
    pub fn streams(&self, prefix: &str) -> Vec<String> {
        let index = self.shared.index();
        let from =
            index.streams.range::<str, _>((std::ops::Bound::Included(prefix), std::ops::Bound::Unbounded));
        from.map(|(key, _)| key)
            .take_while(|key| key.starts_with(prefix))
            .map(|key| key.to_string())
            .collect()
    }

    /// Whether a failed sync closed it: the process should end rather than go on.
    pub fn is_closed(&self) -> bool {
        self.sender().is_closed()
    }

    /// Resolves once a failed sync has closed it, for whoever then ends the process.
    pub async fn closed(&self) {
        self.sender().closed().await;
    }

    async fn send(&self, command: Command) -> Result<(), AppendError> {
        self.sender().send(command).await.map_err(|_| AppendError::Closed)
    }

    fn sender(&self) -> &mpsc::Sender<Command> {
        self.commands.as_ref().expect("taken only by drop")
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.commands = None;
        if let Some(writer) = self.writer.take() {
            // A writer that panicked has said so; nothing is left to do about it here.
            let _ = writer.join();
        }
        // Closing alone is not enough: a process being spawned holds a copy until its exec.
        let _ = self.lock.unlock();
    }
}

fn check(stream: &str, source: Option<&str>, events: &[Event]) -> Result<(), AppendError> {
    let longest = usize::from(u16::MAX);
    if stream.len() > longest || source.is_some_and(|source| source.len() > longest) {
        return Err(AppendError::NameTooLong);
    }
    let bytes = events.iter().map(|event| event.bytes.len() + 12).sum::<usize>();
    let overhead = 256 + 2 * longest;
    match bytes + overhead > crate::frame::MAX_PAYLOAD {
        true => Err(AppendError::TooLarge { bytes }),
        false => Ok(()),
    }
}
