//! The data plane as a whole: what the server holds.

use std::collections::BTreeMap;
use std::io;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use base::Chance;
use bytes::Bytes;
use core_routing::sticky::Seal;
use core_routing::{Balancer, Certificate, HealthReport};
use tokio::sync::{mpsc, oneshot};

use crate::control::{self, Command, Control};
use crate::counts::{Counts, Levels, Reading, Subject};
use crate::health::{self, Checker};
use crate::hold::Demand;
use crate::log::{Logs, Writer};
use crate::sockets::Sockets;
use crate::table::{Lasting, Targets};
use crate::tls::{CertificateError, Terminators};
use crate::worker::{self, Message, Parts};

/// How a plane is made.
pub struct Config {
    /// Threads that serve; at least one.
    pub workers: usize,
    /// Opens every socket.
    pub sockets: Arc<dyn Sockets>,
    /// Where changes of targets' health go.
    pub reports: mpsc::Sender<HealthReport>,
    /// Where the ARNs of groups go that hold requests ([`core_routing::TargetGroup::held_for`]) and
    /// have some: at once where one begins to wait, and every second while there are any. What finds no
    /// room is told again.
    pub asked: mpsc::Sender<Arc<str>>,
    /// Who keeps log lines.
    pub logs: Arc<dyn Logs>,
    /// What sticky cookies are sealed with: secret, and the same after a restart.
    pub sticky_key: [u8; 32],
    /// Where chance begins: trace ids, weights.
    pub chance: Chance,
}

/// Balancers, served. Dropping it ends its threads without waiting for requests under way.
pub struct Plane {
    control: mpsc::Sender<Command>,
    terminators: Arc<Terminators>,
    counts: Counts,
    levels: Levels,
}

/// Why a balancer is not served as its table says.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    #[error("a newer table of this balancer is served")]
    Older,
    #[error("only application balancers are served")]
    Kind,
    #[error("a rule cannot be compiled")]
    Rule(#[from] core_routing::RouterError),
    /// The other listeners are served all the same; applying again tries again.
    #[error("port {port} cannot be listened on at {address}")]
    Listen {
        address: std::net::Ipv4Addr,
        port: u16,
        #[source]
        source: io::Error,
    },
    #[error("the plane is closed")]
    Closed,
}

/// Messages that wait for a worker or the control thread.
const QUEUED: usize = 256;

impl Plane {
    /// # Errors
    /// A thread or a runtime cannot be made.
    pub fn start(config: Config) -> io::Result<Plane> {
        let terminators = Arc::new(Terminators::default());
        let counts = Counts::default();
        let writer = Writer::start(config.logs)?;
        let targets = Arc::new(Targets::default());
        let (judged, watched, known) = (targets.clone(), targets.clone(), targets.clone());
        let levels = Levels::default();
        let mut chance = config.chance;
        let checker = Checker::start(health::Config {
            sockets: config.sockets.clone(),
            reports: config.reports,
            turned: Arc::new(move |report| judged.judge(report)),
            anomaly: Arc::new(move |target| watched.anomaly(target)),
            known: Arc::new(move |target, registered_at| known.state(target, registered_at)),
            book: writer.book(),
            seed: chance.next(),
        })?;
        let most_open = most_open() / config.workers.max(1);
        let mut workers = Vec::new();
        for index in 0..config.workers.max(1) {
            let (sender, messages) = mpsc::channel(QUEUED);
            let chance = chance.split(&format!("worker {index}"));
            let (book, counts) = (writer.book(), counts.clone());
            let sockets = config.sockets.clone();
            let asked = config.asked.clone();
            let parts = Parts { sockets, messages, chance, book, counts, most_open, asked };
            spawn(format!("proxy-{index}"), move || worker::run(parts))?;
            workers.push(sender);
        }
        let (sender, commands) = mpsc::channel(QUEUED);
        let lasting = Lasting::new(Seal::new(&config.sticky_key), targets);
        let control = Control::new(
            config.sockets,
            workers,
            terminators.clone(),
            lasting,
            Demand::new(counts.clone(), levels.clone(), config.asked),
            checker,
            writer,
        );
        spawn(String::from("proxy-control"), move || control::run(control, commands))?;
        Ok(Plane { control: sender, terminators, counts, levels })
    }

