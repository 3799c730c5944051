//! `boxship proxy`: load balancers served by a process of its own, which goes on when the server
//! does not.
//!
//! Invariant: what was told last is served until a server tells otherwise; a server that comes back
//! gets the sockets back, and none is closed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use base::Chance;
use cli::Place;
use core_routing::{Certificate, HealthReport, Placed, TargetKey};
use link::{Channel, Down, Lines, PROXY_VERSION, Receiving, Sending, Spot, Up};
use proxy::{Opening, Plane, Sockets};
use rustix::fs::FlockOperation;
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use vpc::Visit;

use super::lines::QUEUE;
use super::remote::{lock, socket};
use super::stage::Make;
use crate::host::{Places, vpc_of};
use crate::shutdown;

/// Until the server is looked for again.
const AGAIN: Duration = Duration::from_millis(100);
/// How long requests under way may go on after SIGTERM.
const DRAIN: Duration = Duration::from_secs(20);
const REPORTS: usize = 4_096;
const BATCH: usize = 256;

/// Serves until a signal ends it.
pub async fn run(place: &Place) -> Result<ExitCode> {
    let data_dir = place.data_dir();
    let data_dir =
        data_dir.canonicalize().with_context(|| format!("{} does not exist", data_dir.display()))?;
    let _only = only(&data_dir)?;
    let mut stop = shutdown::on_signal()?;
    let (reports, received) = mpsc::channel(REPORTS);
    let (asked, asking) = mpsc::channel(REPORTS);
    let handed = Arc::new(Handed::new(&Places::of(&data_dir).run));
    let secret = crate::secret::open(&data_dir)?;
    let chance = Chance::new(u64::from_ne_bytes(crate::secret::random()?));
    let (written, lines) = mpsc::channel(QUEUE);
    let make = Make::new(&secret, chance, reports, asked, written);
    let plane = make.plane(handed.clone()).context("the plane does not start")?;
    let mut role = Role {
        plane,
        handed,
        balancers: BTreeSet::new(),
        certificates: BTreeSet::new(),
        seen: BTreeMap::new(),
        received,
        asking,
        lines,
    };
    let path = socket(&data_dir);
    tokio::select! {
        () = role.serve(&path) => {}
        _ = stop.wait_for(|stop| *stop) => {}
    }
    tracing::info!("requests under way may end");
    role.plane.close(DRAIN).await;
    Ok(ExitCode::SUCCESS)
}

/// One proxy serves a data directory. Holds the lock as long as it lives.
fn only(data_dir: &Path) -> Result<File> {
    let path = lock(data_dir);
    let mut file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .with_context(|| format!("{} cannot be opened", path.display()))?;
    rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)
        .with_context(|| format!("another proxy serves {}", data_dir.display()))?;
    // For whoever ends it.
    file.set_len(0)?;
    write!(file, "{}", std::process::id())?;
    Ok(file)
}

struct Role {
    plane: Plane,
    handed: Arc<Handed>,
    /// What is served, by ARN.
    balancers: BTreeSet<Arc<str>>,
    certificates: BTreeSet<Arc<str>>,
    /// The newest of every target: a server that comes back has not seen them all.
    seen: BTreeMap<TargetKey, HealthReport>,
    received: mpsc::Receiver<HealthReport>,
    /// Groups that are asked for. Told while a server listens; they are told anew every second.
    asking: mpsc::Receiver<Arc<str>>,
    /// Kept while there is no server, as far as there is room.
    lines: mpsc::Receiver<Lines>,
}

impl Role {
    /// Follows one server after the other, for ever.
    async fn serve(&mut self, path: &Path) {
        loop {
            match UnixStream::connect(path).await {
                Ok(stream) => match self.follow(Channel::new(stream)).await {
                    Ok(()) => tracing::info!("the server has gone: its last tables are served on"),
                    Err(error) => tracing::warn!(%error, "the server is lost: its last tables are served on"),
                },
                Err(error) => tracing::debug!(%error, "no server"),
            }
            let pause = tokio::time::sleep(AGAIN);
            tokio::pin!(pause);
            loop {
                tokio::select! {
                    () = &mut pause => break,
                    Some(report) = self.received.recv() => drop(self.note(report)),
                    Some(_) = self.asking.recv() => {}
                }
            }
        }
    }

