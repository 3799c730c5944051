//! The one thread that writes: takes whatever waits, writes it at once, syncs once, answers all.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::error::AppendError;
use crate::frame::{self, Frame, HEADER, Head, State, Trim};
use crate::journal::{Appended, Event, Options, Shared};
use crate::recover::{self, Active};
use crate::segment::{self, Footer};

/// A group is closed at this size, so that the first of it does not wait for ever.
const GROUP_BYTES: usize = 4 << 20;
const GROUP_COMMANDS: usize = 1024;
/// A buffer above this is given back after its group.
const KEPT_BUFFER: usize = 256 << 10;

type Answer<T> = oneshot::Sender<Result<T, AppendError>>;

pub(crate) enum Command {
    Append {
        stream: String,
        source: Option<String>,
        ingestion_ms: i64,
        events: Vec<Event>,
        reply: Answer<Appended>,
    },
    Delete {
        stream: String,
        reply: Answer<()>,
    },
    Trim {
        stream: String,
        cutoff_ms: i64,
        reply: Answer<()>,
    },
    Seal {
        reply: Answer<()>,
    },
}

enum Waiting {
    Appender(Answer<Appended>, Appended),
    Other(Answer<()>),
}

impl Waiting {
    fn answer(self, outcome: Result<(), AppendError>) {
        // Whoever gave up waiting does not want to know.
        match self {
            Waiting::Appender(reply, appended) => drop(reply.send(outcome.map(|()| appended))),
            Waiting::Other(reply) => drop(reply.send(outcome)),
        }
    }
}

/// What is about to be written, and what it will have changed.
#[derive(Default)]
struct Group {
    buffer: Vec<u8>,
    waiting: Vec<Waiting>,
    /// Streams touched by this group, as they will be after it; `None`: deleted.
    ahead: HashMap<String, Option<State>>,
    wants_seal: bool,
}

pub(crate) struct Writer {
    shared: Arc<Shared>,
    active: Active,
    options: Options,
}

impl Writer {
    pub fn new(shared: Arc<Shared>, active: Active, options: Options) -> Self {
        Writer { shared, active, options }
    }

    /// Until every sender is gone, or until nobody knows what is on disk.
    pub fn run(mut self, mut queue: mpsc::Receiver<Command>) {
        let mut group = Group::default();
        while let Some(command) = queue.blocking_recv() {
            self.take(&mut group, command);
            let mut count = 1;
            while count < GROUP_COMMANDS && group.buffer.len() < GROUP_BYTES {
                let Ok(command) = queue.try_recv() else { break };
                self.take(&mut group, command);
                count += 1;
            }
            let outcome = self.commit(&group);
            let is_over = matches!(outcome, Err(AppendError::Closed));
            group.waiting.drain(..).for_each(|waiting| waiting.answer(outcome.clone()));
            if is_over {
                return;
            }
            group.buffer.clear();
            group.buffer.shrink_to(KEPT_BUFFER);
            group.ahead = HashMap::new();
            group.wants_seal = false;
        }
    }

    fn take(&self, group: &mut Group, command: Command) {
        match command {
            Command::Append { stream, source, ingestion_ms, events, reply } => {
                let appended = self.append(group, stream, source.as_deref(), ingestion_ms, events);
                group.waiting.push(Waiting::Appender(reply, appended));
            }
            Command::Delete { stream, reply } => {
                if self.state(group, &stream).is_some() {
                    frame::write_delete(&mut group.buffer, &stream);
                    group.ahead.insert(stream, None);
                }
                group.waiting.push(Waiting::Other(reply));
            }
            Command::Trim { stream, cutoff_ms, reply } => {
                let has_before =
                    self.shared.index().streams.get(&*stream).is_some_and(|s| s.has_before(cutoff_ms));
                if has_before && let Some(state) = self.state(group, &stream) {
                    let trim = Trim { cutoff_ms, upto: state.next_seq };
                    frame::write_trim(&mut group.buffer, &stream, trim);
                }
                group.waiting.push(Waiting::Other(reply));
            }
            Command::Seal { reply } => {
                group.wants_seal = true;
                group.waiting.push(Waiting::Other(reply));
            }
        }
    }

