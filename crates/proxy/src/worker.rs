//! One worker: a thread with a runtime, listening sockets, connections and tables of its own.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use base::{Chance, Timestamp};
use bytes::Bytes;
use core_routing::headers::TraceIds;
use core_routing::http_date;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::Instant;

use crate::arrival::Arrival;
use crate::buffers::Buffers;
use crate::counts::{Counts, Open, log_connection};
use crate::exchange::Desk;
use crate::h1;
use crate::log::Book;
use crate::sockets::Sockets;
use crate::table::{Here, Served};
use crate::tls::Reencryption;
use crate::upstream::Pool;
use crate::watch::{TICK, Watches};

/// Idle connections to targets are kept for so long.
const TARGET_IDLE_MS: u64 = 60_000;
/// How long a TLS handshake may take.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
/// The first byte of a TLS record that carries a handshake.
const HANDSHAKE: u8 = 0x16;
/// Desks that a worker keeps for the next requests.
const DESKS_KEPT: usize = 1024;

/// What a worker's connections share. Never leaves its thread.
pub struct Worker {
    pub sockets: Arc<dyn Sockets>,
    pub buffers: Rc<Buffers>,
    pub watches: Rc<Watches>,
    pub pool: Pool,
    pub h2: crate::h2::Pool,
    pub reencryption: Reencryption,
    pub book: Book,
    pub counts: Counts,
    pub trace_ids: RefCell<TraceIds>,
    pub chance: RefCell<Chance>,
    slots: RefCell<HashMap<u32, Rc<Slot>>>,
    // One allocation per desk, so that taking one moves a pointer.
    #[expect(clippy::vec_box, reason = "desks are large and handed out whole")]
    desks: RefCell<Vec<Box<Desk>>>,
    /// The second that `date` says.
    dated: Cell<i64>,
    date: RefCell<String>,
    began_at: Instant,
    is_leaving: Cell<bool>,
    /// Clients' connections that are open, and how many may be.
    open: Rc<Cell<usize>>,
    most_open: usize,
    pub asked: mpsc::Sender<Arc<str>>,
}

/// A balancer's place on a worker: where its newest table is.
pub struct Slot {
    table: RefCell<Rc<Here>>,
    /// Listeners that are gone, with the last table that had them: for connections that were
    /// accepted before.
    left: RefCell<Vec<(u16, Rc<Here>)>>,
    is_gone: Cell<bool>,
    /// Told with every table, and at the end.
    pub changed: Notify,
}

impl Slot {
    /// The newest table with a listener on that port.
    pub fn table(&self, port: u16) -> Rc<Here> {
        let left = self.left.borrow();
        match left.iter().find(|(of, _)| *of == port) {
            Some((_, here)) => here.clone(),
            None => self.table.borrow().clone(),
        }
    }

    /// Whether the newest table still has that listener.
    pub fn has(&self, port: u16) -> bool {
        self.table.borrow().served.listener(port).is_some()
    }

    fn replace(&self, here: Here) {
        let here = Rc::new(here);
        let before = self.table.replace(here.clone());
        let mut left = self.left.borrow_mut();
        left.retain(|(port, _)| here.served.listener(*port).is_none());
        for listener in &before.served.balancer.listeners {
            let port = listener.port;
            if here.served.listener(port).is_none() && !left.iter().any(|(of, _)| *of == port) {
                left.push((port, before.clone()));
            }
        }
        self.changed.notify_waiters();
    }

    /// The balancer was removed: what is under way ends, nothing begins.
    pub fn is_gone(&self) -> bool {
        self.is_gone.get()
    }
}

/// What the control thread tells a worker.
pub enum Message {
    /// A table, new or in place of the older one. Listeners are opened and closed with it.
    Table {
        served: Arc<Served>,
        open: Vec<Opened>,
        close: Vec<SocketAddrV4>,
        done: oneshot::Sender<()>,
    },
    Remove {
        number: u32,
        done: oneshot::Sender<()>,
    },
    Adopt {
        number: u32,
        stream: std::net::TcpStream,
        read: Bytes,
        port: u16,
    },
    /// Idle connections close, those under way after their answer.
    Leave {
        within: Duration,
    },
}

