//! What a controller wants done.

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use base::{Fault, Timestamp};
use service::{Caller, Platform, Tx};
use store::{Key, Record, Transaction};

/// One key's next step. The default does nothing and waits for a change.
#[derive(Debug, Default)]
pub struct Plan {
    /// Committed together, if nothing that was read has moved.
    pub writes: Vec<Write>,
    /// Peers' requests, run nested in the same transaction, after the writes.
    pub calls: Vec<Call>,
    /// To hosts, after the commit. May be lost, repeated or overtaken.
    pub commands: Vec<link::Desired>,
    /// Look again then, whether or not anything has changed.
    pub wake_at: Option<Timestamp>,
    /// Why, including why not.
    pub report: Report,
}

impl Plan {
    /// Moves the wake-up forward to `at` if it is later than that or unset.
    pub fn wake_by(&mut self, at: Timestamp) {
        self.wake_at = Some(self.wake_at.map_or(at, |earlier| earlier.min(at)));
    }
}

/// A record's new form, or its end.
pub struct Write {
    pub kind: &'static str,
    pub key: Key,
    record: Option<Arc<dyn Any + Send + Sync>>,
    apply: fn(&mut Transaction, &Key, Option<Arc<dyn Any + Send + Sync>>),
}

impl Write {
    pub fn put<R: Record>(record: R) -> Write {
        let key = record.key();
        Write { kind: R::KIND, key, record: Some(Arc::new(record)), apply: apply::<R> }
    }

    pub fn delete<R: Record>(key: Key) -> Write {
        Write { kind: R::KIND, key, record: None, apply: apply::<R> }
    }

    /// The record, if it is a put of that type.
    pub fn record<R: Record>(&self) -> Option<&R> {
        self.record.as_ref()?.downcast_ref()
    }

    pub(crate) fn run(self, records: &mut Transaction) {
        (self.apply)(records, &self.key, self.record);
    }
}

fn apply<R: Record>(records: &mut Transaction, key: &Key, record: Option<Arc<dyn Any + Send + Sync>>) {
    match record {
        Some(record) => {
            records.put_shared::<R>(record.downcast().expect("a write is made with its own type"))
        }
        None => drop(records.delete::<R>(key).then_some(())),
    }
}

impl fmt::Debug for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = if self.record.is_some() { "put" } else { "delete" };
        write!(f, "{verb} {} {}", self.kind, self.key)
    }
}

type Run = Box<dyn FnOnce(&mut Tx<'_>) -> Result<(), Fault> + Send>;

/// A request to a peer, in somebody's name. If it is refused, the whole plan fails and is made
/// again after a while.
pub struct Call {
    pub name: &'static str,
    caller: Caller,
    run: Run,
}

impl Call {
    pub fn of<O: wire::Operation>(caller: Caller, input: O::Input) -> Call {
        Call::then::<O>(caller, input, |_, _| Ok(()))
    }

    /// A call whose answer decides what else is written.
    pub fn then<O: wire::Operation>(
        caller: Caller,
        input: O::Input,
        then: impl FnOnce(&mut Tx<'_>, O::Output) -> Result<(), Fault> + Send + 'static,
    ) -> Call {
        Call::answered::<O>(caller, input, |tx, answer| then(tx, answer?))
    }

    /// A call whose refusal is an answer like any other: the call itself leaves no trace, and
    /// `then` decides what that means. A fault of `then` fails the plan.
    pub fn answered<O: wire::Operation>(
        caller: Caller,
        input: O::Input,
        then: impl FnOnce(&mut Tx<'_>, Result<O::Output, Fault>) -> Result<(), Fault> + Send + 'static,
    ) -> Call {
        let run: Run = Box::new(move |tx| {
            let answer = tx.call::<O>(input);
            then(tx, answer)
        });
        Call { name: O::DEFINITION.name, caller, run }
    }

    /// Work of the controller's own service that needs a transaction: ids, nested calls, what the
    /// plan's writes have changed. A fault fails the plan.
    pub fn inside(
        name: &'static str,
        caller: Caller,
        work: impl FnOnce(&mut Tx<'_>) -> Result<(), Fault> + Send + 'static,
    ) -> Call {
        Call { name, caller, run: Box::new(work) }
    }

    pub(crate) fn run(self, records: &mut Transaction, platform: &Platform) -> Result<(), Fault> {
        platform.transact(records, &self.caller, self.run)
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "call {}", self.name)
    }
}

/// Sentences for whoever asks why.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report(pub Vec<Cow<'static, str>>);

impl Report {
    pub fn add(&mut self, reason: impl Into<Cow<'static, str>>) {
        self.0.push(reason.into());
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("; "))
    }
}
