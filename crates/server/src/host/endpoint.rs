//! What tasks find at 169.254.170.2:80, wired to this host's runtime and networks.

use std::sync::Arc;

use anyhow::Result;
use base::clock;
use endpoint::{Door, Faults, Parts, TaskEndpoint};
use runtime::Runtime;
use tokio::sync::watch;

use super::Up;
use super::network::{Doorway, ServeTasks};
use crate::secret;

pub fn open(up: &Up<'_>, runtime: Arc<dyn Runtime>, faults: Arc<dyn Faults>) -> Result<TaskEndpoint> {
    Ok(TaskEndpoint::new(Parts {
        platform: up.platform.clone(),
        runtime,
        faults,
        secret: secret::open(&up.options.data_dir)?,
        api_url: up.options.task_endpoint_url.clone(),
        wall: clock::wall,
    }))
}

/// Serves every listener that the network opens for tasks.
pub fn serving(endpoint: TaskEndpoint, stop: watch::Receiver<bool>) -> ServeTasks {
    Arc::new(move |listener, doorway| {
        let door = match doorway {
            Doorway::Vpc(key) => Door::Vpc(key.to_string()),
            Doorway::Bridge => Door::Bridge,
            Doorway::Host => Door::Host,
        };
        let (endpoint, stop) = (endpoint.clone(), stop.clone());
        Box::pin(async move { endpoint.serve(listener, door, stop).await })
    })
}
