//! What a task finds at 169.254.170.2: metadata, statistics, the credentials of its role,
//! its protection, and faults that it asks for.
//!
//! Owns what tasks may know of themselves and the words in which they are told; whoever owns the
//! networks hands in listeners, each with the [`Door`] that it is.
//!
//! ```text
//! /v3/<id>  /v4/<id>                        a container; its /stats, /task, /task/stats, /taskWithTags
//! /v2/credentials/<id>                      of the task's role
//! /api/<id>/task-protection/v1/state        protection from scale-in
//! /api/<id>/fault/v1/<kind>/<start|stop|status>
//! ```
//!
//! Invariants:
//! - An id is a secret of 128 bits, derived from the data directory's own and the task: the same
//!   after a restart, because containers keep their environment.
//! - In `awsvpc` a request must also come from the task's own address in its own VPC, on the bridge
//!   from one of its containers' addresses. A request from elsewhere is answered as an unknown id is.
//! - Nothing here runs while nobody asks: samples are taken and credentials renewed on request.
//!
//! Ignores how faults are made ([`Faults`]), what a role may do, and the registry and the APIs at
//! port 4566 of the same address (`gateway`).

mod answer;
mod credentials;
mod door;
mod environment;
mod fault;
mod id;
mod injection;
mod known;
mod metadata;
mod protection;
mod route;
mod serve;
mod stats;

use std::collections::BTreeMap;
use std::sync::Arc;

use agent::Attached;
use base::{Secret, Timestamp};
use core_lifecycle::{Assignment, Observation};
use runtime::Runtime;
use service::Platform;

pub use door::Door;
pub use environment::ADDRESS;
pub use fault::{FaultError, FaultKind, Faults, NetworkFault, NoFaults, Traffic};

use id::Ids;
use known::Known;

/// What the endpoint is made of.
pub struct Parts {
    pub platform: Platform,
    pub runtime: Arc<dyn Runtime>,
    pub faults: Arc<dyn Faults>,
    /// Seals ids. The same for as long as containers live.
    pub secret: Secret,
    /// `AWS_ENDPOINT_URL` of every container; `None` leaves it out.
    pub api_url: Option<String>,
    /// Wall time, by which credentials expire.
    pub wall: fn() -> Timestamp,
}

/// Answers tasks. Cheap to clone.
#[derive(Clone)]
pub struct TaskEndpoint {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    parts: Parts,
    ids: Ids,
    known: Known,
}

impl TaskEndpoint {
    pub fn new(parts: Parts) -> Self {
        let ids = Ids::new(parts.secret.clone());
        TaskEndpoint { inner: Arc::new(Inner { parts, ids, known: Known::default() }) }
    }
}

impl agent::Endpoint for TaskEndpoint {
    fn open(&self, task: &Assignment, attached: &Attached) -> BTreeMap<String, BTreeMap<String, String>> {
        let inner = &self.inner;
        inner.known.open(&inner.ids, task, attached);
        let api_url = inner.parts.api_url.as_deref();
        let environment = |name: &String| environment::of(&inner.ids, task, name, api_url);
        task.containers.iter().map(|spec| (spec.name.clone(), environment(&spec.name))).collect()
    }

    fn observe(&self, task: &Assignment, observation: &Observation) {
        self.inner.known.observe(&task.task_id, observation);
    }

    fn close(&self, task_id: &str) {
        self.inner.known.close(task_id);
    }
}
