//! The host's side inside the all-in-one server: runtime, network, images and logs behind the agent.

mod endpoint;
mod images;
mod logs;
mod network;
mod pulls;
mod sessions;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use agent::{Agent, Images, LogSink, Network, NoEndpoint, NoSecrets, Parts};
use anyhow::{Context, Result};
use base::{AccountId, Region};
use gateway::Gateway;
use link::{Desired, HostId, Observed};
use runtime::{Limits, Linux, LinuxOptions, Runtime, SandboxPhase, SandboxRecord, Simulated};
use service::{Caller, Platform};
use session::{DataChannels, OnHost};
use sha2::{Digest, Sha256};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use vpc::{Vpcs, VpcsConfig};

use crate::options::{Options, RuntimeChoice};

pub use images::{ContentImages, NoImages};
pub use logs::Sink;
pub use network::{NoNetwork, VpcNetwork, told, vpc_of};
pub use pulls::Pulls;
use sessions::Recorded;

/// Orders and reports under way between control plane and agent.
const QUEUE: usize = 1_024;
/// Namespaces made ahead.
const SPARE: usize = 4;
/// Tasks started at the same time.
const PARALLEL_STARTS: usize = 16;
/// The name of the one host of an all-in-one server.
pub const LOCAL: &str = "local";

/// A running host.
pub struct Host {
    pub agent: Arc<Agent>,
    pub runtime: Arc<dyn Runtime>,
    pub simulated: Option<Arc<Simulated>>,
    network: Option<Arc<VpcNetwork>>,
    vpcs: Option<Vpcs>,
    /// To see whether any order or report is under way.
    orders: mpsc::Sender<Desired>,
    reports: Arc<Reports>,
    scope: Mutex<JoinSet<()>>,
}

/// Reports on their way into the records.
#[derive(Default)]
struct Reports {
    under_way: AtomicUsize,
}

/// Where the parts of a host lie, all derived from the data directory.
#[derive(Debug, Clone)]
pub struct Places {
    pub tasks: PathBuf,
    pub agent: PathBuf,
    pub content: PathBuf,
    /// On tmpfs: namespaces by bind mount.
    pub run: PathBuf,
    pub cgroup: PathBuf,
}

impl Places {
    pub fn of(data_dir: &Path) -> Self {
        let hash = hex::encode(&Sha256::digest(data_dir.as_os_str().as_encoded_bytes())[..4]);
        Places {
            tasks: data_dir.join("tasks"),
            agent: data_dir.join("agent"),
            content: data_dir.join("content"),
            run: PathBuf::from("/run/boxship").join(&hash),
            cgroup: PathBuf::from(format!("boxship-{hash}")),
        }
    }

    pub fn linux(&self, limits: Limits, oci_runtime: Option<PathBuf>) -> Result<Linux> {
        // The image of this process, whatever lies at its path by now.
        let shim = vec![OsString::from("/proc/self/exe"), OsString::from("shim")];
        let (tasks, cgroup) = (self.tasks.clone(), self.cgroup.clone());
        let options = LinuxOptions { tasks, cgroup, shim, oci_runtime, limits };
        Linux::open(options).context("the container runtime does not start")
    }

    pub fn vpcs(&self, spare: usize) -> Result<Vpcs> {
        Vpcs::open(VpcsConfig { run_dir: self.run.clone(), spare }).context("networks cannot be made")
    }
}

/// What the control plane gives the host.
pub struct Up<'a> {
    pub options: &'a Options,
    pub platform: Platform,
    pub images: Arc<dyn Images>,
    pub logs: Arc<dyn LogSink>,
    pub stop: watch::Receiver<bool>,
}

impl Host {
    /// Opens the runtime that the options name and takes up what runs.
    /// Answers the host and the way for orders to reach it.
    pub async fn start(up: Up<'_>) -> Result<(Host, mpsc::Sender<Desired>)> {
        let places = Places::of(&up.options.data_dir);
        let (orders, received) = mpsc::channel(QUEUE);
        let host = match up.options.runtime {
            RuntimeChoice::Linux => {
                let limits = if up.options.is_limits_advisory { Limits::Advisory } else { Limits::Enforced };
                let runtime: Arc<dyn Runtime> =
                    Arc::new(places.linux(limits, up.options.oci_runtime.clone())?);
                let vpcs = places.vpcs(SPARE)?;
                let network = VpcNetwork::new(vpcs.clone(), up.stop.clone());
                network.sweep(&places.agent).await;
                let tasks = endpoint::open(&up, runtime.clone(), network.clone())?;
                network.serve_tasks(endpoint::serving(tasks.clone(), up.stop.clone()));
                let parts = (runtime.clone(), network.clone() as Arc<dyn Network>, Arc::new(tasks) as _);
                let (agent, reports, scope) = open_agent(&up, &places, parts).await?;
                let (network, vpcs, orders) = (Some(network), Some(vpcs), orders.clone());
                Host {
                    agent,
                    runtime,
                    simulated: None,
                    network,
                    vpcs,
                    orders,
                    reports,
                    scope: Mutex::new(scope),
                }
            }
            RuntimeChoice::Simulated => {
                let clock = up.platform.clock().clone();
                let simulated = Arc::new(Simulated::open(places.tasks.clone(), clock)?);
                let runtime: Arc<dyn Runtime> = simulated.clone();
                let parts = (runtime.clone(), Arc::new(NoNetwork) as _, Arc::new(NoEndpoint) as _);
                let opened = open_agent(&up, &places, parts).await?;
                let (agent, reports, scope) = opened;
                let (simulated, orders) = (Some(simulated), orders.clone());
                Host {
                    agent,
                    runtime,
                    simulated,
                    network: None,
                    vpcs: None,
                    orders,
                    reports,
                    scope: Mutex::new(scope),
                }
            }
        };
        let agent = host.agent.clone();
        let mut scope = host.scope.lock().unwrap_or_else(PoisonError::into_inner);
        scope.spawn(async move { agent.follow(received).await });
        drop(scope);
        Ok((host, orders))
    }

