//! What a service is, and how its operations run.
//!
//! A service is an API's generated model plus handlers over records. The [`Platform`] holds every
//! service of the process and is the one way to run an operation: the gateway, the registry, the
//! agent and the controllers all come through it, so that nothing goes behind the API's back.
//!
//! Three kinds of handler:
//! - *read*: `fn(&View, Input) -> Result<Output, Fault>` over the last durable snapshot;
//! - *write*: `fn(&mut Tx, Input) -> Result<Output, Fault>`, alone on the writer's thread; it must
//!   be quick and cannot wait. Its answer leaves after its commit is durable;
//! - *data*: `async fn(Data, Input) -> Result<Output, Fault>`, for what goes to the journal or the
//!   blobs.
//!
//! Invariant: a member of a request that the operation does not act on is refused by name before
//! the handler runs. Invariant: a nested call that fails leaves nothing of itself behind, whatever
//! its caller does with the fault.
//!
//! Deliberately ignores bytes on the wire (`wire`), sockets and signatures (`gateway`), and what
//! any operation means.

mod caller;
mod keys;
mod operation;
mod platform;
mod tx;

pub use caller::{Caller, Origin, Principal};
pub use keys::{Identity, KeyError, Keys};
pub use operation::{Acts, Operation, Service};
pub use platform::{Platform, PlatformBuilder};
pub use tx::{Data, Tx, View};
