//! The server's end of a proxy in a process of its own.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use core_routing::HealthReport;
use link::{Channel, Down, Lines, PROXY_VERSION, Spot, Up};
use rustix::fs::FlockOperation;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, watch};

use super::spots::Spots;
use super::stage::{Outgoing, Stage};

/// Messages that wait for a proxy to take them.
const QUEUE: usize = 256;
/// How long a proxy may take to say who it is.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a server waits for a proxy that runs, before it serves by itself.
const RETURN: Duration = Duration::from_secs(3);

/// Where server and proxy meet.
pub fn socket(data_dir: &Path) -> PathBuf {
    data_dir.join("proxy.sock")
}

/// Locked by a proxy as long as it runs.
pub fn lock(data_dir: &Path) -> PathBuf {
    data_dir.join("proxy.lock")
}

/// The process id of the proxy that runs, if one does.
pub fn running(data_dir: &Path) -> Option<u32> {
    let file = std::fs::File::open(lock(data_dir)).ok()?;
    // Who gets the lock is alone; it goes with the file.
    rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).err()?;
    std::io::read_to_string(file).ok()?.trim().parse().ok()
}

/// Where proxies come in.
pub struct Door {
    pub data_dir: PathBuf,
    pub stage: Arc<Stage>,
    pub spots: Arc<Spots>,
    pub reports: mpsc::Sender<HealthReport>,
    pub asked: mpsc::Sender<Arc<str>>,
    pub lines: mpsc::Sender<Lines>,
}

impl Door {
    /// Serves here, but for as long as a proxy is there.
    ///
    /// # Errors
    /// The socket cannot be made, or threads cannot.
    pub async fn attend(self, stop: watch::Receiver<bool>) -> io::Result<()> {
        let path = socket(&self.data_dir);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&path)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        let mut stop = stop;
        let outcome = tokio::select! {
            outcome = self.serve(&listener) => outcome,
            _ = stop.wait_for(|stop| *stop) => Ok(()),
        };
        let _ = std::fs::remove_file(&path);
        outcome
    }

    async fn serve(&self, listener: &UnixListener) -> io::Result<()> {
        // One that runs has the sockets: it goes on, and nobody opens them a second time.
        let mut first = match running(&self.data_dir).is_some() {
            true => tokio::time::timeout(RETURN, listener.accept()).await.ok(),
            false => None,
        };
        loop {
            let accepted = match first.take() {
                Some(accepted) => accepted,
                None => {
                    self.stage.serve_here().await?;
                    listener.accept().await
                }
            };
            let ended = match accepted {
                Ok((stream, _)) => self.follow(stream).await,
                Err(error) => Err(error),
            };
            match ended {
                Ok(()) => tracing::info!("the proxy has gone: this process serves load balancers"),
                Err(error) => tracing::warn!(%error, "the proxy is lost: this process serves load balancers"),
            }
        }
    }

    /// Lets a proxy serve until it goes.
    async fn follow(&self, stream: UnixStream) -> io::Result<()> {
        let mut channel = Channel::new(stream);
        if channel.peer()? != rustix::process::geteuid().as_raw() {
            return Err(io::Error::other("a proxy of another user"));
        }
        let greeting = tokio::time::timeout(PATIENCE, self.greet(&mut channel)).await;
        let given = greeting.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        let (to, messages) = mpsc::channel(QUEUE);
        let (mut reading, writing) = channel.split();
        let stage = self.stage.clone();
        let telling = tokio::spawn(tell(writing, messages));
        stage.serve_away(to.clone(), given).await;
        tracing::info!("a proxy serves load balancers");
        let outcome = self.hear(&mut reading).await;
        self.stage.abandoned(&to).await;
        telling.abort();
        outcome
    }

    /// Answers the spots whose sockets the proxy has.
    async fn greet(&self, channel: &mut Channel) -> io::Result<BTreeSet<Spot>> {
        let hello = Down::Hello { version: PROXY_VERSION, pid: std::process::id() };
        channel.send(&hello, &[]).await?;
        let mut given = BTreeSet::new();
        loop {
            let Some((message, sockets)) = channel.receive::<Up>().await? else {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
            };
            match message {
                Up::Hello { version: PROXY_VERSION, .. } => {}
                Up::Hello { version, .. } => {
                    return Err(io::Error::other(format!("a proxy of version {version}")));
                }
                Up::Holding(spot) => {
                    self.spots.take_up(spot.clone(), sockets);
                    given.insert(spot);
                }
                Up::Ready => return Ok(given),
                Up::Health(_) | Up::Asked(_) | Up::Lines(_) | Up::Counts(_) => {}
            }
        }
    }

    async fn hear(&self, channel: &mut link::Receiving) -> io::Result<()> {
        while let Some((message, _)) = channel.receive::<Up>().await? {
            match message {
                Up::Health(reports) => {
                    for report in reports {
                        // Only at the end of this process does nobody take them.
                        let _ = self.reports.send(report).await;
                    }
                }
                Up::Asked(groups) => {
                    for group in groups {
                        let _ = self.asked.send(group).await;
                    }
                }
                // As lines of this process: no room, no line.
                Up::Lines(lines) => drop(self.lines.try_send(lines)),
                Up::Counts(counts) => self.stage.take_counts(counts),
                Up::Hello { .. } | Up::Holding(_) | Up::Ready => {}
            }
        }
        Ok(())
    }
}

/// Sends until the other end has gone.
async fn tell(channel: link::Sending, mut messages: mpsc::Receiver<Outgoing>) {
    while let Some((message, sockets)) = messages.recv().await {
        let with: Vec<BorrowedFd<'_>> = sockets.iter().map(AsFd::as_fd).collect();
        if let Err(error) = channel.send(&message, &with).await {
            tracing::debug!(%error, "the proxy takes no messages");
            return;
        }
    }
}
