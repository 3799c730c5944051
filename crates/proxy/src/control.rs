//! The control thread: compiles tables, opens listeners, and tells workers.
//!
//! Invariant: a worker never compiles, opens, or frees what is large.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use core_routing::{Balancer, HealthReport, Kind};
use tokio::sync::{mpsc, oneshot};

use crate::health::Checker;
use crate::hold::Demand;
use crate::log::Writer;
use crate::plane::{ApplyError, tell_all};
use crate::sockets::Sockets;
use crate::table::{Lasting, Served};
use crate::tls::Terminators;
use crate::worker::{Message, Opened};

/// What the plane is asked.
pub enum Command {
    Apply { balancer: Arc<Balancer>, done: oneshot::Sender<Result<(), ApplyError>> },
    Remove { arn: Arc<str>, done: oneshot::Sender<()> },
    Recall { reports: Vec<HealthReport> },
    Adopt { arn: Arc<str>, stream: std::net::TcpStream, read: Bytes, port: u16 },
    Close { within: Duration, done: oneshot::Sender<()> },
}

/// The control thread's state.
pub struct Control {
    sockets: Arc<dyn Sockets>,
    workers: Vec<mpsc::Sender<Message>>,
    terminators: Arc<Terminators>,
    lasting: Lasting,
    balancers: BTreeMap<Arc<str>, Known>,
    next_number: u32,
    /// Tables that workers may still hold: freed here, where it delays nobody.
    old: Vec<Arc<Served>>,
    demand: Demand,
    adopted: usize,
    checker: Checker,
    /// The last to go: it waits for the lines of all others.
    _writer: Writer,
}

struct Known {
    served: Arc<Served>,
    open: HashMap<SocketAddrV4, u16>,
}

/// How much workers go before.
const NICE: i32 = 10;

/// Lets workers go before this thread, and it alone: a large table must not keep one of them from
/// its processor. A kernel that refuses changes nothing.
pub fn go_behind() {
    let _ = rustix::process::nice(NICE);
}

/// How often what is old is looked at.
const TIDY_EVERY: Duration = Duration::from_secs(1);

/// Runs until the plane is closed or dropped.
pub fn run(control: Control, commands: mpsc::Receiver<Command>) -> io::Result<()> {
    go_behind();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(control.serve(commands));
    Ok(())
}

impl Control {
    pub fn new(
        sockets: Arc<dyn Sockets>,
        workers: Vec<mpsc::Sender<Message>>,
        terminators: Arc<Terminators>,
        lasting: Lasting,
        demand: Demand,
        checker: Checker,
        writer: Writer,
    ) -> Self {
        Control {
            sockets,
            workers,
            terminators,
            lasting,
            balancers: BTreeMap::new(),
            next_number: 0,
            old: Vec::new(),
            demand,
            adopted: 0,
            checker,
            _writer: writer,
        }
    }

