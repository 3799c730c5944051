//! The thread that owns the network.

use std::thread::{self, JoinHandle};

use tokio::sync::{mpsc, oneshot};

use crate::VpcError;
use crate::error::Doing;
use crate::world::World;

/// More callers than this wait for their turn outside the queue.
const QUEUE: usize = 64;

type Job = Box<dyn FnOnce(&mut World) + Send>;

/// Runs jobs in turn, until it is dropped.
pub struct Worker {
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Starts the thread, in the caller's namespaces, and waits until `open` has run on it.
    pub fn start(open: impl FnOnce() -> Result<World, VpcError> + Send + 'static) -> Result<Self, VpcError> {
        let (jobs, mut queue) = mpsc::channel::<Job>(QUEUE);
        // Not tokio's channel: its blocking wait refuses to be called from async code.
        let (opened, outcome) = std::sync::mpsc::sync_channel(1);
        let body = move || {
            let mut world = match open() {
                Ok(world) => world,
                Err(error) => return drop(opened.send(Err(error))),
            };
            if opened.send(Ok(())).is_ok() {
                while let Some(job) = queue.blocking_recv() {
                    job(&mut world);
                }
            }
        };
        let thread = thread::Builder::new().name("vpc".into()).spawn(body).doing("starting a thread")?;
        let worker = Worker { jobs: Some(jobs), thread: Some(thread) };
        outcome.recv().map_err(|_| VpcError::Closed)??;
        Ok(worker)
    }

    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut World) -> Result<T, VpcError> + Send + 'static,
    ) -> Result<T, VpcError> {
        let (answer, outcome) = oneshot::channel();
        let job: Job = Box::new(move |world| {
            // Whoever asked may have gone; the work is done all the same.
            let _ = answer.send(if world.is_down() { Err(VpcError::Closed) } else { work(world) });
        });
        let jobs = self.jobs.as_ref().ok_or(VpcError::Closed)?;
        jobs.send(job).await.map_err(|_| VpcError::Closed)?;
        outcome.await.map_err(|_| VpcError::Closed)?
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
