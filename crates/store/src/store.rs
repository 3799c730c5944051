//! The store: open, read, write, watch.

use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock};

use tokio::sync::{broadcast, mpsc, oneshot, watch};

use crate::backend::{Backend, BackendError};
use crate::load::{OpenError, load};
use crate::record::Kinds;
use crate::writer::{self, Job, Outcome, Verdict};
use crate::{Snapshot, Transaction, Watch};

/// Writes that may wait for their turn before `write` itself waits.
const QUEUE: usize = 256;
/// Commits that a watcher may fall behind before it is told that it lags.
const BACKLOG: usize = 1024;

/// Records in memory over a backend. Cheap to clone; the last clone's drop ends its threads.
#[derive(Debug, Clone)]
pub struct Store {
    jobs: mpsc::Sender<Job>,
    shared: Arc<Shared>,
}

/// What the store's threads share with its users.
#[derive(Debug)]
pub(crate) struct Shared {
    pub durable: RwLock<Snapshot>,
    pub commits: RwLock<Option<broadcast::Sender<Arc<crate::Commit>>>>,
    closed: watch::Sender<Option<Arc<BackendError>>>,
    /// The same for threads that may block.
    ended: Mutex<bool>,
    end: Condvar,
}

/// Why a write has not happened.
#[derive(Debug, thiserror::Error)]
pub enum WriteError<E> {
    /// The transaction itself refused.
    #[error("{0}")]
    Rejected(E),
    /// The backend has refused a commit, now or earlier, or the store was shut down. Whether this
    /// very write is on disk is not known.
    #[error("the store is closed")]
    Closed(#[source] Arc<BackendError>),
    /// The transaction's code is broken; it has left no trace.
    #[error("the transaction {name} panicked: {message}")]
    Panicked { name: &'static str, message: String },
    /// A record that it wrote has no JSON form; it has left no trace.
    #[error("the transaction {name} wrote a record that cannot be encoded: {message}")]
    Unwritable { name: &'static str, message: String },
}

impl Store {
    /// Takes the lease, loads and migrates everything, and starts the store's two threads.
    pub fn open(mut backend: Box<dyn Backend>, kinds: Kinds) -> Result<Store, OpenError> {
        let fence = backend.hold_lease()?;
        let snapshot = load(&mut *backend, kinds, fence)?;
        let (jobs, queue) = mpsc::channel(QUEUE);
        let shared = Arc::new(Shared {
            durable: RwLock::new(snapshot),
            commits: RwLock::new(Some(broadcast::channel(BACKLOG).0)),
            closed: watch::channel(None).0,
            ended: Mutex::new(false),
            end: Condvar::new(),
        });
        writer::start(queue, backend, fence, Arc::clone(&shared)).map_err(OpenError::Thread)?;
        Ok(Store { jobs, shared })
    }

    /// The last durable state.
    pub fn snapshot(&self) -> Snapshot {
        self.shared.durable.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Runs `transaction` alone, in turn, on the writer's thread; answers when what it wrote, and
    /// what it read, is durable. It must be quick and must not wait. `Err` and a panic leave no
    /// trace. `name` is what errors call it. If the caller stops waiting it may still happen.
    pub async fn write<T, E, F>(&self, name: &'static str, transaction: F) -> Result<T, WriteError<E>>
    where
        F: FnOnce(&mut Transaction) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: Send + 'static,
    {
        let (job, answer) = job(name, transaction);
        if self.jobs.send(job).await.is_err() {
            return Err(self.why_closed().await);
        }
        match answer.await {
            Ok(answer) => answer,
            Err(_) => Err(self.why_closed().await),
        }
    }

    /// [`Store::write`] for synchronous code.
    ///
    /// # Panics
    /// On a thread that drives asynchronous tasks.
    pub fn blocking_write<T, E, F>(&self, name: &'static str, transaction: F) -> Result<T, WriteError<E>>
    where
        F: FnOnce(&mut Transaction) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: Send + 'static,
    {
        let (job, answer) = job(name, transaction);
        if self.jobs.blocking_send(job).is_err() {
            return Err(self.why_closed_now());
        }
        match answer.blocking_recv() {
            Ok(answer) => answer,
            Err(_) => Err(self.why_closed_now()),
        }
    }

    /// Every commit that becomes durable from now on.
    pub fn watch(&self) -> Watch {
        let commits = self.shared.commits.read().unwrap_or_else(PoisonError::into_inner);
        match &*commits {
            Some(commits) => Watch(commits.subscribe()),
            None => Watch(broadcast::channel(1).1),
        }
    }

    /// Waits until the store has closed, and says why. A server ends itself then, rather than
    /// serve what it may lose.
    pub async fn closed(&self) -> Arc<BackendError> {
        let mut closed = self.shared.closed.subscribe();
        match closed.wait_for(Option::is_some).await {
            Ok(cause) => cause.clone().unwrap_or_else(|| Arc::new(BackendError::ShutDown)),
            Err(_) => Arc::new(BackendError::ShutDown),
        }
    }

    /// Lets the writes that wait finish, then closes and gives up the lease.
    pub async fn shut_down(&self) {
        // A failed send means that the store has closed already.
        let _ = self.jobs.send(Job::Stop).await;
        self.closed().await;
    }

    /// [`Store::shut_down`] for synchronous code, with its limits.
    pub fn blocking_shut_down(&self) {
        let _ = self.jobs.blocking_send(Job::Stop);
        self.why_closed_now::<()>();
    }

    async fn why_closed<E>(&self) -> WriteError<E> {
        WriteError::Closed(self.closed().await)
    }

    fn why_closed_now<E>(&self) -> WriteError<E> {
        let ended = self.shared.ended.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.shared.end.wait_while(ended, |ended| !*ended));
        let cause = self.shared.closed.borrow().clone();
        WriteError::Closed(cause.unwrap_or_else(|| Arc::new(BackendError::ShutDown)))
    }
}

impl Shared {
    pub fn announce_end(&self, cause: Arc<BackendError>) {
        self.closed.send_replace(Some(cause));
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.end.notify_all();
    }
}

type Answer<T, E> = oneshot::Receiver<Result<T, WriteError<E>>>;

fn job<T, E, F>(name: &'static str, transaction: F) -> (Job, Answer<T, E>)
where
    F: FnOnce(&mut Transaction) -> Result<T, E> + Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    let (sender, receiver) = oneshot::channel();
    let run = move |tx: &mut Transaction| {
        let result = writer::guarded(|| transaction(tx));
        let result = match result {
            Ok(result) => result.map_err(WriteError::Rejected),
            Err(message) => Err(WriteError::Panicked { name, message }),
        };
        let is_kept = result.is_ok();
        let answer = move |outcome| {
            let result = match outcome {
                Outcome::Durable => result,
                Outcome::Closed(cause) => Err(WriteError::Closed(cause)),
                Outcome::Unwritable(message) => Err(WriteError::Unwritable { name, message }),
            };
            // The caller may have stopped waiting.
            let _ = sender.send(result);
        };
        Verdict { is_kept, answer: Box::new(answer) }
    };
    (Job::Run(Box::new(run)), receiver)
}
