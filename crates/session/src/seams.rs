//! What a session needs of the rest of the platform.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use base::Secret;
use runtime::{Exec, ExecPlan, Runtime};

/// A boxed future, so that the traits stay object safe.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What a session is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The task's id, and its container's name.
    pub task: String,
    pub container: String,
    /// One line, to be split into words.
    pub command: String,
}

/// The sessions that ExecuteCommand has made.
pub trait Sessions: Send + Sync {
    /// Takes up a session whose token this is. A token opens once.
    ///
    /// # Errors
    /// Why not, for the user.
    fn open<'a>(&'a self, session: &'a str, token: &'a Secret) -> Pending<'a, Result<Target, String>>;
}

/// Where programs run.
pub trait Programs: Send + Sync {
    /// Starts a program in a running container.
    ///
    /// # Errors
    /// Why not, for the user.
    fn start<'a>(&'a self, target: &'a Target, plan: ExecPlan) -> Pending<'a, Result<Exec, String>>;

    /// Why the container has ended; `None` while it runs.
    fn ended<'a>(&'a self, target: &'a Target) -> Pending<'a, Option<String>>;
}

/// Programs in the containers of this host.
pub struct OnHost(pub Arc<dyn Runtime>);

impl Programs for OnHost {
    fn start<'a>(&'a self, target: &'a Target, plan: ExecPlan) -> Pending<'a, Result<Exec, String>> {
        Box::pin(async move {
            self.0.exec(&target.task, &target.container, plan).await.map_err(|error| error.to_string())
        })
    }

    fn ended<'a>(&'a self, target: &'a Target) -> Pending<'a, Option<String>> {
        Box::pin(async move {
            let name = &target.container;
            let ended = format!("The container {name} has stopped.");
            match self.0.state(&target.task).await {
                Ok(Some(record)) => {
                    let is_live = record.container(name).is_some_and(|container| container.exit.is_none());
                    (!is_live).then_some(ended)
                }
                Ok(None) => Some(ended),
                // Nobody knows: then it is not said.
                Err(_) => None,
            }
        })
    }
}
