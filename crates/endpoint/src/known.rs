//! The tasks of this host, by the ids that their containers know.

use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use agent::Attached;
use base::Timestamp;
use core_lifecycle::{Assignment, ContainerObservation, ContainerSpec, Observation};

use tokio::sync::watch;

use crate::credentials::Held;
use crate::id::Ids;
use crate::stats::Samples;

/// How long a question waits for the news that its asker has started.
const START_IS_TOLD: Duration = Duration::from_secs(2);

#[derive(Default)]
pub(crate) struct Known {
    tables: Mutex<Tables>,
}

#[derive(Default)]
struct Tables {
    by_task: HashMap<String, Arc<Subject>>,
    /// Task and name of each container, by its id.
    containers: HashMap<String, (String, String)>,
    /// Task ids, by the id of their role's credentials.
    credentials: HashMap<String, String>,
}

/// A task that may ask.
pub(crate) struct Subject {
    pub task: Assignment,
    /// Of containers with a network of their own.
    pub addresses: BTreeMap<String, Ipv4Addr>,
    /// Under which it is known.
    ids: Vec<String>,
    observation: watch::Sender<Arc<Observation>>,
    pub samples: Mutex<Samples>,
    /// Of its role, the last. Locked while new ones are made.
    pub credentials: tokio::sync::Mutex<Option<Held>>,
    /// When a fault was last asked for, by container and path.
    pub asked: Mutex<HashMap<String, Timestamp>>,
    /// Faults are started and stopped one after another.
    pub faults: tokio::sync::Mutex<()>,
}

/// A container that asks, with its task.
pub(crate) struct Asker {
    pub subject: Arc<Subject>,
    pub container: String,
}

impl Known {
    /// Makes a task known. Repeated, it keeps what was learned about the task.
    pub fn open(&self, ids: &Ids, task: &Assignment, attached: &Attached) {
        let addresses: BTreeMap<String, Ipv4Addr> =
            attached.own.iter().filter_map(|(name, own)| Some((name.clone(), own.address?))).collect();
        let mut tables = lock(&self.tables);
        let before = tables.by_task.get(&task.task_id);
        if before.is_some_and(|before| before.task == *task && before.addresses == addresses) {
            return;
        }
        let observation = before.map(|before| before.observation()).unwrap_or_default();
        let mut own = Vec::with_capacity(task.containers.len() + 1);
        for spec in &task.containers {
            let id = ids.container(&task.task_arn, &spec.name);
            tables.containers.insert(id.clone(), (task.task_id.clone(), spec.name.clone()));
            own.push(id);
        }
        if task.task_role.is_some() {
            let id = ids.credentials(&task.task_arn);
            tables.credentials.insert(id.clone(), task.task_id.clone());
            own.push(id);
        }
        let subject = Subject {
            task: task.clone(),
            addresses,
            ids: own,
            observation: watch::Sender::new(observation),
            samples: Mutex::default(),
            credentials: tokio::sync::Mutex::default(),
            asked: Mutex::default(),
            faults: tokio::sync::Mutex::default(),
        };
        tables.by_task.insert(task.task_id.clone(), Arc::new(subject));
    }

    /// Of a task that is not known nothing is kept.
    pub fn observe(&self, task_id: &str, observation: &Observation) {
        let subject = lock(&self.tables).by_task.get(task_id).cloned();
        if let Some(subject) = subject {
            subject.observation.send_replace(Arc::new(observation.clone()));
        }
    }

    pub fn close(&self, task_id: &str) {
        let mut tables = lock(&self.tables);
        let Some(subject) = tables.by_task.remove(task_id) else { return };
        for id in &subject.ids {
            tables.containers.remove(id);
            tables.credentials.remove(id);
        }
    }

    pub fn container(&self, id: &str) -> Option<Asker> {
        let tables = lock(&self.tables);
        let (task, container) = tables.containers.get(id)?;
        Some(Asker { subject: tables.by_task.get(task)?.clone(), container: container.clone() })
    }

    pub fn credentials(&self, id: &str) -> Option<Arc<Subject>> {
        let tables = lock(&self.tables);
        tables.by_task.get(tables.credentials.get(id)?).cloned()
    }
}

impl Subject {
    pub fn observation(&self) -> Arc<Observation> {
        self.observation.borrow().clone()
    }

    /// A container that asks runs, but its first instructions may ask before its host has told of
    /// the start: waits for that, for a moment.
    pub async fn until_started(&self, container: &str) {
        let mut told = self.observation.subscribe();
        let is_started = |seen: &Arc<Observation>| {
            seen.containers.iter().any(|seen| seen.name == container && seen.started_at.is_some())
        };
        // In vain only where the host is in trouble; then what is known is answered.
        let _ = tokio::time::timeout(START_IS_TOLD, told.wait_for(is_started)).await;
    }

    pub fn spec(&self, container: &str) -> Option<&ContainerSpec> {
        self.task.containers.iter().find(|spec| spec.name == container)
    }

    /// The runtime's ids of the containers that have one, by name.
    pub fn runtime_ids(&self) -> BTreeMap<String, String> {
        let seen = self.observation();
        let id = |seen: &ContainerObservation| Some((seen.name.clone(), seen.runtime_id.clone()?));
        seen.containers.iter().filter_map(id).collect()
    }
}

/// No holder of these locks panics half-way through a change.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