    fn note(&mut self, report: HealthReport) -> HealthReport {
        self.seen.insert(report.target.clone(), report.clone());
        report
    }

    async fn follow(&mut self, mut channel: Channel) -> io::Result<()> {
        if channel.peer()? != rustix::process::geteuid().as_raw() {
            return Err(io::Error::other("a server of another user"));
        }
        match channel.receive::<Down>().await? {
            Some((Down::Hello { version: PROXY_VERSION, .. }, _)) => {}
            Some(_) => return Err(io::Error::other("a server of another version")),
            None => return Ok(()),
        }
        let hello = Up::Hello { version: PROXY_VERSION, pid: std::process::id() };
        channel.send(&hello, &[]).await?;
        for (spot, sockets) in self.handed.all()? {
            let with: Vec<BorrowedFd<'_>> = sockets.iter().map(AsFd::as_fd).collect();
            channel.send(&Up::Holding(spot), &with).await?;
        }
        channel.send(&Up::Ready, &[]).await?;
        let (mut reading, writing) = channel.split();
        let seen: Vec<_> = self.seen.values().cloned().collect();
        for some in seen.chunks(BATCH) {
            writing.send(&Up::Health(some.to_vec()), &[]).await?;
        }
        let mut named = Some(Named::default());
        self.obey(&mut reading, &writing, &mut named).await
    }

    async fn obey(
        &mut self,
        reading: &mut Receiving,
        writing: &Sending,
        named: &mut Option<Named>,
    ) -> io::Result<()> {
        let (mut batch, mut asked) = (Vec::new(), Vec::new());
        loop {
            tokio::select! {
                message = reading.receive::<Down>() => match message? {
                    Some((Down::Count, _)) => {
                        let counts = super::counts::counted(&self.plane);
                        writing.send(&Up::Counts(counts), &[]).await?;
                    }
                    Some((message, sockets)) => self.take(message, sockets, named).await,
                    None => return Ok(()),
                },
                count = self.asking.recv_many(&mut asked, BATCH) => {
                    if count > 0 {
                        writing.send(&Up::Asked(std::mem::take(&mut asked)), &[]).await?;
                    }
                }
                Some(lines) = self.lines.recv() => writing.send(&Up::Lines(lines), &[]).await?,
                count = self.received.recv_many(&mut batch, BATCH) => {
                    if count > 0 {
                        let reports = std::mem::take(&mut batch);
                        let reports: Vec<_> = reports.into_iter().map(|report| self.note(report)).collect();
                        writing.send(&Up::Health(reports), &[]).await?;
                    }
                }
            }
        }
    }

    async fn take(&mut self, message: Down, mut sockets: Vec<OwnedFd>, named: &mut Option<Named>) {
        match message {
            // Answered by whoever hears it.
            Down::Hello { .. } | Down::Count => {}
            Down::Sockets(spot) => self.handed.put(spot, sockets),
            Down::Closed(spot) => self.handed.remove(&spot),
            Down::Known(reports) => self.plane.recall(reports).await,
            Down::Table(balancer) => {
                let arn = balancer.arn.clone();
                if let Some(named) = named {
                    named.balancers.insert(arn.clone());
                    named.spots.extend(super::spots::spots_of(&balancer));
                }
                self.forget_targets(&balancer);
                self.balancers.insert(arn.clone());
                if let Err(error) = self.plane.apply(Arc::from(balancer)).await {
                    let error = anyhow::Error::new(error);
                    tracing::debug!(balancer = %arn, error = %format_args!("{error:#}"), "not served whole");
                }
            }
            Down::Gone(arn) => {
                self.balancers.remove(&arn);
                self.plane.remove(&arn).await;
            }
            Down::Certificate { arn, chain, key } => {
                if let Some(named) = named {
                    named.certificates.insert(arn.clone());
                }
                self.certificates.insert(arn.clone());
                let certificate = Certificate { arn: arn.clone(), chain, key };
                if let Err(error) = self.plane.certificate(&certificate) {
                    tracing::warn!(certificate = %arn, %error, "a certificate cannot be used");
                }
            }
            Down::Forget(arn) => {
                self.certificates.remove(&arn);
                self.plane.forget_certificate(&arn);
            }
            Down::Synced => {
                if let Some(named) = named.take() {
                    self.drop_others(&named).await;
                }
                tracing::info!(balancers = self.balancers.len(), "serving load balancers for a server");
            }
            Down::Adopt { balancer, port, read } => {
                if let Some(socket) = sockets.pop() {
                    self.plane.adopt(TcpStream::from(socket), read.into(), &balancer, port);
                }
            }
        }
    }

