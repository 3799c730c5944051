//! Every service of the process, and the one way to run an operation.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base::clock::Clock;
use base::{Chance, Fault};
use link::Observed;
use store::{Kinds, Store, Transaction, WriteError};
use wire::{OperationDefinition, Parts, Protocol, Shape};

use crate::caller::Caller;
use crate::keys::{Identity, KeyError, Keys};
use crate::operation::{Answer, BoxShape, Operation, Run, Service};
use crate::tx::{Data, Tx, View};

/// Calls nest at most so deep: a service deployment that registers targets is two.
const MAX_DEPTH: u8 = 8;

/// Collects services before there is a store to run them on.
#[derive(Default)]
pub struct PlatformBuilder {
    services: Vec<Service>,
    keys: Option<Arc<dyn Keys>>,
}

impl PlatformBuilder {
    #[must_use]
    pub fn with(mut self, service: Service) -> Self {
        self.services.push(service);
        self
    }

    /// Names who keeps the keys that the platform issues. Without, it issues none.
    #[must_use]
    pub fn issuing(mut self, keys: Arc<dyn Keys>) -> Self {
        self.keys = Some(keys);
        self
    }

    /// What was collected.
    pub fn services(&self) -> &[Service] {
        &self.services
    }

    /// Every record kind of every service.
    pub fn kinds(&self) -> Kinds {
        self.services.iter().fold(Kinds::default(), |kinds, service| (service.kinds)(kinds))
    }

    pub fn build(self, store: Store, clock: Clock, seed: u64) -> Platform {
        let mut by_definition = HashMap::new();
        for (at, service) in self.services.iter().enumerate() {
            for (nth, operation) in service.operations.iter().enumerate() {
                by_definition.insert(address(operation.definition), (at, nth));
            }
        }
        Platform {
            inner: Arc::new(Inner {
                services: self.services,
                keys: self.keys,
                by_definition,
                store,
                clock,
                chance: Chance::new(seed),
                drawn: AtomicU64::new(0),
            }),
        }
    }
}

/// Definitions are statics: their address is their identity.
fn address(definition: &'static OperationDefinition) -> usize {
    std::ptr::from_ref(definition) as usize
}

struct Inner {
    services: Vec<Service>,
    keys: Option<Arc<dyn Keys>>,
    by_definition: HashMap<usize, (usize, usize)>,
    store: Store,
    clock: Clock,
    chance: Chance,
    drawn: AtomicU64,
}

/// Every service of the process. Cheap to clone.
#[derive(Clone)]
pub struct Platform {
    inner: Arc<Inner>,
}

impl Platform {
    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    pub fn clock(&self) -> &Clock {
        &self.inner.clock
    }

    pub fn services(&self) -> &[Service] {
        &self.inner.services
    }

    /// Whose an access key is; `None`: not issued here.
    ///
    /// # Errors
    /// It was issued here, and is good no more.
    pub fn identity(&self, access_key: &str, token: Option<&str>) -> Result<Option<Identity>, KeyError> {
        match &self.inner.keys {
            Some(keys) => keys.identity(&self.inner.store.snapshot(), access_key, token),
            None => Ok(None),
        }
    }

