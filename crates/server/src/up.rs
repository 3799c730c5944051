//! `boxship up`: everything in one process.

use std::fs::Permissions;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use authority::Seal;
use base::clock::{self as wall_clock, Clock};
use blobs::Blobs;
use cli::RunFile;
use control::Controllers;
use gateway::{Admission, Auth, Gateway, GatewayOptions, Routes, TlsDoor};
use journal::Journal;
use link::Desired;
use service::{Platform, PlatformBuilder};
use service_logs::Logs;
use store::{Backend, BackendError, OpenError, Store};
use store_sqlite::Sqlite;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{mpsc, watch};

use crate::admin::Admin;
use crate::balancers::Balancing;
use crate::host::{ContentImages, Host, NoImages, Places, Sink, Up};
use crate::load::Loader;
use crate::loaded::Loaded;
use crate::options::{Options, RuntimeChoice};
use crate::page::Page;
use crate::{clock, instance, secret, shutdown, sweep};

/// The store's fact that says which runtime a data directory belongs to.
const RUNTIME: &str = "runtime";
/// How long requests under way may go on after SIGTERM.
const DRAIN: Duration = Duration::from_secs(20);
/// How long requests to load balancers may go on then.
const PARTING: Duration = Duration::from_secs(10);

/// What people are told.
#[derive(Clone, Copy)]
pub struct Screen {
    /// Everything answers.
    pub ready: fn(&RunFile),
    /// The server ends, and so many tasks run on.
    pub ended: fn(usize),
}

/// Everything that lies in the data directory, open.
struct Data {
    store: Store,
    seal: Arc<Seal>,
    blobs: Blobs,
    logs: Logs,
    clock: Clock,
    ecr: service_ecr::Config,
    ecs: service_ecs::Config,
    sts: service_sts::Config,
    acm: service_acm::Config,
}

/// Connections that the kernel holds until they are accepted. With the usual 128 a burst of clients
/// waits a second, until they ask again.
const BACKLOG: u32 = 4_096;

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Runs the server until a signal ends it.
pub async fn run(options: Options, screen: Screen) -> Result<ExitCode> {
    let listener = listen(options.listen).with_context(|| {
        format!("cannot listen on {}: is another server running? `boxship status` says", options.listen)
    })?;
    let mut options = options;
    options.listen = listener.local_addr()?;
    let stop = shutdown::on_signal()?;
    let data = open(&options)?;
    // By one name, however it was called: names of networks and control groups derive from it, and
    // `boxship down` and `boxship proxy` have to find them.
    options.data_dir = options.data_dir.canonicalize().context("the data directory")?;
    let seed = match options.seed {
        Some(seed) => seed,
        None => u64::from_ne_bytes(secret::random()?),
    };
    let builder = builder(&data.logs, &data.ecr, &data.ecs, &data.sts, &data.acm);
    let platform = builder.build(data.store.clone(), data.clock.clone(), seed);
    claim(&platform, options.runtime).await?;
    let served = serve(&options, &platform, data, listener, stop, screen).await;
    platform.store().shut_down().await;
    RunFile::remove(&options.data_dir);
    served
}

fn builder(
    logs: &Logs,
    ecr: &service_ecr::Config,
    ecs: &service_ecs::Config,
    sts: &service_sts::Config,
    acm: &service_acm::Config,
) -> PlatformBuilder {
    PlatformBuilder::default()
        .issuing(service_sts::keys(sts))
        .with(service_sts::service(sts))
        .with(service_iam::service())
        .with(service_ec2::service())
        .with(service_ecr::service(ecr))
        .with(service_ecs::service(ecs))
        .with(service_acm::service(acm))
        .with(service_elb::service())
        .with(logs.service())
}

