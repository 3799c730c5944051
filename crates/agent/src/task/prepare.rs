//! From an order to running containers: network, images and log streams at the same time, then
//! the sandbox, then the containers in their order.

use std::collections::BTreeMap;
use std::sync::Arc;

use base::Timestamp;
use core_lifecycle::{Assignment, ContainerSpec, Failure, LogDriver};
use runtime::{ContainerPlan, Output, TaskSandbox};
use tokio::sync::Mutex;

use super::life::{Life, runtime_id};
use crate::failure;
use crate::seams::{Attached, Pulled, Wanted};
use crate::ship;

/// Output of a blocking container that may wait unread before it is held up.
const SPOOL_BYTES: u64 = 64 * 1024 * 1024;

/// A failure, and the container that it is about.
type Failed = (Option<String>, Failure);

/// What a task needs before its containers can start.
pub(super) struct Gathered {
    assignment: Arc<Assignment>,
    attached: Attached,
    images: BTreeMap<String, Pulled>,
}

impl Life {
    /// Network, images and log streams of what does not run yet. May be dropped at any moment:
    /// what is half-done is taken away by the task's end.
    pub async fn gather(&mut self) -> Result<Gathered, Failure> {
        let Some(assignment) = self.assignment() else {
            return Err(failure::lost("the task's assignment is unknown"));
        };
        self.shared.parts.runtime.expect();
        let missing = self.missing(&assignment);
        let now = self.shared.parts.clock.now();
        self.note.observation.pull_started_at.get_or_insert(now);
        self.save();
        self.report();
        let made = {
            let life = &*self;
            let network = async {
                let attached = life.shared.parts.network.attach(&assignment).await;
                tracing::debug!(task = life.id, "the network is attached");
                attached.map_err(|e| (e.container().map(str::to_owned), failure::network(&e)))
            };
            let pulls = life.pull_all(&assignment, &missing);
            let streams = life.open_streams(&assignment, &missing);
            tokio::try_join!(network, pulls, streams)
        };
        tracing::debug!(task = self.id, "what the task needs is gathered");
        let (attached, (images, pulled_at), ()) = made.map_err(|failed| self.blame(failed))?;
        self.note.observation.pull_stopped_at.get_or_insert(pulled_at);
        for (name, image) in &images {
            self.note.stop_signals.insert(name.clone(), image.config.stop_signal().0);
            if let Some(seen) = self.note.observation.containers.iter_mut().find(|c| c.name == *name) {
                seen.image_digest = Some(image.digest.clone());
            }
        }
        // A restart from here on must know the stop signals.
        self.save();
        Ok(Gathered { assignment, attached, images })
    }

    /// Makes the sandbox and starts its containers in their order, as long as `is_wanted`. Not to
    /// be dropped half-way while this process goes on: a container would run unseen.
    pub async fn launch(&mut self, gathered: Gathered, is_wanted: impl Fn() -> bool) -> Result<(), Failure> {
        let Gathered { assignment, attached, images } = gathered;
        let shared = self.shared.clone();
        let Ok(_permit) = shared.starts.acquire().await else { return Ok(()) };
        let made = shared.parts.runtime.create_sandbox(sandbox(&assignment, attached)).await;
        made.map_err(|e| failure::sandbox(&e))?;
        tracing::debug!(task = self.id, "the sandbox is made");
        for spec in self.missing(&assignment) {
            if !is_wanted() {
                break;
            }
            let image = images.get(&spec.name).ok_or_else(|| failure::lost("an image was not pulled"))?;
            self.start(&assignment, spec, image).await?;
        }
        Ok(())
    }