    /// A source of chance of its own, never handed out twice.
    pub fn chance(&self) -> Chance {
        let nth = self.inner.drawn.fetch_add(1, Ordering::Relaxed);
        let mut own = self.inner.chance.clone();
        Chance::new(own.next() ^ nth.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// Runs an operation of a generated API, under the same constraints as a request that came over
    /// the wire. Durable when it answers.
    pub async fn call<O: wire::Operation>(
        &self,
        caller: Caller,
        input: O::Input,
    ) -> Result<O::Output, Fault> {
        let Some((service, operation)) = self.find(O::DEFINITION) else {
            return Err(absent(O::DEFINITION.name));
        };
        check(service, operation, &input)?;
        let output = self.run(service, operation, caller, Box::new(input)).await?;
        Ok(*output.into_any().downcast::<O::Output>().expect("an operation answers with its own output"))
    }

    /// Runs `operation` of `service` with a decoded input: the gateway's way in.
    pub async fn run(
        &self,
        service: &Service,
        operation: &Operation,
        caller: Caller,
        input: BoxShape,
    ) -> Answer {
        refuse_unknown(service, operation, input.as_ref())?;
        let now = self.inner.clock.now();
        match &operation.run {
            Run::Read(handler) => {
                let records = self.inner.store.snapshot();
                handler(&View { now, caller: &caller, records: &records }, input)
            }
            Run::Write(_) => self.run_write(operation.definition, caller, input).await,
            Run::Data(handler) => handler(Data { now, caller, platform: self.clone() }, input).await,
        }
    }

    async fn run_write(
        &self,
        definition: &'static OperationDefinition,
        caller: Caller,
        input: BoxShape,
    ) -> Answer {
        self.write(definition.name, caller, move |tx| {
            let (_, operation) = tx.platform.find(definition).ok_or_else(|| absent(definition.name))?;
            let Run::Write(handler) = &operation.run else { return Err(absent(definition.name)) };
            handler(tx, input)
        })
        .await
    }

    /// Runs `work` alone on the writer's thread; durable when it answers. For data-plane handlers
    /// that also change records. `name` shows in traces.
    pub async fn write<T: Send + 'static>(
        &self,
        name: &'static str,
        caller: Caller,
        work: impl FnOnce(&mut Tx<'_>) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let platform = self.clone();
        let written =
            self.inner.store.write(name, move |records| platform.transact(records, &caller, work)).await;
        written.map_err(fault_of)
    }

    /// Runs `work` as a transaction's body. For controllers and for the platform's own writes.
    pub fn transact<T>(
        &self,
        records: &mut Transaction,
        caller: &Caller,
        work: impl FnOnce(&mut Tx<'_>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let now = self.inner.clock.now();
        work(&mut Tx { now, caller, chance: self.chance(), platform: self, records, depth: 0 })
    }

    /// Takes in what a host saw of a task. Durable when it answers.
    pub async fn observe(&self, caller: Caller, observed: Observed) -> Result<(), Fault> {
        self.write("Observe", caller, move |tx| {
            let observers: Vec<_> = tx.platform.services().iter().filter_map(|s| s.observe.clone()).collect();
            observers.iter().try_for_each(|observe| observe(tx, &observed))
        })
        .await
    }

    pub(crate) fn nested(
        &self,
        tx: &mut Tx<'_>,
        caller: &Caller,
        definition: &'static OperationDefinition,
        input: BoxShape,
    ) -> Answer {
        let (service, operation) = self.find(definition).ok_or_else(|| absent(definition.name))?;
        refuse_unknown(service, operation, input.as_ref())?;
        if tx.depth >= MAX_DEPTH {
            return Err(Fault::server("InternalFailure", "Calls are nested too deep."));
        }
        match &operation.run {
            Run::Read(handler) => handler(&View { now: tx.now, caller, records: tx.records }, input),
            Run::Data(_) => {
                Err(Fault::server("InternalFailure", "A data operation cannot run in a transaction."))
            }
            Run::Write(handler) => {
                let (now, depth) = (tx.now, tx.depth + 1);
                let chance = Chance::new(tx.chance.next());
                let savepoint = tx.records.savepoint();
                let mut inner = Tx { now, caller, chance, platform: self, records: tx.records, depth };
                let answer = handler(&mut inner, input);
                if answer.is_err() {
                    tx.records.rollback(savepoint);
                }
                answer
            }
        }
    }

    fn find(&self, definition: &'static OperationDefinition) -> Option<(&Service, &Operation)> {
        let (at, nth) = *self.inner.by_definition.get(&address(definition))?;
        let service = self.inner.services.get(at)?;
        Some((service, service.operations.get(nth)?))
    }
}

fn refuse_unknown(service: &Service, operation: &Operation, input: &dyn Shape) -> Result<(), Fault> {
    match wire::present::outside(input, &operation.acts) {
        Some(path) => Err((service.refuse)(&path)),
        None => Ok(()),
    }
}

/// The model's constraints, which readers of requests check on their way: what is made in this
/// process takes that way, too, so that nothing is stored that no request could name again.
fn check(service: &Service, operation: &Operation, input: &dyn Shape) -> Result<(), Fault> {
    let unreadable = |error: wire::ResponseError| Fault::server("InternalFailure", error);
    let request = wire::encode_request(Protocol::AwsJson11, service.api, operation.definition, input);
    let body = request.map_err(unreadable)?.body;
    let headers = http::HeaderMap::new();
    let parts = Parts { path: "/", query: "", headers: &headers };
    let read =
        wire::decode(Protocol::AwsJson11, operation.definition, &parts, &body, (operation.input)().as_mut());
    read.map_err(|fault| fault.fault(service.api))
}

fn absent(name: &str) -> Fault {
    Fault::server("InternalFailure", format_args!("The operation {name} is not part of this process."))
}

fn fault_of(error: WriteError<Fault>) -> Fault {
    match error {
        WriteError::Rejected(fault) => fault,
        other => {
            tracing::error!(error = %other, "write failed");
            Fault::server("ServiceUnavailable", "The store does not take writes.").with_status(503)
        }
    }
}