/// Every operation that this program has, as lines of API and name.
pub fn operations() -> Result<Vec<String>> {
    let scratch = std::env::temp_dir().join(format!("boxship-operations-{}", std::process::id()));
    let listed = (|| {
        let logs = Logs::new(Arc::new(Journal::open(scratch.join("journal"))?));
        let ecr = service_ecr::Config {
            blobs: Blobs::open(&scratch.join("blobs"))?,
            tokens: service_ecr::Tokens::new(base::Secret::new("")),
            host: "localhost".into(),
            wall: wall_clock::wall,
        };
        let ecs = service_ecs::Config { authority: "localhost".into(), secret: base::Secret::new("") };
        let sts = service_sts::Config { secret: base::Secret::new(""), wall: wall_clock::wall };
        let builder = builder(&logs, &ecr, &ecs, &sts, &acm(&Arc::new(Seal::new(&base::Secret::new("")))));
        let lines = builder.services().iter().flat_map(|service| {
            service
                .operations
                .iter()
                .map(|operation| format!("{} {}", service.api.id, operation.definition.name))
        });
        Ok(lines.collect())
    })();
    // Nothing was kept there.
    let _ = std::fs::remove_dir_all(&scratch);
    listed
}

fn acm(seal: &Arc<Seal>) -> service_acm::Config {
    service_acm::Config { seal: seal.clone(), uses: service_elb::users_of_certificate }
}

fn open(options: &Options) -> Result<Data> {
    let dir = &options.data_dir;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .with_context(|| format!("cannot make the data directory {}", dir.display()))?;
    keep_private(dir).with_context(|| format!("cannot keep {} private", dir.display()))?;
    let mut backend = Sqlite::open(&dir.join("records.db")).map_err(|error| explain(dir, error))?;
    // Before anything else in the directory is touched: it may be another server's.
    backend.hold_lease().map_err(|error| explain(dir, error))?;
    let blobs = Blobs::open(&dir.join("blobs")).context("the blobs cannot be opened")?;
    let journal = Journal::open(dir.join("journal")).context("the journal cannot be opened")?;
    let logs = Logs::new(Arc::new(journal));
    let secret = secret::open(dir)?;
    let seal = Arc::new(Seal::new(&secret));
    let acm = acm(&seal);
    let ecs = service_ecs::Config { authority: authority(options.listen).into(), secret: secret.clone() };
    let sts = service_sts::Config { secret: secret.clone(), wall: wall_clock::wall };
    let ecr = service_ecr::Config {
        blobs: blobs.clone(),
        tokens: service_ecr::Tokens::new(secret),
        host: format!("localhost:{}", options.listen.port()).into(),
        wall: wall_clock::wall,
    };
    let kinds = builder(&logs, &ecr, &ecs, &sts, &acm).kinds().with::<Loaded>();
    let kinds = authority::kinds(kinds);
    let store = Store::open(Box::new(backend), kinds).map_err(|error| match error {
        OpenError::Backend(error) => explain(dir, error),
        other => {
            anyhow::Error::new(other).context(format!("the records in {} cannot be read", dir.display()))
        }
    })?;
    let offset = store.snapshot().meta(clock::OFFSET).and_then(|text| text.parse().ok()).unwrap_or_default();
    let clock = Clock::new(Duration::from_micros(offset));
    Ok(Data { store, seal, blobs, logs, clock, ecr, ecs, sts, acm })
}

/// Where clients on this machine reach the one port.
fn authority(listen: SocketAddr) -> String {
    match listen {
        SocketAddr::V4(at) if at.ip().is_unspecified() => format!("127.0.0.1:{}", at.port()),
        SocketAddr::V6(at) if at.ip().is_unspecified() => format!("[::1]:{}", at.port()),
        named => named.to_string(),
    }
}