/// A listening socket for one worker.
pub struct Opened {
    pub socket: std::net::TcpListener,
    pub at: SocketAddrV4,
    pub port: u16,
    pub node: Option<Ipv4Addr>,
}

/// What a worker is made of.
pub struct Parts {
    pub sockets: Arc<dyn Sockets>,
    pub messages: mpsc::Receiver<Message>,
    pub chance: Chance,
    pub book: Book,
    pub counts: Counts,
    /// Clients' connections that may be open at once.
    pub most_open: usize,
    /// Where groups go whose requests begin to wait.
    pub asked: mpsc::Sender<Arc<str>>,
}

/// Runs a worker on this thread until it is told to leave or nobody can tell it anything.
pub fn run(parts: Parts) -> std::io::Result<()> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    // Sockets are looked at after so many tasks: more would let late events wait longer.
    let runtime = builder.enable_io().enable_time().event_interval(61).build_local(Default::default())?;
    runtime.block_on(serve(parts));
    Ok(())
}

async fn serve(parts: Parts) {
    let Parts { sockets, mut messages, chance, book, counts, most_open, asked } = parts;
    let worker = Rc::new(Worker {
        sockets,
        buffers: Rc::default(),
        watches: Rc::default(),
        pool: Pool::default(),
        h2: crate::h2::Pool::default(),
        reencryption: Reencryption::new(true),
        book,
        counts,
        trace_ids: RefCell::new(TraceIds::new(chance.split("trace"))),
        slots: RefCell::default(),
        desks: RefCell::default(),
        dated: Cell::new(-1),
        date: RefCell::default(),
        began_at: Instant::now(),
        is_leaving: Cell::new(false),
        open: Rc::default(),
        most_open,
        asked,
        chance: RefCell::new(chance),
    });
    let sweeping = tokio::task::spawn_local(sweep(worker.clone()));
    let mut listening: HashMap<SocketAddrV4, (u32, Stop)> = HashMap::new();
    while let Some(message) = messages.recv().await {
        match message {
            Message::Table { served, open, close, done } => {
                let number = served.number;
                let slot = worker.seat(served);
                for at in &close {
                    listening.remove(at);
                }
                if !close.is_empty() {
                    worker.watches.wake_all();
                }
                for opened in open {
                    if let Some((at, stop)) = worker.listen(&slot, opened) {
                        listening.insert(at, (number, stop));
                    }
                }
                let _ = done.send(());
            }
            Message::Remove { number, done } => {
                listening.retain(|_, (of, _)| *of != number);
                worker.unseat(number);
                let _ = done.send(());
            }
            Message::Adopt { number, stream, read, port } => worker.adopt(number, stream, &read, port),
            Message::Leave { within } => {
                listening.clear();
                worker.is_leaving.set(true);
                leave(&worker, within).await;
                break;
            }
        }
    }
    sweeping.abort();
}

/// Waits until no connection is left, or for `within`.
async fn leave(worker: &Rc<Worker>, within: Duration) {
    worker.watches.wake_all();
    worker.slots.borrow().values().for_each(|slot| slot.changed.notify_waiters());
    let until = Instant::now() + within;
    while worker.open.get() > 0 && Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(10)).await;
        worker.watches.wake_all();
    }
}

/// Dropping it tells the accepting task to take what waits and close.
type Stop = oneshot::Sender<()>;

async fn sweep(worker: Rc<Worker>) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut count = 0_u64;
    loop {
        ticks.tick().await;
        count += 1;
        let now_ms = worker.began_at.elapsed().as_millis() as u64;
        worker.watches.sweep(now_ms, worker.now().as_micros());
        if count.is_multiple_of(20) {
            worker.pool.sweep(now_ms.saturating_sub(TARGET_IDLE_MS));
            worker.h2.sweep();
            worker.buffers.trim();
            worker.book.flush();
        }
    }
}

