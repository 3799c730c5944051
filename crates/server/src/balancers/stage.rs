//! Who serves: a plane in this process, or a proxy in a process of its own while there is one.
//!
//! Invariant: at most one of them is told of a change, and whoever takes over is told everything.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::net::{SocketAddrV4, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use base::{Chance, Secret};
use core_routing::{Balancer, Certificate, HealthReport};
use link::{Counted, Down, Lines, Spot};
use proxy::{ApplyError, Config, Plane, Sockets};
use sha2::{Digest, Sha256};
use tokio::sync::{Mutex, mpsc, oneshot};

use super::counts::counted;
use super::lines::Outlet;
use super::spots::{Spots, spots_of};

/// How long requests under way may go on where they began, once somebody else serves.
const PARTING: Duration = Duration::from_secs(60);
/// How long a proxy may take to say what it has counted.
const COUNTING: Duration = Duration::from_secs(5);

/// A message to a proxy, with its sockets.
pub type Outgoing = (Down, Vec<OwnedFd>);

/// What planes are made of, wherever they serve.
pub struct Make {
    pub workers: usize,
    pub reports: mpsc::Sender<HealthReport>,
    /// Groups that hold requests and have some.
    pub asked: mpsc::Sender<Arc<str>>,
    pub lines: mpsc::Sender<Lines>,
    pub sticky_key: [u8; 32],
    pub chance: Chance,
}

impl Make {
    /// One worker per core. `secret`: the data directory's, so that sticky cookies are good after a
    /// restart and with whoever serves.
    pub fn new(
        secret: &Secret,
        chance: Chance,
        reports: mpsc::Sender<HealthReport>,
        asked: mpsc::Sender<Arc<str>>,
        lines: mpsc::Sender<Lines>,
    ) -> Self {
        let workers = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
        let sticky_key = Sha256::new_with_prefix("sticky cookies ").chain_update(secret.expose()).finalize();
        Make { workers, reports, asked, lines, sticky_key: sticky_key.into(), chance }
    }

    /// # Errors
    /// Threads cannot be made.
    pub fn plane(&self, sockets: Arc<dyn Sockets>) -> io::Result<Plane> {
        Plane::start(Config {
            workers: self.workers,
            sockets,
            reports: self.reports.clone(),
            asked: self.asked.clone(),
            logs: Arc::new(Outlet(self.lines.clone())),
            sticky_key: self.sticky_key,
            chance: self.chance.clone(),
        })
    }
}

/// What is known of a table's targets.
pub type Known = Box<dyn Fn(&Balancer) -> Vec<HealthReport> + Send + Sync>;

/// Whoever serves now, with all that was asked for.
pub struct Stage {
    spots: Arc<Spots>,
    make: Make,
    known: Known,
    serving: RwLock<Serving>,
    /// Held while whoever serves is told.
    wanted: Mutex<Wanted>,
    /// Who waits for what a proxy has counted, in the order of its answers.
    asking: std::sync::Mutex<VecDeque<oneshot::Sender<Vec<Counted>>>>,
}

#[derive(Clone)]
enum Serving {
    /// Not yet, or no more.
    Nobody,
    /// This process, once there is something to serve.
    Idle,
    Here(Arc<Plane>),
    Away(mpsc::Sender<Outgoing>),
}

#[derive(Default)]
struct Wanted {
    balancers: BTreeMap<Arc<str>, Arc<Balancer>>,
    certificates: BTreeMap<Arc<str>, Certificate>,
    /// The sockets that the proxy has.
    given: BTreeSet<Spot>,
}

impl Stage {
    pub fn new(spots: Arc<Spots>, make: Make, known: Known) -> Arc<Self> {
        let serving = RwLock::new(Serving::Nobody);
        Arc::new(Stage { spots, make, known, serving, wanted: Mutex::default(), asking: Default::default() })
    }

    /// Serves in this process from now on, unless somebody serves already.
    ///
    /// # Errors
    /// Threads cannot be made.
    pub async fn serve_here(&self) -> io::Result<()> {
        let wanted = self.wanted.lock().await;
        match self.current() {
            Serving::Nobody if wanted.balancers.is_empty() => drop(self.hand(Serving::Idle)),
            Serving::Nobody => self.begin(&wanted).await?,
            Serving::Idle | Serving::Here(_) | Serving::Away(_) => {}
        }
        Ok(())
    }

    /// Starts a plane and tells it everything.
    async fn begin(&self, wanted: &Wanted) -> io::Result<()> {
        let plane = Arc::new(self.make.plane(self.spots.clone())?);
        for certificate in wanted.certificates.values() {
            certify(&plane, certificate);
        }
        for balancer in wanted.balancers.values() {
            plane.recall((self.known)(balancer)).await;
            serve(&plane, balancer.clone()).await;
        }
        self.hand(Serving::Here(plane));
        Ok(())
    }