/// What lies in the directory is its owner's alone, whoever made the directory and with what mode:
/// records hold environments, the journal holds logs. The directory itself stays as it is: it may
/// be one that others use.
fn keep_private(dir: &Path) -> std::io::Result<()> {
    for name in ["blobs", "journal", "tasks", "agent", "content"] {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir.join(name))?;
        std::fs::set_permissions(dir.join(name), Permissions::from_mode(0o700))?;
    }
    // SQLite gives its other files the mode of the first.
    let database = dir.join("records.db");
    std::fs::OpenOptions::new().create(true).append(true).mode(0o600).open(&database)?;
    for name in ["records.db", "records.db-wal", "records.db-shm", "boxship.log"] {
        match std::fs::set_permissions(dir.join(name), Permissions::from_mode(0o600)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn explain(dir: &Path, error: BackendError) -> anyhow::Error {
    let shown = dir.display().to_string();
    match &error {
        BackendError::Held { by } => anyhow::anyhow!(
            "{shown} is in use by another server ({by}). One server per data directory: stop it with \
             `boxship down`, or choose another --data-dir"
        ),
        _ => match rustix::fs::access(dir, rustix::fs::Access::WRITE_OK) {
            Ok(()) => anyhow::Error::new(error).context(format!("the records in {shown} cannot be opened")),
            // SQLite does not say why.
            Err(cause) => anyhow::anyhow!("the data directory {shown} cannot be written: {cause}"),
        },
    }
}

/// A data directory belongs to one runtime.
async fn claim(platform: &Platform, runtime: RuntimeChoice) -> Result<()> {
    let before = platform.store().snapshot().meta(RUNTIME);
    match before.as_deref() {
        Some(before) if before == runtime.name() => Ok(()),
        Some(before) => bail!(
            "this data directory belongs to the {before} runtime; start with --runtime {before}, or choose another --data-dir"
        ),
        None => {
            let written = platform.store().write("Claim", move |tx| {
                tx.set_meta(RUNTIME, runtime.name());
                Ok::<(), std::convert::Infallible>(())
            });
            written.await.context("the records cannot be written")
        }
    }
}

async fn serve(
    options: &Options,
    platform: &Platform,
    data: Data,
    listener: TcpListener,
    stop: watch::Receiver<bool>,
    screen: Screen,
) -> Result<ExitCode> {
    let places = Places::of(&options.data_dir);
    let content = match options.runtime {
        RuntimeChoice::Linux => {
            Some(Arc::new(ContentImages::open(options, &places, platform, &data.ecr, &data.blobs)?))
        }
        RuntimeChoice::Simulated => None,
    };
    let images: Arc<dyn agent::Images> = match &content {
        Some(content) => content.clone(),
        None => Arc::new(NoImages),
    };
    let up = Up {
        options,
        platform: platform.clone(),
        images,
        logs: Arc::new(Sink::new(platform.clone(), data.logs.clone())),
        stop: stop.clone(),
    };
    let (host, orders) = Host::start(up).await?;
    let host = Arc::new(host);
    // Before any task starts: security groups filter it from its first packet on.
    let sealed = (data.seal.clone(), &data.ecs.secret);
    let balancers = Balancing::start(platform, sealed, host.network(), &options.data_dir, stop.clone()).await;
    // `boxship down` has ended everything; now it comes back.
    service_ecs::tasks::resume(platform).await?;
    let engine = controllers(platform, orders, options.runtime);
    instance::settle(platform, options.instance.as_ref()).await?;
    if let Some(network) = host.network() {
        instance::stand(platform, &network).await?;
    }
    let admin = Arc::new(Admin {
        platform: platform.clone(),
        options: options.clone(),
        host: host.clone(),
        engine: engine.clone(),
        pulls: content.as_ref().map(|content| content.pulls()).unwrap_or_default(),
        loader: Loader::new(platform, &data.blobs, &options.data_dir, content.is_some()),
        warnings: warnings(options),
        seal: data.seal.clone(),
        balancers: balancers.clone(),
    });
    let channels = host.data_channels(platform, stop.clone());
    let registry = Arc::new(registry::Registry::new(platform.clone(), &data.ecr));
    let routes = Routes::default()
        .with(session::PATH, channels.clone())
        .with("/v2/", registry)
        .with("/", Arc::new(Page::new(admin.clone())))
        .with("/_boxship/", admin);
    let gateway = gateway(options, platform, routes, balancers.clone(), &data);
    host.serve(&gateway);
    let sweeper = tokio::spawn(sweep::run(platform.clone(), data.logs.clone(), data.blobs.clone()));
    announce(options, screen)?;
    let ended = until_stopped(&gateway, listener, stop, platform, &data.logs).await;
    balancers.close(PARTING).await;
    channels.close().await;
    engine.stop().await;
    sweeper.abort();
    let running = host.running().await;
    host.close().await;
    if running > 0 && options.runtime == RuntimeChoice::Linux {
        (screen.ended)(running);
    }
    ended
}

fn gateway(
    options: &Options,
    platform: &Platform,
    routes: Routes,
    balancers: Arc<Balancing>,
    data: &Data,
) -> Gateway {
    let tls = TlsDoor::new(data.store.clone(), data.seal.clone(), options.listen.ip());
    let limits = GatewayOptions::default();
    Gateway::new(platform.clone(), routes, Some(balancers), Some(tls), admission(options), limits)
}

/// Says that everything answers, to commands and to people.
fn announce(options: &Options, screen: Screen) -> Result<()> {
    let run = RunFile {
        pid: std::process::id(),
        listen: options.listen,
        runtime: options.runtime.name().to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    run.write(&options.data_dir)?;
    for warning in warnings(options) {
        tracing::warn!("{warning}");
    }
    tracing::info!(listen = %options.listen, runtime = run.runtime, data = %options.data_dir.display(), "ready");
    (screen.ready)(&run);
    Ok(())
}

fn controllers(
    platform: &Platform,
    orders: mpsc::Sender<Desired>,
    runtime: RuntimeChoice,
) -> control::Engine {
    // A full queue loses an order; the next pass derives it again.
    let outbox = Arc::new(move |order: Desired| drop(orders.try_send(order)));
    let balancing = service_ecs::Balancing {
        touched: service_elb::touched_target,
        standing: service_elb::target_standing,
        forwarding: service_elb::forwarding,
        has_group: service_elb::has_group,
    };
    let all = service_ecs::controllers(Controllers::new(platform.clone(), outbox), balancing);
    let all = service_elb::controllers(all);
    match runtime {
        RuntimeChoice::Linux => all,
        RuntimeChoice::Simulated => service_elb::simulated(all, service_ecs::unhealthy_at),
    }
    .start()
}

/// Serves until a signal comes, or the store closes: better no answer than one that may be lost.
async fn until_stopped(
    gateway: &Gateway,
    listener: TcpListener,
    mut stop: watch::Receiver<bool>,
    platform: &Platform,
    logs: &Logs,
) -> Result<ExitCode> {
    let serving = gateway.serve(listener, stop.clone());
    let drained = async {
        let _ = stop.wait_for(|stop| *stop).await;
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        () = serving => Ok(ExitCode::SUCCESS),
        () = drained => {
            tracing::warn!("requests were still under way when the time to drain was over");
            Ok(ExitCode::SUCCESS)
        }
        cause = platform.store().closed() => {
            bail!("the records cannot be written any more: {cause}. Tasks run on; start again once the cause is mended")
        }
        () = logs.closed() => {
            bail!("log events cannot be written any more. Tasks run on; start again once the cause is mended")
        }
    }
}

fn admission(options: &Options) -> Admission {
    let own = rustix::process::getuid().as_raw();
    let mut users = vec![0, own];
    users.extend(cli::invoking_user());
    Admission { auth: Auth::Open, users, is_open_to_all: options.is_open_to_all, listen: options.listen }
}

fn warnings(options: &Options) -> Vec<String> {
    let mut warnings = Vec::new();
    if options.runtime == RuntimeChoice::Simulated && options.is_runtime_default {
        warnings.push(format!(
            "no real containers: {}. Tasks are SIMULATED. `boxship doctor` says how to mend it",
            crate::doctor::why_not_linux().unwrap_or_else(|| String::from("this machine cannot run them"))
        ));
    } else if options.runtime == RuntimeChoice::Simulated {
        warnings.push(String::from("tasks are SIMULATED: no container is started"));
    }
    if options.is_open_to_all {
        warnings.push(format!("{} is open to everybody who reaches it", options.listen));
    }
    warnings
}