    async fn serve(mut self, mut commands: mpsc::Receiver<Command>) {
        let mut tidying = tokio::time::interval(TIDY_EVERY);
        tidying.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let command = tokio::select! {
                command = commands.recv() => command,
                _ = tidying.tick() => {
                    self.old.retain(|served| Arc::strong_count(served) > 1);
                    self.demand.tell();
                    continue;
                }
            };
            match command {
                Some(Command::Apply { balancer, done }) => {
                    let outcome = self.apply(&balancer).await;
                    let _ = done.send(outcome);
                }
                Some(Command::Recall { reports }) => self.lasting.recall(reports),
                Some(Command::Remove { arn, done }) => {
                    self.remove(&arn).await;
                    let _ = done.send(());
                }
                Some(Command::Adopt { arn, stream, read, port }) => {
                    self.adopt(&arn, stream, read, port).await
                }
                Some(Command::Close { within, done }) => {
                    tell_all(&self.workers, |_| Message::Leave { within }).await;
                    for worker in &self.workers {
                        worker.closed().await;
                    }
                    // Ends the checks, and waits until every line has been kept.
                    drop(self);
                    let _ = done.send(());
                    return;
                }
                None => return,
            }
        }
    }

    async fn apply(&mut self, balancer: &Arc<Balancer>) -> Result<(), ApplyError> {
        if balancer.kind != Kind::Application {
            return Err(ApplyError::Kind);
        }
        let known = self.balancers.get(&balancer.arn);
        if known.is_some_and(|known| known.served.balancer.generation > balancer.generation) {
            return Err(ApplyError::Older);
        }
        let number = known.map_or(self.next_number, |known| known.served.number);
        let before = known.map(|known| &*known.served);
        let served = Arc::new(self.lasting.compile(balancer, number, before, &self.terminators)?);
        self.next_number = self.next_number.max(number + 1);
        let mut open = self.balancers.get(&balancer.arn).map(|known| known.open.clone()).unwrap_or_default();
        let wanted = wanted(balancer);
        let close: Vec<SocketAddrV4> = open.keys().filter(|at| !wanted.contains_key(at)).copied().collect();
        open.retain(|at, _| wanted.contains_key(at));
        let (opened, failed) = self.open(balancer, &wanted, &mut open).await;
        self.hand_out(&served, opened, &close).await;
        self.demand.levels.put(served.clone());
        let before = self.balancers.insert(balancer.arn.clone(), Known { served, open });
        self.retire(before);
        self.checker.apply(balancer.clone()).await;
        match failed {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// Listening sockets that are not open yet, for each worker; and the first that cannot be.
    async fn open(
        &self,
        balancer: &Balancer,
        wanted: &HashMap<SocketAddrV4, (u16, Option<Ipv4Addr>)>,
        open: &mut HashMap<SocketAddrV4, u16>,
    ) -> (Vec<Vec<Opened>>, Option<ApplyError>) {
        let mut opened: Vec<Vec<Opened>> = self.workers.iter().map(|_| Vec::new()).collect();
        let mut failed = None;
        for (at, (port, node)) in wanted {
            if open.contains_key(at) {
                continue;
            }
            match self.sockets.listen(&balancer.place, *at, self.workers.len()).await {
                Ok(sockets) => {
                    for (worker, socket) in opened.iter_mut().zip(sockets) {
                        worker.push(Opened { socket, at: *at, port: *port, node: *node });
                    }
                    open.insert(*at, *port);
                }
                Err(source) => {
                    failed = Some(ApplyError::Listen { address: *at.ip(), port: *port, source });
                }
            }
        }
        (opened, failed)
    }

    async fn hand_out(&self, served: &Arc<Served>, mut opened: Vec<Vec<Opened>>, close: &[SocketAddrV4]) {
        let mut waits = Vec::new();
        tell_all(&self.workers, |index| {
            let (done, wait) = oneshot::channel();
            waits.push(wait);
            let open = std::mem::take(&mut opened[index]);
            Message::Table { served: served.clone(), open, close: close.to_vec(), done }
        })
        .await;
        for wait in waits {
            let _ = wait.await;
        }
    }

    async fn remove(&mut self, arn: &str) {
        let Some(known) = self.balancers.remove(arn) else { return };
        self.demand.levels.remove(arn);
        let number = known.served.number;
        let mut waits = Vec::new();
        tell_all(&self.workers, |_| {
            let (done, wait) = oneshot::channel();
            waits.push(wait);
            Message::Remove { number, done }
        })
        .await;
        for wait in waits {
            let _ = wait.await;
        }
        for listener in &known.served.balancer.listeners {
            self.terminators.forget_listener(&listener.arn);
        }
        self.retire(Some(known));
        self.checker.remove(arn).await;
    }

    fn retire(&mut self, before: Option<Known>) {
        let Some(before) = before else { return };
        for listener in &before.served.balancer.listeners {
            let now = self.balancers.get(&before.served.balancer.arn);
            let stays =
                now.is_some_and(|now| now.served.balancer.listeners.iter().any(|l| l.arn == listener.arn));
            if !stays {
                self.terminators.forget_listener(&listener.arn);
            }
        }
        let own = &before.served.balancer.arn;
        let after = self.balancers.get(own).map(|known| &*known.served);
        self.lasting.forget(&before.served, after, |group| {
            let mut others = self.balancers.iter().filter(|(arn, _)| *arn != own);
            others.any(|(_, other)| other.served.groups.contains_key(group))
        });
        self.old.push(before.served);
    }

    async fn adopt(&mut self, arn: &str, stream: std::net::TcpStream, read: Bytes, port: u16) {
        let Some(known) = self.balancers.get(arn) else { return };
        let number = known.served.number;
        self.adopted += 1;
        let worker = &self.workers[self.adopted % self.workers.len()];
        if worker.send(Message::Adopt { number, stream, read, port }).await.is_err() {
            tracing::error!("a worker is gone");
        }
    }
}

/// Where a balancer listens: at every node, and at the alias.
fn wanted(balancer: &Balancer) -> HashMap<SocketAddrV4, (u16, Option<Ipv4Addr>)> {
    let nodes = balancer.place.nodes.iter().map(|node| (node.address, Some(node.address)));
    let places: Vec<_> = nodes.chain(balancer.place.alias.map(|alias| (alias, None))).collect();
    let ports = balancer.listeners.iter().map(|listener| listener.port);
    ports
        .flat_map(|port| places.iter().map(move |(at, node)| (SocketAddrV4::new(*at, port), (port, *node))))
        .collect()
}