    /// What a server that came back does not want any more.
    async fn drop_others(&mut self, named: &Named) {
        let others: Vec<_> = self.balancers.difference(&named.balancers).cloned().collect();
        for arn in others {
            self.balancers.remove(&arn);
            self.plane.remove(&arn).await;
        }
        self.handed.retain(&named.spots);
        // Once no table names them.
        let unused: Vec<_> = self.certificates.difference(&named.certificates).cloned().collect();
        for arn in unused {
            self.certificates.remove(&arn);
            self.plane.forget_certificate(&arn);
        }
    }

    /// Targets that a balancer's groups no longer have are nobody's news.
    fn forget_targets(&mut self, balancer: &core_routing::Balancer) {
        self.seen.retain(|key, _| {
            balancer.groups.get(&key.group).is_none_or(|group| {
                group.targets.iter().any(|target| target.id == key.id && target.port == key.port)
            })
        });
    }
}

/// What a server has named since it came.
#[derive(Default)]
struct Named {
    balancers: BTreeSet<Arc<str>>,
    certificates: BTreeSet<Arc<str>>,
    spots: BTreeSet<Spot>,
}

/// Sockets as a server hands them over; into VPCs this process goes by itself.
struct Handed {
    visit: Visit,
    spots: Mutex<BTreeMap<Spot, Vec<OwnedFd>>>,
}

impl Handed {
    fn new(run_dir: &Path) -> Self {
        Handed { visit: Visit::new(run_dir), spots: Mutex::default() }
    }

    fn spots(&self) -> MutexGuard<'_, BTreeMap<Spot, Vec<OwnedFd>>> {
        self.spots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, spot: Spot, sockets: Vec<OwnedFd>) {
        self.spots().insert(spot, sockets);
    }

    fn remove(&self, spot: &Spot) {
        self.spots().remove(spot);
    }

    fn retain(&self, wanted: &BTreeSet<Spot>) {
        self.spots().retain(|spot, _| wanted.contains(spot));
    }

    fn all(&self) -> io::Result<Vec<(Spot, Vec<OwnedFd>)>> {
        let again =
            |sockets: &Vec<OwnedFd>| sockets.iter().map(OwnedFd::try_clone).collect::<io::Result<_>>();
        self.spots().iter().map(|(spot, sockets)| Ok((spot.clone(), again(sockets)?))).collect()
    }
}

impl Sockets for Handed {
    fn listen<'a>(&'a self, place: &'a Placed, at: SocketAddrV4, _: usize) -> Opening<'a, Vec<TcpListener>> {
        Box::pin(async move {
            let spots = self.spots();
            let sockets = spots.get(&super::spots::spot(place, at));
            let sockets = sockets.ok_or_else(|| io::Error::from(io::ErrorKind::AddrNotAvailable))?;
            sockets.iter().map(|socket| Ok(TcpListener::from(socket.try_clone()?))).collect()
        })
    }

    fn dial<'a>(&'a self, place: &'a Placed, from: Ipv4Addr) -> Opening<'a, OwnedFd> {
        Box::pin(async move { self.visit.dial(&vpc_of(place), from).map_err(crate::host::told) })
    }
}