    /// Where ExecuteCommand's sessions are spoken, until `stop` turns true.
    pub fn data_channels(&self, platform: &Platform, stop: watch::Receiver<bool>) -> Arc<DataChannels> {
        let sessions = Arc::new(Recorded(platform.clone()));
        let programs = Arc::new(OnHost(self.runtime.clone()));
        Arc::new(DataChannels::new(sessions, programs, stop, platform.chance()))
    }

    /// Lets tasks reach the one port from now on.
    pub fn serve(&self, gateway: &Gateway) {
        if let Some(network) = &self.network {
            network.serve(gateway.clone());
        }
    }

    /// Where balancers stand; `None` with the simulated runtime.
    pub fn network(&self) -> Option<Arc<VpcNetwork>> {
        self.network.clone()
    }

    /// What an operator should know about the host.
    pub fn warning(&self) -> Option<String> {
        self.network.as_ref()?.warning()
    }

    /// Whether no order and no report is under way, and every task waits for something to happen.
    pub fn is_idle(&self) -> bool {
        self.orders.capacity() == self.orders.max_capacity()
            && self.agent.is_idle()
            && self.reports.under_way.load(Ordering::SeqCst) == 0
    }

    /// When the next task does something by itself.
    pub fn next_due(&self) -> Option<base::Timestamp> {
        self.agent.next_due()
    }

    /// Ends every task, with its networks. For a reset.
    pub async fn wipe(&self) -> Result<()> {
        self.agent.forget_all().await;
        if let Some(vpcs) = &self.vpcs {
            vpcs.retain(BTreeSet::new()).await.context("not every interface could be removed")?;
            vpcs.retain_bridged(BTreeSet::new()).await.context("not every interface could be removed")?;
        }
        Ok(())
    }

    /// Tasks whose containers go on when this process ends.
    pub async fn running(&self) -> usize {
        let known = self.runtime.list().await.unwrap_or_default();
        let is_live = |task: &SandboxRecord| task.containers.iter().any(|container| container.exit.is_none());
        known.iter().filter(|task| task.phase == SandboxPhase::Ready && is_live(task)).count()
    }

    /// Ends the agent; tasks run on.
    pub async fn close(&self) {
        self.agent.close().await;
        self.runtime.close().await;
        let mut scope = std::mem::take(&mut *self.scope.lock().unwrap_or_else(PoisonError::into_inner));
        scope.shutdown().await;
    }
}

async fn open_agent(
    up: &Up<'_>,
    places: &Places,
    (runtime, network, endpoint): (Arc<dyn Runtime>, Arc<dyn Network>, Arc<dyn agent::Endpoint>),
) -> Result<(Arc<Agent>, Arc<Reports>, JoinSet<()>)> {
    let (sender, observations) = mpsc::channel(QUEUE);
    let reports = Arc::new(Reports::default());
    let parts = Parts {
        host: HostId(LOCAL.into()),
        clock: up.platform.clock().clone(),
        dir: places.agent.clone(),
        runtime,
        network,
        images: up.images.clone(),
        logs: up.logs.clone(),
        endpoint,
        secrets: Arc::new(NoSecrets),
        up: sender,
        parallel_starts: PARALLEL_STARTS,
    };
    let agent = Agent::open(parts).await.context("the agent does not start")?;
    let mut scope = JoinSet::new();
    scope.spawn(take_in(up.platform.clone(), observations, reports.clone()));
    Ok((Arc::new(agent), reports, scope))
}

/// Writes what the host sees into the records, in order. A report that fails comes again: the
/// control plane repeats its order until it sees the effect.
async fn take_in(platform: Platform, mut observations: mpsc::Receiver<Observed>, reports: Arc<Reports>) {
    loop {
        // Those in the channel count as under way, too.
        reports.under_way.store(observations.len(), Ordering::SeqCst);
        let Some(observed) = observations.recv().await else { return };
        reports.under_way.store(1, Ordering::SeqCst);
        let arn = base::Arn::parse(&observed.task).ok();
        let account = arn.as_ref().and_then(|arn| AccountId::parse(arn.account()));
        let region = arn.as_ref().and_then(|arn| Region::parse(arn.region()));
        let caller = Caller::platform(
            "ecs.amazonaws.com",
            account.unwrap_or_else(AccountId::default_account),
            region.unwrap_or_else(Region::default_region),
        );
        let task = observed.task.clone();
        if let Err(fault) = platform.observe(caller, observed).await {
            tracing::error!(%task, %fault, "a report could not be written");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}