impl Worker {
    pub fn now(&self) -> Timestamp {
        base::clock::wall()
    }

    /// Hands the present date to `write`, as `Date` has it.
    pub fn with_date(&self, write: impl FnOnce(&[u8])) {
        let now = self.now();
        if self.dated.replace(now.as_secs()) != now.as_secs() {
            *self.date.borrow_mut() = http_date(now);
        }
        write(self.date.borrow().as_bytes());
    }

    pub fn desk(&self) -> Box<Desk> {
        self.desks.borrow_mut().pop().unwrap_or_default()
    }

    pub fn give_desk(&self, desk: Box<Desk>) {
        let mut desks = self.desks.borrow_mut();
        if desks.len() < DESKS_KEPT && !desk.is_large() {
            desks.push(desk);
        }
    }

    /// The worker ends: connections close after what they are at.
    pub fn is_leaving(&self) -> bool {
        self.is_leaving.get()
    }

    fn seat(&self, served: Arc<Served>) -> Rc<Slot> {
        let mut slots = self.slots.borrow_mut();
        let number = served.number;
        let chance = self.chance.borrow();
        match slots.get(&number) {
            Some(slot) => {
                let before = slot.table.borrow().clone();
                slot.replace(Here::new(served, Some(&before), &chance, &self.counts));
                slot.clone()
            }
            None => {
                let table = RefCell::new(Rc::new(Here::new(served, None, &chance, &self.counts)));
                let slot = Rc::new(Slot {
                    table,
                    left: RefCell::default(),
                    is_gone: Cell::new(false),
                    changed: Notify::new(),
                });
                slots.insert(number, slot.clone());
                slot
            }
        }
    }

    fn unseat(&self, number: u32) {
        if let Some(slot) = self.slots.borrow_mut().remove(&number) {
            slot.is_gone.set(true);
            slot.changed.notify_waiters();
        }
        self.watches.wake_all();
        self.pool.forget(number);
    }

    fn listen(self: &Rc<Self>, slot: &Rc<Slot>, opened: Opened) -> Option<(SocketAddrV4, Stop)> {
        let Opened { socket, at, port, node } = opened;
        let listener = match TcpListener::from_std(socket) {
            Ok(listener) => listener,
            Err(error) => {
                tracing::warn!(%at, %error, "a listening socket cannot be watched");
                return None;
            }
        };
        let (stop, stopped) = oneshot::channel();
        let door = Door { worker: self.clone(), slot: slot.clone(), port, node };
        tokio::task::spawn_local(accept(listener, door, stopped));
        Some((at, stop))
    }

    fn adopt(self: &Rc<Self>, number: u32, stream: std::net::TcpStream, read: &[u8], port: u16) {
        let Some(slot) = self.slots.borrow().get(&number).cloned() else { return };
        let Ok(stream) = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream)) else {
            return;
        };
        let door = Door { worker: self.clone(), slot, port, node: None };
        // In the clear any listener is spoken to; whoever says hello is answered in kind.
        let is_hello = read.first() == Some(&HANDSHAKE);
        let Ok(peer) = stream.peer_addr() else { return };
        door.enter(stream, peer, read, is_hello);
    }
}

/// What connections of one listening socket have in common.
struct Door {
    worker: Rc<Worker>,
    slot: Rc<Slot>,
    port: u16,
    node: Option<Ipv4Addr>,
}

async fn accept(listener: TcpListener, door: Door, mut stopped: oneshot::Receiver<()>) {
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => door.enter(stream, peer, b"", true),
                Err(error) => {
                    tracing::warn!(port = door.port, %error, "no connection can be accepted");
                    // Out of descriptors, most likely: others have to end first.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
            _ = &mut stopped => break,
        }
    }
    // What has come before the listener was closed is served still.
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    while let std::task::Poll::Ready(Ok((stream, peer))) = listener.poll_accept(&mut cx) {
        door.enter(stream, peer, b"", true);
    }
}

