//! The two threads of a store: one runs transactions in turn, one makes groups of them durable.
//!
//! Invariant: answers leave in the order in which the transactions ran, each after the commit of
//! everything that it could have read. While one group is committed, the next one gathers.

use std::collections::BTreeMap;
use std::io;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use tokio::sync::mpsc;

use crate::backend::{Backend, BackendError, Batch, Fence, Write};
use crate::store::Shared;
use crate::watch::{Change, Commit};
use crate::{SCHEMA, Snapshot, Transaction};

/// Transactions that may gather while the group before them is committed.
const GROUP: usize = 256;

pub(crate) enum Job {
    Run(Box<dyn FnOnce(&mut Transaction) -> Verdict + Send>),
    Stop,
}

/// What became of a transaction's closure.
pub(crate) struct Verdict {
    pub is_kept: bool,
    pub answer: Answer,
}

type Answer = Box<dyn FnOnce(Outcome) + Send>;

/// What became of the group that a transaction is in.
pub(crate) enum Outcome {
    Durable,
    Closed(Arc<BackendError>),
    Unwritable(String),
}

/// Transactions that will be made durable together.
#[derive(Default)]
struct Group {
    answers: Vec<(Answer, Outcome)>,
    /// The state after them; `None` if none of them wrote.
    after: Option<Snapshot>,
    changes: Vec<Change>,
    writes: Vec<Write>,
    meta: BTreeMap<Arc<str>, Arc<str>>,
}

/// Where groups wait for the committing thread.
#[derive(Default)]
struct Line {
    state: Mutex<Gathering>,
    /// A transaction has joined the group, or none will any more.
    joined: Condvar,
    /// The group has left, or the store has closed.
    left: Condvar,
}

#[derive(Default)]
struct Gathering {
    group: Group,
    /// No transaction will follow.
    is_ended: bool,
    /// The committing thread takes nothing more.
    is_closed: bool,
}

impl Line {
    fn lock(&self) -> MutexGuard<'_, Gathering> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) fn start(
    queue: mpsc::Receiver<Job>,
    backend: Box<dyn Backend>,
    fence: Fence,
    shared: Arc<Shared>,
) -> io::Result<()> {
    let line = Arc::new(Line::default());
    let working = shared.durable.read().unwrap_or_else(PoisonError::into_inner).clone();
    let committing = { Arc::clone(&line) };
    thread::Builder::new()
        .name(String::from("store-commit"))
        .spawn(move || commit_groups(&committing, backend, fence, &shared))?;
    thread::Builder::new().name(String::from("store-write")).spawn(move || {
        run_in_turn(queue, working, &line);
        line.lock().is_ended = true;
        line.joined.notify_one();
    })?;
    Ok(())
}

/// Runs `code`; a panic becomes its message.
pub(crate) fn guarded<T>(code: impl FnOnce() -> T) -> Result<T, String> {
    // What the code can have left half done is the transaction, which is thrown away.
    catch_unwind(AssertUnwindSafe(code)).map_err(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
    })
}

fn run_in_turn(mut queue: mpsc::Receiver<Job>, mut working: Snapshot, line: &Line) {
    while let Some(Job::Run(run)) = queue.blocking_recv() {
        let mut tx = Transaction::new(working.clone());
        let verdict = run(&mut tx);
        // Records' own code runs here too: how they encode themselves.
        let written = match verdict.is_kept {
            true => guarded(|| write_out(tx, &working)).and_then(|written| written),
            false => Ok(None),
        };
        let mut gathering = line.lock();
        while gathering.group.answers.len() >= GROUP && !gathering.is_closed {
            gathering = line.left.wait(gathering).unwrap_or_else(PoisonError::into_inner);
        }
        if gathering.is_closed {
            return;
        }
        let group = &mut gathering.group;
        let outcome = match written {
            Ok(written) => {
                if let Some(written) = written {
                    working = written.after.clone();
                    group.join(written);
                }
                Outcome::Durable
            }
            Err(message) => Outcome::Unwritable(message),
        };
        group.answers.push((verdict.answer, outcome));
        drop(gathering);
        line.joined.notify_one();
    }
}