    /// Answers who served before.
    fn hand(&self, to: Serving) -> Serving {
        std::mem::replace(&mut *self.serving.write().unwrap_or_else(PoisonError::into_inner), to)
    }

    /// Has a proxy serve from now on. `given`: the sockets that it has already.
    pub async fn serve_away(&self, to: mpsc::Sender<Outgoing>, given: BTreeSet<Spot>) {
        let mut wanted = self.wanted.lock().await;
        wanted.given = given;
        let certificates: Vec<_> = wanted.certificates.values().cloned().collect();
        for certificate in certificates {
            let _ = to.send((certificate.into(), Vec::new())).await;
        }
        let balancers: Vec<_> = wanted.balancers.values().cloned().collect();
        for balancer in &balancers {
            let _ = to.send((Down::Known((self.known)(balancer)), Vec::new())).await;
            self.hand_over(&to, &mut wanted, balancer).await;
        }
        let _ = to.send((Down::Synced, Vec::new())).await;
        if let Serving::Here(plane) = self.hand(Serving::Away(to)) {
            for balancer in &balancers {
                plane.remove(&balancer.arn).await;
            }
            tokio::spawn(part(plane));
        }
    }

    /// The proxy behind `to` serves no more.
    pub async fn abandoned(&self, to: &mpsc::Sender<Outgoing>) {
        let _turn = self.wanted.lock().await;
        let mut serving = self.serving.write().unwrap_or_else(PoisonError::into_inner);
        if matches!(&*serving, Serving::Away(current) if current.same_channel(to)) {
            *serving = Serving::Nobody;
            self.asking().clear();
        }
    }

    /// What whoever serves has counted; `None` where it does not say.
    pub async fn counts(&self) -> Option<Vec<Counted>> {
        let (asked, answer) = oneshot::channel();
        {
            // Answers come in the order of questions.
            let _turn = self.wanted.lock().await;
            let to = match self.current() {
                Serving::Nobody | Serving::Idle => return Some(Vec::new()),
                Serving::Here(plane) => return Some(counted(&plane)),
                Serving::Away(to) => to,
            };
            let question = to.reserve().await.ok()?;
            self.asking().push_back(asked);
            question.send((Down::Count, Vec::new()));
        }
        tokio::time::timeout(COUNTING, answer).await.ok()?.ok()
    }

    /// What a proxy answers.
    pub fn take_counts(&self, counts: Vec<Counted>) {
        if let Some(asking) = self.asking().pop_front() {
            // Who asked may have gone.
            let _ = asking.send(counts);
        }
    }

    fn asking(&self) -> std::sync::MutexGuard<'_, VecDeque<oneshot::Sender<Vec<Counted>>>> {
        self.asking.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves a balancer by this table from now on. Answers whether every listener is open that may
    /// be; otherwise the table is to be applied again.
    pub async fn apply(&self, balancer: Arc<Balancer>) -> bool {
        let mut wanted = self.wanted.lock().await;
        let before = wanted.balancers.insert(balancer.arn.clone(), balancer.clone());
        let spots = spots_of(&balancer);
        let gone = before.map(|before| self.spots.release(&before, &spots)).unwrap_or_default();
        match self.current() {
            Serving::Nobody => {}
            Serving::Idle => {
                if let Err(error) = self.begin(&wanted).await {
                    tracing::error!(%error, "load balancers are not served");
                }
            }
            Serving::Here(plane) => serve(&plane, balancer).await,
            Serving::Away(to) => {
                take_away(&to, &mut wanted, gone).await;
                self.hand_over(&to, &mut wanted, &balancer).await;
            }
        }
        self.spots.are_open(&spots)
    }

    /// Opens and closes a balancer's listeners at its alias as its security groups say. Answers whether
    /// they are as they were; otherwise the table is to be applied again.
    pub async fn open_at_alias(&self, balancer: &Balancer, is_open: impl Fn(u16) -> bool) -> bool {
        if self.spots.open_at_alias(balancer, is_open) {
            return true;
        }
        // A table without the alias closes what is open there; the one that follows opens it.
        let mut apart = balancer.clone();
        apart.place.alias = None;
        if self.wanted.lock().await.balancers.contains_key(&apart.arn) {
            self.apply(Arc::new(apart)).await;
        }
        false
    }