impl Door {
    /// `may_tls`: an HTTPS listener expects a handshake.
    fn enter(&self, stream: TcpStream, peer: SocketAddr, read: &[u8], may_tls: bool) {
        // Without it small answers would wait for an acknowledgment; a socket that cannot is closed.
        if stream.set_nodelay(true).is_err() {
            return;
        }
        let (worker, slot) = (self.worker.clone(), self.slot.clone());
        let table = slot.table(self.port);
        let counters = table.counters.zone(table.served.zone(self.node));
        let Some(open) = Open::count(counters, &worker.open, worker.most_open).map(Rc::new) else { return };
        let id = worker.chance.borrow_mut().next();
        let is_adopted = !read.is_empty() && !may_tls;
        let (port, node) = (self.port, self.node);
        let arrival = Arrival { worker, slot, port, node, peer, id, open, tls: None, is_adopted };
        let Some((_, listener)) = table.served.listener(self.port) else { return };
        match listener.terminator.clone().filter(|_| may_tls) {
            None => {
                log_connection(&arrival, None, None, arrival.worker.now());
                let mut input = Vec::new();
                input.extend_from_slice(read);
                tokio::task::spawn_local(h1::serve(stream, input, arrival));
            }
            Some(terminator) => {
                let read = read.to_vec();
                tokio::task::spawn_local(async move {
                    if read.is_empty() && speaks_plainly(&stream).await {
                        return refuse_plain(stream, &arrival).await;
                    }
                    // The handshake is large and soon over.
                    let shaken = terminator.accept_begun(stream, &read, HANDSHAKE_WITHIN);
                    let shaken = Box::pin(shaken).await;
                    match shaken {
                        Ok((stream, facts)) => encrypted(stream, facts, arrival).await,
                        Err(refused) => {
                            arrival.open.refused();
                            log_connection(&arrival, None, Some(&refused), arrival.worker.now());
                            tracing::debug!(peer = %arrival.peer, cause = %refused.cause, "handshake failed");
                        }
                    }
                });
            }
        }
    }
}

/// Whether the first byte is one of a method. Who says nothing is left to the handshake's patience.
async fn speaks_plainly(stream: &TcpStream) -> bool {
    let mut first = [0];
    let peeked = tokio::time::timeout(HANDSHAKE_WITHIN, stream.peek(&mut first)).await;
    matches!(peeked, Ok(Ok(1))) && first[0].is_ascii_uppercase()
}

/// Says that TLS is spoken here, and waits for the client to have read it: what is closed with
/// bytes unread is reset.
async fn refuse_plain(mut stream: TcpStream, arrival: &Arrival) {
    arrival.open.refused();
    log_connection(arrival, None, None, arrival.worker.now());
    let said = tokio::time::timeout(HANDSHAKE_WITHIN, async {
        stream.write_all(&crate::exchange::unencrypted(&arrival.worker)).await?;
        stream.shutdown().await?;
        let mut rest = [0; 1024];
        while stream.read(&mut rest).await? > 0 {}
        std::io::Result::Ok(())
    });
    if !matches!(said.await, Ok(Ok(()))) {
        tracing::debug!(peer = %arrival.peer, "whoever spoke HTTP to TLS has not heard that");
    }
}

async fn encrypted(
    stream: tokio_rustls::server::TlsStream<TcpStream>,
    facts: crate::tls::Facts,
    mut arrival: Arrival,
) {
    let is_http2 = facts.is_http2;
    log_connection(&arrival, Some(&facts), None, arrival.worker.now());
    arrival.tls = Some(Rc::new(facts));
    if is_http2 {
        Box::pin(crate::h2::serve(stream, arrival)).await;
    } else {
        Box::pin(h1::serve(stream, Vec::new(), arrival)).await;
    }
}
