//! What a handler works with.

use std::ops::{Deref, DerefMut};

use base::{Chance, Fault, Timestamp};
use store::{Snapshot, Transaction};

use crate::caller::Caller;
use crate::operation::BoxShape;
use crate::platform::Platform;

/// One instant for a reader: records, who asks, and when. Derefs to the records.
#[derive(Clone, Copy)]
pub struct View<'a> {
    pub now: Timestamp,
    pub caller: &'a Caller,
    pub records: &'a Snapshot,
}

impl Deref for View<'_> {
    type Target = Snapshot;
    fn deref(&self) -> &Snapshot {
        self.records
    }
}

/// A writing transaction: records that it may change, who asks, when, and a source of ids.
/// Derefs to the records, which show its own writes.
pub struct Tx<'a> {
    pub now: Timestamp,
    pub caller: &'a Caller,
    pub chance: Chance,
    pub(crate) platform: &'a Platform,
    pub(crate) records: &'a mut Transaction,
    pub(crate) depth: u8,
}

impl Deref for Tx<'_> {
    type Target = Transaction;
    fn deref(&self) -> &Transaction {
        self.records
    }
}

impl DerefMut for Tx<'_> {
    fn deref_mut(&mut self) -> &mut Transaction {
        self.records
    }
}

impl Tx<'_> {
    /// The same instant, to read only.
    pub fn view(&self) -> View<'_> {
        View { now: self.now, caller: self.caller, records: self.records }
    }

    /// Runs another operation inside this transaction as the same caller. All of it happens or
    /// none of it, also when the fault is handled and the transaction goes on.
    pub fn call<O: wire::Operation>(&mut self, input: O::Input) -> Result<O::Output, Fault> {
        let caller = self.caller.clone();
        self.call_as::<O>(&caller, input)
    }

    /// [`Tx::call`] in another name: a role that the user gave, or the platform itself.
    pub fn call_as<O: wire::Operation>(
        &mut self,
        caller: &Caller,
        input: O::Input,
    ) -> Result<O::Output, Fault> {
        let platform = self.platform;
        let shape: BoxShape = Box::new(input);
        let output = platform.nested(self, caller, O::DEFINITION, shape)?;
        Ok(*output.into_any().downcast::<O::Output>().expect("an operation answers with its own output"))
    }
}

/// What a data-plane handler works with. Owns its parts, since it outlives the call that made it.
pub struct Data {
    pub now: Timestamp,
    pub caller: Caller,
    pub platform: Platform,
}

impl Data {
    /// The last durable snapshot, as a reader sees it.
    pub fn snapshot(&self) -> Snapshot {
        self.platform.store().snapshot()
    }
}
