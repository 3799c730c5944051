//! From an order to a sandbox in which containers can start: network, images, values and log
//! streams at the same time, then the sandbox.

use std::collections::BTreeMap;
use std::sync::Arc;

use base::Timestamp;
use core_lifecycle::{Assignment, ContainerSpec, Failure};
use runtime::Signal;
use tokio::sync::Mutex;

use super::life::{Life, runtime_id};
use super::{plan, values};
use crate::failure;
use crate::seams::{Attached, Pulled, Wanted};
use crate::ship;

/// A failure, and the container that it is about.
type Failed = (Option<String>, Failure);

/// What containers start with.
pub(super) struct Ready {
    pub attached: Attached,
    /// Of the containers that had not been started, by name; so is their environment.
    pub images: BTreeMap<String, Pulled>,
    pub environment: BTreeMap<String, BTreeMap<String, String>>,
}

/// Images, by container, and why there are none.
#[derive(Default)]
struct Gathered {
    pulled: BTreeMap<String, Pulled>,
    failures: BTreeMap<String, Failure>,
    /// When the last was there.
    at: Timestamp,
}

impl Life {
    /// Network, images and log streams of what does not run yet. May be dropped at any moment:
    /// what is half-done is taken away by the task's end.
    pub async fn gather(&mut self) -> Result<Ready, Failure> {
        self.resolve_logging().await?;
        let Some(assignment) = self.assignment.clone() else {
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
            let values =
                async { life.fetch_values(&assignment, &missing).await.map_err(|failure| (None, failure)) };
            tokio::try_join!(network, pulls, streams, values)
        };
        tracing::debug!(task = self.id, "what the task needs is gathered");
        let (attached, images, (), values) = made.map_err(|(container, failure)| {
            if let Some(container) = container {
                self.blame(&container, failure.clone());
            }
            failure
        })?;
        let told = self.shared.parts.endpoint.open(&assignment, &attached);
        let environment = |spec: &&ContainerSpec| {
            let all = values::environment(spec, told.get(&spec.name), values.get(&spec.name));
            (spec.name.clone(), all)
        };
        let environment = missing.iter().map(environment).collect();
        self.note.observation.pull_stopped_at.get_or_insert(images.at);
        for (name, failure) in images.failures {
            self.blame(&name, failure);
        }
        let images = images.pulled;
        for (name, image) in &images {
            let signal = image.config.stop_signal();
            if signal != Signal::TERM {
                self.note.stop_signals.insert(name.clone(), signal.0);
            }
            if let Some(seen) = self.note.observation.containers.iter_mut().find(|c| c.name == *name) {
                seen.image_digest = Some(image.digest.clone());
            }
        }
        self.bind(&attached);
        // A restart from here on must know the stop signals.
        self.save();
        Ok(Ready { attached, images, environment })
    }

    /// Makes the sandbox. Not to be dropped half-way while this process goes on. The task's first
    /// containers start in the turn that it waits for.
    pub async fn make_sandbox(&mut self, ready: Ready) -> Result<(), Failure> {
        let Some(assignment) = self.assignment.clone() else { return Ok(()) };
        self.turn = self.shared.starts.clone().acquire_owned().await.ok().map(Arc::new);
        let sandbox = plan::sandbox(&assignment, ready.attached.shared.clone());
        let made = self.shared.parts.runtime.create_sandbox(sandbox).await;
        made.map_err(|e| failure::sandbox(&e))?;
        tracing::debug!(task = self.id, "the sandbox is made");
        self.ready = Some(Arc::new(ready));
        Ok(())
    }

    /// Tells which ports of the host lead to its containers.
    pub fn bind(&mut self, attached: &Attached) {
        for seen in &mut self.note.observation.containers {
            let bindings = attached.bindings.get(&seen.name).cloned().unwrap_or_default();
            self.has_news |= seen.bindings != bindings;
            seen.bindings = bindings;
        }
    }

    /// Containers that have not been started, and may be.
    fn missing<'a>(&self, assignment: &'a Assignment) -> Vec<&'a ContainerSpec> {
        let is_missing = |spec: &&ContainerSpec| {
            let seen = self.seen(&spec.name);
            seen.is_none_or(|seen| seen.started_at.is_none() && seen.failure.is_none())
        };
        assignment.containers.iter().filter(is_missing).collect()
    }

    /// Pulls at the same time; the first failure of an essential container's ends the others.
    async fn pull_all(
        &self,
        assignment: &Assignment,
        missing: &[&ContainerSpec],
    ) -> Result<Gathered, Failed> {
        let images = Mutex::new(Gathered::default());
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
                let (name, pulled) = (spec.name.clone(), self.shared.parts.images.pull(wanted).await);
                match pulled.map_err(|error| failure::pull(&error)) {
                    Ok(pulled) => drop(images.lock().await.pulled.insert(name, pulled)),
                    // AWS: what happens to a container that is not essential affects no other.
                    Err(failure) if !spec.essential => {
                        images.lock().await.failures.insert(name, failure);
                    }
                    Err(failure) => return Err((Some(name), failure)),
                }
                Ok(())
            }) as runtime::Pending<'_, Result<(), Failed>>
        });
        try_all(pulls.collect()).await?;
        Ok(Gathered { at: self.shared.parts.clock.now(), ..images.into_inner() })
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
