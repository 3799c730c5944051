use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};

use store::suite::Note;
use store::{Backend, BackendError, Batch, Fence, Head, Memory, Row, Stop, Store, WriteError};

use crate::{key, note, open};

type Answer = Result<usize, WriteError<()>>;

async fn put(store: Store, name: &'static str) -> Answer {
    let put = store.write("put", move |tx| {
        tx.put(note(name));
        Ok(tx.count::<Note>())
    });
    put.await
}

fn is_full(answer: &Answer) -> bool {
    matches!(answer, Err(WriteError::Closed(cause)) if matches!(**cause, BackendError::Full))
}

#[tokio::test(flavor = "current_thread")]
async fn a_refused_commit_closes_the_store() {
    let memory = Memory::default();
    let store = open(&memory);
    put(store.clone(), "1").await.unwrap();
    memory.fail_next_commit(BackendError::Full);
    assert!(is_full(&put(store.clone(), "2").await));
    assert!(matches!(*store.closed().await, BackendError::Full));
    assert!(is_full(&put(store.clone(), "3").await));
    assert!(!store.snapshot().contains::<Note>(&key("2")));
    let again = open(&memory);
    assert_eq!(again.snapshot().count::<Note>(), 1);
}

/// Passes commits on to a memory backend, but each only when told to.
struct Gated {
    inner: Box<dyn Backend>,
    begun: SyncSender<usize>,
    go: Arc<Mutex<Receiver<Result<(), BackendError>>>>,
}

impl Backend for Gated {
    fn hold_lease(&mut self) -> Result<Fence, BackendError> {
        self.inner.hold_lease()
    }

    fn head(&mut self) -> Result<Head, BackendError> {
        self.inner.head()
    }

    fn load(&mut self, each: &mut dyn FnMut(Row<'_>) -> Result<(), Stop>) -> Result<(), BackendError> {
        self.inner.load(each)
    }

    fn commit(&mut self, batch: &Batch, fence: Fence) -> Result<(), BackendError> {
        self.begun.send(batch.writes.len()).unwrap();
        self.go.lock().unwrap().recv().unwrap()?;
        self.inner.commit(batch, fence)
    }
}

struct Gate {
    store: Store,
    begun: Receiver<usize>,
    go: SyncSender<Result<(), BackendError>>,
}

fn gated() -> Gate {
    let (began, begun) = sync_channel(8);
    let (go, gone) = sync_channel(8);
    let inner = Memory::default().open();
    let backend = Gated { inner, begun: began, go: Arc::new(Mutex::new(gone)) };
    let store = Store::open(Box::new(backend), store::suite::kinds()).unwrap();
    Gate { store, begun, go }
}

/// Runs transactions until one has run that was sent behind `count` others.
async fn have_run(store: &Store, ran: &mut tokio::sync::mpsc::Receiver<()>, count: usize) {
    for _ in 0..count {
        ran.recv().await.unwrap();
    }
    assert_eq!(store.snapshot().count::<Note>(), 0, "readers see nothing before it is durable");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_group_gathers_while_one_is_committed() {
    let gate = gated();
    let (runs, mut ran) = tokio::sync::mpsc::channel(8);
    let send = |name: &'static str| {
        let (store, runs) = (gate.store.clone(), runs.clone());
        tokio::spawn(async move {
            let put = store.write("put", move |tx| {
                tx.put(note(name));
                runs.blocking_send(()).unwrap();
                Ok::<_, ()>(tx.count::<Note>())
            });
            put.await
        })
    };
    let first = send("1");
    assert_eq!(gate.begun.recv().unwrap(), 1);
    ran.recv().await.unwrap();
    let (second, third) = (send("2"), send("3"));
    have_run(&gate.store, &mut ran, 2).await;
    // It writes nothing, but it has seen what is not durable yet. Once it runs, those before it
    // have joined their group.
    let store = gate.store.clone();
    let reader = tokio::spawn(async move {
        let read = store.write("read", move |tx| {
            runs.blocking_send(()).unwrap();
            Ok::<_, ()>(tx.count::<Note>())
        });
        read.await
    });
    have_run(&gate.store, &mut ran, 1).await;
    gate.go.send(Ok(())).unwrap();
    assert_eq!(first.await.unwrap().unwrap(), 1);
    assert_eq!(gate.store.snapshot().count::<Note>(), 1);
    assert_eq!(gate.begun.recv().unwrap(), 2);
    assert!(!second.is_finished() && !third.is_finished() && !reader.is_finished());
    gate.go.send(Ok(())).unwrap();
    let mut counts = [second.await.unwrap().unwrap(), third.await.unwrap().unwrap()];
    counts.sort_unstable();
    assert_eq!(counts, [2, 3]);
    assert_eq!(reader.await.unwrap().unwrap(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_gathered_behind_a_refused_commit_is_refused_too() {
    let gate = gated();
    let first = tokio::spawn(put(gate.store.clone(), "1"));
    assert_eq!(gate.begun.recv().unwrap(), 1);
    let second = tokio::spawn(put(gate.store.clone(), "2"));
    gate.go.send(Err(BackendError::Full)).unwrap();
    assert!(is_full(&first.await.unwrap()));
    assert!(is_full(&second.await.unwrap()));
    assert_eq!(gate.store.snapshot().revision(), 0);
}

#[tokio::test(flavor = "current_thread")]
async fn a_store_that_was_shut_down_gives_up_its_lease() {
    let memory = Memory::default();
    let store = open(&memory);
    let held = Store::open(memory.open(), store::suite::kinds());
    assert!(matches!(held, Err(store::OpenError::Backend(BackendError::Held { .. }))));
    store.shut_down().await;
    let answer = put(store, "1").await;
    assert!(matches!(answer, Err(WriteError::Closed(cause)) if matches!(*cause, BackendError::ShutDown)));
    open(&memory);
}