    pub async fn remove(&self, arn: &str) {
        let mut wanted = self.wanted.lock().await;
        let Some(before) = wanted.balancers.remove(arn) else { return };
        let gone = self.spots.release(&before, &BTreeSet::new());
        match self.current() {
            Serving::Nobody | Serving::Idle => {}
            Serving::Here(plane) => plane.remove(arn).await,
            Serving::Away(to) => {
                take_away(&to, &mut wanted, gone).await;
                let _ = to.send((Down::Gone(arn.into()), Vec::new())).await;
            }
        }
    }

    pub async fn certificate(&self, certificate: Certificate) {
        let mut wanted = self.wanted.lock().await;
        wanted.certificates.insert(certificate.arn.clone(), certificate.clone());
        match self.current() {
            Serving::Nobody | Serving::Idle => {}
            Serving::Here(plane) => certify(&plane, &certificate),
            Serving::Away(to) => drop(to.send((certificate.into(), Vec::new())).await),
        }
    }

    /// Forgets every certificate, and its key, that is not among these.
    pub async fn retain_certificates(&self, used: &BTreeSet<Arc<str>>) {
        let mut wanted = self.wanted.lock().await;
        let unused: Vec<_> = wanted.certificates.keys().filter(|arn| !used.contains(*arn)).cloned().collect();
        for arn in unused {
            wanted.certificates.remove(&arn);
            match self.current() {
                Serving::Nobody | Serving::Idle => {}
                Serving::Here(plane) => plane.forget_certificate(&arn),
                Serving::Away(to) => drop(to.send((Down::Forget(arn), Vec::new())).await),
            }
        }
    }

    /// Serves a connection that came in through the one port.
    pub fn adopt(&self, stream: TcpStream, read: Vec<u8>, balancer: &str, port: u16) {
        match &*self.serving() {
            Serving::Nobody | Serving::Idle => {}
            Serving::Here(plane) => plane.adopt(stream, read.into(), balancer, port),
            Serving::Away(to) => {
                let adopted = Down::Adopt { balancer: balancer.into(), port, read };
                // A proxy that does not keep up gets no more of them.
                let _ = to.try_send((adopted, vec![stream.into()]));
            }
        }
    }

    /// Ends what is served here, requests under way within `within`. A proxy goes on.
    pub async fn close(&self, within: Duration) {
        if let Serving::Here(plane) = self.hand(Serving::Nobody)
            && let Some(plane) = Arc::into_inner(plane)
        {
            plane.close(within).await;
        }
    }

    fn serving(&self) -> std::sync::RwLockReadGuard<'_, Serving> {
        self.serving.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn current(&self) -> Serving {
        self.serving().clone()
    }

    /// Gives a proxy the sockets of a balancer that it lacks, then the table.
    async fn hand_over(&self, to: &mpsc::Sender<Outgoing>, wanted: &mut Wanted, balancer: &Arc<Balancer>) {
        let missing = spots_of(balancer).into_iter().filter(|spot| !wanted.given.contains(spot));
        for spot in missing.collect::<Vec<_>>() {
            let at = SocketAddrV4::new(spot.address, spot.port);
            // A spot that cannot be opened has said so; the others are served all the same.
            if Sockets::listen(&*self.spots, &balancer.place, at, self.make.workers).await.is_err() {
                continue;
            }
            if let Ok(sockets) = self.spots.share(&spot) {
                let _ = to.send((Down::Sockets(spot.clone()), sockets)).await;
                wanted.given.insert(spot);
            }
        }
        let _ = to.send((Down::Table(Box::new((**balancer).clone())), Vec::new())).await;
    }
}

async fn take_away(to: &mpsc::Sender<Outgoing>, wanted: &mut Wanted, gone: Vec<Spot>) {
    for spot in gone {
        if wanted.given.remove(&spot) {
            let _ = to.send((Down::Closed(spot), Vec::new())).await;
        }
    }
}

fn certify(plane: &Plane, certificate: &Certificate) {
    if let Err(error) = plane.certificate(certificate) {
        tracing::warn!(certificate = %certificate.arn, %error, "a certificate cannot be used");
    }
}

async fn serve(plane: &Plane, balancer: Arc<Balancer>) {
    let arn = balancer.arn.clone();
    match plane.apply(balancer).await {
        // Whoever opens sockets says why one is not open.
        Ok(()) | Err(ApplyError::Listen { .. }) => {}
        Err(error) => {
            let error = anyhow::Error::new(error);
            tracing::warn!(balancer = %arn, error = %format_args!("{error:#}"), "a load balancer is not served");
        }
    }
}

/// Lets requests under way end on a plane that nobody asks any more.
async fn part(mut plane: Arc<Plane>) {
    loop {
        match Arc::try_unwrap(plane) {
            Ok(last) => return last.close(PARTING).await,
            // Somebody is just handing it a connection.
            Err(shared) => plane = shared,
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