    /// Serves a balancer by this table from now on, in place of its older one. Answers when every
    /// worker has it and its listeners are open.
    ///
    /// # Errors
    /// See [`ApplyError`].
    pub async fn apply(&self, balancer: Arc<Balancer>) -> Result<(), ApplyError> {
        let (done, outcome) = oneshot::channel();
        self.tell(Command::Apply { balancer, done }).await;
        outcome.await.unwrap_or(Err(ApplyError::Closed))
    }

    /// What others saw of the targets of the table that is applied next: those that this plane has not
    /// checked yet stand so, instead of as if they had just come.
    pub async fn recall(&self, reports: Vec<HealthReport>) {
        self.tell(Command::Recall { reports }).await;
    }

    /// Closes a balancer's listeners. Connections that were accepted get the answers of requests
    /// under way. Answers when every worker has done so.
    pub async fn remove(&self, arn: &str) {
        let (done, outcome) = oneshot::channel();
        self.tell(Command::Remove { arn: arn.into(), done }).await;
        let _ = outcome.await;
    }

    /// Takes in a certificate, new or in place of the one with its ARN.
    ///
    /// # Errors
    /// It cannot be used; the one before it stays.
    pub fn certificate(&self, certificate: &Certificate) -> Result<(), CertificateError> {
        self.terminators.certificate(certificate)
    }

    /// Forgets a certificate. Listeners that still use it show it until they are changed.
    pub fn forget_certificate(&self, arn: &str) {
        self.terminators.forget_certificate(arn);
    }

    /// Serves a connection that came in elsewhere, `read` being what was read of it already, as if
    /// it had come to that balancer's listener. It is in the clear unless `read` begins a TLS hello,
    /// which has to be whole. Where there is no such listener the
    /// connection is closed.
    pub fn adopt(&self, stream: TcpStream, read: Bytes, balancer: &str, port: u16) {
        let command = Command::Adopt { arn: balancer.into(), stream, read, port };
        if self.control.try_send(command).is_err() {
            tracing::warn!(balancer, "too many connections at once; one is closed");
        }
    }

    /// Everything that is counted, since the start, and how targets stand now.
    pub fn counts(&self) -> BTreeMap<Subject, Reading> {
        let mut readings = self.counts.read();
        self.levels.add(&mut readings);
        readings
    }

    /// Stops listening, lets requests under way end, at most for `within`, and ends the threads.
    pub async fn close(self, within: Duration) {
        let (done, outcome) = oneshot::channel();
        self.tell(Command::Close { within, done }).await;
        let _ = outcome.await;
    }

    async fn tell(&self, command: Command) {
        // Where nobody listens, nobody answers either: that is told by the outcome.
        let _ = self.control.send(command).await;
    }
}

/// Clients' connections that the process may have: three of four descriptors, so that what is left is
/// enough for targets and all else.
fn most_open() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    usize::try_from(limit.unwrap_or(u64::MAX) / 4 * 3).unwrap_or(usize::MAX)
}

fn spawn(name: String, run: impl FnOnce() -> io::Result<()> + Send + 'static) -> io::Result<()> {
    let told = name.clone();
    let thread = std::thread::Builder::new().name(name).spawn(move || {
        if let Err(error) = run() {
            tracing::error!(thread = told, %error, "a thread of the proxy ended");
        }
    })?;
    // Threads end when nobody can tell them anything more.
    drop(thread);
    Ok(())
}

/// Hands a message to every worker that is there.
pub async fn tell_all(workers: &[mpsc::Sender<Message>], mut message: impl FnMut(usize) -> Message) {
    for (index, worker) in workers.iter().enumerate() {
        if worker.send(message(index)).await.is_err() {
            tracing::error!(worker = index, "a worker is gone");
        }
    }
}