/// One transaction in the form in which it becomes durable.
struct Written {
    after: Snapshot,
    changes: Vec<Change>,
    writes: Vec<Write>,
    meta: Vec<(Arc<str>, Arc<str>)>,
}

fn write_out(tx: Transaction, before: &Snapshot) -> Result<Option<Written>, String> {
    let Some((after, changes)) = tx.finish(before) else { return Ok(None) };
    let writes = changes.iter().map(|change| encode(&after, change)).collect::<Result<_, _>>()?;
    let meta = if after.state.meta.is_same(&before.state.meta) {
        Vec::new()
    } else {
        after.state.meta.iter().collect()
    };
    Ok(Some(Written { after, changes, writes, meta }))
}

fn encode(state: &Snapshot, change: &Change) -> Result<Write, String> {
    let kind = state.state.kinds.find(change.kind).expect("a change is of a known kind");
    let json = change.after.as_ref().map(kind.encode).transpose()?;
    let (key, version, revision) = (change.key.clone(), kind.version, change.revision);
    Ok(Write { kind: kind.name, key, version, revision, json })
}

impl Group {
    fn join(&mut self, written: Written) {
        self.after = Some(written.after);
        self.changes.extend(written.changes);
        self.writes.extend(written.writes);
        self.meta.extend(written.meta);
    }

    /// The batch that makes the group durable: of several writes to one record, the last.
    fn batch(&mut self, revision: u64) -> Batch {
        let mut writes = mem::take(&mut self.writes);
        writes.sort_by(|a, b| (a.kind, &a.key, b.revision).cmp(&(b.kind, &b.key, a.revision)));
        writes.dedup_by(|later, first| (later.kind, &later.key) == (first.kind, &first.key));
        Batch { schema: SCHEMA, revision, writes, meta: mem::take(&mut self.meta) }
    }
}

fn commit_groups(line: &Line, mut backend: Box<dyn Backend>, fence: Fence, shared: &Shared) {
    let cause = loop {
        let mut gathering = line.lock();
        while gathering.group.answers.is_empty() && !gathering.is_ended {
            gathering = line.joined.wait(gathering).unwrap_or_else(PoisonError::into_inner);
        }
        let mut group = mem::take(&mut gathering.group);
        drop(gathering);
        line.left.notify_one();
        if group.answers.is_empty() {
            break Arc::new(BackendError::ShutDown);
        }
        let committed = match group.after.clone() {
            Some(after) => {
                let batch = group.batch(after.revision());
                guarded(|| backend.commit(&batch, fence)).unwrap_or_else(|why| Err(panicked(why)))
            }
            None => Ok(()),
        };
        match committed {
            Ok(()) => publish(group, shared),
            Err(error) => {
                let cause = Arc::new(error);
                refuse(group, &cause);
                break cause;
            }
        }
    };
    let mut gathering = line.lock();
    gathering.is_closed = true;
    let rest = mem::take(&mut gathering.group);
    drop(gathering);
    line.left.notify_one();
    refuse(rest, &cause);
    // The lease is given up before anyone is told, so that whoever waited may open again.
    drop(backend);
    shared.commits.write().unwrap_or_else(PoisonError::into_inner).take();
    shared.announce_end(cause);
}

fn panicked(message: String) -> BackendError {
    BackendError::Failed(format!("it panicked: {message}").into())
}

fn publish(group: Group, shared: &Shared) {
    if let Some(after) = group.after {
        let revision = after.revision();
        *shared.durable.write().unwrap_or_else(PoisonError::into_inner) = after;
        let commits = shared.commits.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(commits) = &*commits {
            // Nobody may be watching.
            let _ = commits.send(Arc::new(Commit { revision, changes: group.changes }));
        }
    }
    for (answer, outcome) in group.answers {
        answer(outcome);
    }
}

fn refuse(group: Group, cause: &Arc<BackendError>) {
    for (answer, _) in group.answers {
        answer(Outcome::Closed(Arc::clone(cause)));
    }
}
