//! A service's operations, their handlers, and the members that they act on.

use std::any::Any;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use base::Fault;
use link::Observed;
use store::Kinds;
use wire::present::Paths;
use wire::{Api, OperationDefinition, Shape};

use crate::tx::{Data, Tx, View};

pub(crate) type BoxShape = Box<dyn Shape>;
pub(crate) type Answer = Result<BoxShape, Fault>;
type ReadFn = Box<dyn Fn(&View<'_>, BoxShape) -> Answer + Send + Sync>;
type WriteFn = Box<dyn Fn(&mut Tx<'_>, BoxShape) -> Answer + Send + Sync>;
type DataFn = Box<dyn Fn(Data, BoxShape) -> Pin<Box<dyn Future<Output = Answer> + Send>> + Send + Sync>;

/// The members of an input that an operation acts on, as dotted paths with list and map positions
/// left out (`overrides.containerOverrides.command`). A path covers all below it.
#[derive(Debug, Clone, Copy)]
pub enum Acts {
    /// On every member, or the handler refuses it by itself.
    All,
    On(&'static [&'static str]),
}

pub(crate) enum Run {
    Read(ReadFn),
    Write(WriteFn),
    Data(DataFn),
}

/// One operation of an API with its handler.
pub struct Operation {
    pub definition: &'static OperationDefinition,
    /// The members that it acts on; any other is refused by name.
    pub(crate) acts: Paths,
    pub(crate) run: Run,
    /// A fresh input to decode into.
    pub input: fn() -> BoxShape,
}

fn input_of<O: wire::Operation>(shape: BoxShape) -> O::Input {
    let any: Box<dyn Any> = shape.into_any();
    *any.downcast::<O::Input>().expect("an operation is run with the input that it made or was called with")
}

impl Operation {
    pub fn read<O: wire::Operation>(
        acts: Acts,
        handler: impl Fn(&View<'_>, O::Input) -> Result<O::Output, Fault> + Send + Sync + 'static,
    ) -> Self {
        Operation::new::<O>(
            acts,
            Run::Read(Box::new(move |view, shape| {
                handler(view, input_of::<O>(shape)).map(|output| Box::new(output) as BoxShape)
            })),
        )
    }

    pub fn write<O: wire::Operation>(
        acts: Acts,
        handler: impl Fn(&mut Tx<'_>, O::Input) -> Result<O::Output, Fault> + Send + Sync + 'static,
    ) -> Self {
        Operation::new::<O>(
            acts,
            Run::Write(Box::new(move |tx, shape| {
                handler(tx, input_of::<O>(shape)).map(|output| Box::new(output) as BoxShape)
            })),
        )
    }

    pub fn data<O, F, H>(acts: Acts, handler: H) -> Self
    where
        O: wire::Operation,
        H: Fn(Data, O::Input) -> F + Send + Sync + 'static,
        F: Future<Output = Result<O::Output, Fault>> + Send + 'static,
    {
        Operation::new::<O>(
            acts,
            Run::Data(Box::new(move |data, shape| {
                let answer = handler(data, input_of::<O>(shape));
                Box::pin(async move { answer.await.map(|output| Box::new(output) as BoxShape) })
            })),
        )
    }

    fn new<O: wire::Operation>(acts: Acts, run: Run) -> Self {
        let acts = match acts {
            Acts::All => Paths::all(),
            // A slip of the pen would refuse what is built: it must not start.
            Acts::On(paths) => {
                Paths::new(O::DEFINITION.input, paths).expect("operations name members of the model")
            }
        };
        Operation { definition: O::DEFINITION, acts, run, input: || Box::new(O::Input::default()) }
    }
}

type ObserveFn = dyn Fn(&mut Tx<'_>, &Observed) -> Result<(), Fault> + Send + Sync;

/// One AWS API with everything behind it.
pub struct Service {
    pub api: &'static Api,
    pub operations: Vec<Operation>,
    /// Adds the service's record kinds to those that the database may hold.
    pub kinds: fn(Kinds) -> Kinds,
    /// The code and text with which this API refuses what Boxship does not act on. `what` is a
    /// member's path or an operation's name.
    pub refuse: fn(what: &str) -> Fault,
    /// Takes in what a host saw of a task, for the service that owns tasks.
    pub observe: Option<Arc<ObserveFn>>,
}

impl Service {
    /// The operation by its name in the model.
    pub fn operation(&self, name: &str) -> Option<&Operation> {
        self.operations.iter().find(|operation| operation.definition.name == name)
    }
}