    fn append(
        &self,
        group: &mut Group,
        stream: String,
        source: Option<&str>,
        ingestion_ms: i64,
        mut events: Vec<Event>,
    ) -> Appended {
        let mut state = self.state(group, &stream).unwrap_or_default();
        if let Some(covered) = source.and_then(|source| state.sources.get(source).copied()) {
            events.retain(|event| event.offset > covered);
        }
        let (Some(min_ms), Some(max_ms)) = (
            events.iter().map(|event| event.timestamp_ms).min(),
            events.iter().map(|event| event.timestamp_ms).max(),
        ) else {
            return Appended { written: 0, next_seq: state.next_seq };
        };
        let head = Head {
            first_seq: state.next_seq,
            count: events.len() as u32,
            ingestion_ms,
            min_ms,
            max_ms,
            bytes: events.iter().map(|event| event.bytes.len() as u64).sum(),
        };
        let reached = events.iter().map(|event| event.offset).max().unwrap_or_default();
        let source = source.map(|source| (source, reached));
        frame::write_batch(&mut group.buffer, &stream, &head, source, &events);
        state.next_seq += u64::from(head.count);
        if let Some((source, offset)) = source {
            state.cover(source, offset);
        }
        let appended = Appended { written: events.len(), next_seq: state.next_seq };
        group.ahead.insert(stream, Some(state));
        appended
    }

    /// The stream as it will be once the group so far is written; `None` if it does not exist.
    fn state(&self, group: &Group, stream: &str) -> Option<State> {
        match group.ahead.get(stream) {
            Some(ahead) => ahead.clone(),
            None => self.shared.index().streams.get(stream).map(|stream| stream.state.clone()),
        }
    }

    fn commit(&mut self, group: &Group) -> Result<(), AppendError> {
        if !group.buffer.is_empty() {
            self.write(&group.buffer)?;
            self.publish(&group.buffer);
        }
        if group.wants_seal || self.active.length >= self.options.segment_bytes {
            self.seal()?;
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), AppendError> {
        let Active { segment, length, .. } = &mut self.active;
        if let Err(error) = segment.file.write_all_at(bytes, *length) {
            // What got through is cut off again, so that the next append follows whole frames.
            return match segment.file.set_len(*length) {
                Ok(()) => Err(AppendError::Refused(error.to_string())),
                Err(_) => Err(AppendError::Closed),
            };
        }
        // After a failed sync the kernel may have dropped the pages: nothing can be promised.
        segment.file.sync_data().map_err(|_| AppendError::Closed)
    }

    /// Makes what is durable visible, through the same function as recovery.
    fn publish(&mut self, mut bytes: &[u8]) {
        let mut index = self.shared.index_mut();
        while let Some((header, rest)) = bytes.split_first_chunk::<HEADER>() {
            let (length, _) = frame::header(*header).expect("frames of our own making have a length");
            let (payload, rest) = rest.split_at(length);
            let frame = Frame::parse(payload).expect("frames of our own making parse");
            let start = self.active.length;
            self.active.length += (HEADER + length) as u64;
            if let Frame::Delete { key } = frame {
                self.active.deleted.insert(key.to_owned());
            }
            index.note(self.active.segment.number, start..self.active.length, &frame);
            bytes = rest;
        }
    }

    /// Writes the footer and goes on in a new segment; on a full disk, in the old one.
    fn seal(&mut self) -> Result<(), AppendError> {
        match self.try_seal() {
            Ok(next) => {
                let segment = Arc::clone(&next.segment);
                self.shared.index_mut().segments.insert(segment.number, segment);
                self.active = next;
                Ok(())
            }
            // A segment that another follows must have its footer: take back both or give up.
            Err(_) => self.unseal().map_err(|_| AppendError::Closed),
        }
    }

    fn try_seal(&self) -> io::Result<Active> {
        let Active { segment, length, deleted } = &self.active;
        let deleted = deleted.iter().cloned().collect();
        let footer = Footer::gather(&self.shared.index(), segment.number, deleted);
        segment.file.write_all_at(&footer.encode(*length), *length)?;
        segment.file.sync_all()?;
        recover::create(&self.shared.dir, segment.number + 1)
    }

    fn unseal(&self) -> io::Result<()> {
        let next = segment::path_of(&self.shared.dir, self.active.segment.number + 1);
        match fs::remove_file(next) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        segment::sync_dir(&self.shared.dir)?;
        self.active.segment.file.set_len(self.active.length)?;
        self.active.segment.file.sync_all()
    }
}