    /// Containers that have not been started.
    fn missing<'a>(&self, assignment: &'a Assignment) -> Vec<&'a ContainerSpec> {
        let is_missing =
            |spec: &&ContainerSpec| self.seen(&spec.name).is_none_or(|seen| seen.started_at.is_none());
        assignment.containers.iter().filter(is_missing).collect()
    }

    async fn start(
        &mut self,
        assignment: &Assignment,
        spec: &ContainerSpec,
        image: &Pulled,
    ) -> Result<(), Failure> {
        let plan = plan(assignment, spec, image);
        match self.shared.parts.runtime.start_container(&self.id, plan).await {
            Ok(record) => {
                tracing::debug!(task = self.id, container = spec.name, "a container is started");
                self.take_in(&record);
                Ok(())
            }
            Err(error) => {
                let failure = failure::start(&error);
                let blamed = self.blame((Some(spec.name.clone()), failure));
                if spec.essential { Err(blamed) } else { Ok(()) }
            }
        }
    }

    /// Puts a failure to the container that it is about; returns it for the task.
    fn blame(&mut self, (container, failure): Failed) -> Failure {
        let seen = self.note.observation.containers.iter_mut();
        if let Some(seen) = seen.into_iter().find(|seen| Some(&seen.name) == container.as_ref()) {
            seen.failure = Some(failure.clone());
        }
        failure
    }

    /// Pulls at the same time; the first failure ends the others.
    async fn pull_all(
        &self,
        assignment: &Assignment,
        missing: &[&ContainerSpec],
    ) -> Result<(BTreeMap<String, Pulled>, Timestamp), Failed> {
        let images = Mutex::new(BTreeMap::new());
        let pulls = missing.iter().map(|spec| {
            let images = &images;
            Box::pin(async move {
                let wanted = Wanted {
                    image: &spec.image,
                    pull_as: &spec.pull_as,
                    architecture: &assignment.architecture,
                    task: &self.id,
                    execution_role: assignment.execution_role.as_deref(),
                };
                let pulled = self.shared.parts.images.pull(wanted).await;
                let pulled = pulled.map_err(|e| (Some(spec.name.clone()), failure::pull(&e)))?;
                images.lock().await.insert(spec.name.clone(), pulled);
                Ok(())
            }) as runtime::Pending<'_, Result<(), Failed>>
        });
        try_all(pulls.collect()).await?;
        Ok((images.into_inner(), self.shared.parts.clock.now()))
    }

    async fn open_streams(&self, assignment: &Assignment, missing: &[&ContainerSpec]) -> Result<(), Failed> {
        let opens = missing.iter().filter(|spec| ship::is_kept(&spec.logging)).map(|spec| {
            let driving = self.driving(assignment, spec, &runtime_id(&self.id, &spec.name), None);
            Box::pin(async move { ship::probe(&driving).await.map_err(|failure| (None, failure)) })
                as runtime::Pending<'_, Result<(), Failed>>
        });
        try_all(opens.collect()).await
    }
}

/// Drives all at the same time; the first error drops the others.
async fn try_all(mut work: Vec<runtime::Pending<'_, Result<(), Failed>>>) -> Result<(), Failed> {
    std::future::poll_fn(move |cx| {
        let mut index = 0;
        while index < work.len() {
            match work[index].as_mut().poll(cx) {
                std::task::Poll::Pending => index += 1,
                std::task::Poll::Ready(Ok(())) => drop(work.swap_remove(index)),
                std::task::Poll::Ready(Err(failed)) => return std::task::Poll::Ready(Err(failed)),
            }
        }
        if work.is_empty() { std::task::Poll::Ready(Ok(())) } else { std::task::Poll::Pending }
    })
    .await
}

fn sandbox(assignment: &Assignment, attached: Attached) -> TaskSandbox {
    TaskSandbox {
        task: assignment.task_id.clone(),
        place: attached.shared,
        pid_mode: assignment.pid_mode,
        ipc_mode: assignment.ipc_mode,
        storage_gib: assignment.ephemeral_storage_gib,
        cpu_units: assignment.cpu_units,
        memory_mib: assignment.memory_mib,
    }
}

fn plan(assignment: &Assignment, spec: &ContainerSpec, image: &Pulled) -> ContainerPlan {
    let output = match (&spec.logging.driver, spec.logging.buffer_bytes) {
        (LogDriver::None, _) => Output::Discard,
        (_, None) => Output::Blocking { limit_bytes: SPOOL_BYTES },
        (_, Some(limit_bytes)) => Output::Dropping { limit_bytes },
    };
    ContainerPlan {
        name: spec.name.clone(),
        runtime_id: runtime_id(&assignment.task_id, &spec.name),
        layers: image.layers.clone(),
        image: image.config.clone(),
        entry_point: spec.entry_point.clone(),
        command: spec.command.clone(),
        environment: spec.environment.clone(),
        working_directory: spec.working_directory.clone(),
        user: spec.user.clone(),
        cpu_units: spec.cpu_units,
        memory_mib: spec.memory_mib,
        memory_reservation_mib: spec.memory_reservation_mib,
        readonly_root: spec.readonly_root,
        ulimits: spec.ulimits.clone(),
        output,
        place: None,
        mounts: Vec::new(),
        linux: spec.linux.clone(),
        labels: spec.labels.clone(),
    }
}
