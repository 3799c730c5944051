//! Tasks' networks in every mode, and what listens for them at 169.254.170.2.

mod awsvpc;
mod bridge;
mod doors;
mod faults;
mod names;
mod places;
mod ports;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use agent::{Attached, Network, NetworkError, Own};
use core_lifecycle::{Assignment, ContainerSpec, NetworkMode};
use gateway::Gateway;
use runtime::{Pending, Place};
use tokio::sync::watch;
use vpc::{VpcKey, Vpcs};

use doors::Doors;
pub use doors::{Doorway, ServeTasks};
use names::HostFiles;
pub use places::{KnownNames, told, vpc_of};

/// How often the host's rules are looked at: one question to the kernel.
const MEND_EVERY: Duration = Duration::from_secs(10);

/// Networks of the linux runtime.
pub struct VpcNetwork {
    vpcs: Vpcs,
    doors: Doors,
    /// VPCs whose listeners this process has opened. Held while they are opened.
    open: tokio::sync::Mutex<HashSet<VpcKey>>,
    /// Whether it has opened those on the host, too.
    is_host_open: tokio::sync::Mutex<bool>,
    /// Why the host does not reach the VPC that it should, where that is so.
    unreachable: Mutex<Option<String>>,
    names: Arc<KnownNames>,
}

impl VpcNetwork {
    pub fn new(vpcs: Vpcs, stop: watch::Receiver<bool>) -> Arc<Self> {
        let doors = Doors::new(stop);
        doors.spawn_until_stop(mend(vpcs.clone()));
        Arc::new(VpcNetwork {
            vpcs,
            doors,
            open: tokio::sync::Mutex::default(),
            is_host_open: tokio::sync::Mutex::default(),
            unreachable: Mutex::default(),
            names: Arc::default(),
        })
    }

    /// Serves the one port to tasks from now on. Before that, their connections wait.
    pub fn serve(&self, gateway: Gateway) {
        self.doors.serve_platform(gateway);
    }

    /// Serves 169.254.170.2:80 to tasks from now on. Before that, their connections wait.
    pub fn serve_tasks(&self, tasks: ServeTasks) {
        self.doors.serve_tasks(tasks);
    }

    /// Removes what tasks have left of which the agent has no note in `notes`, as when the data
    /// directory was put back to an earlier state. To be called before the agent is told of others.
    pub async fn sweep(&self, notes: &Path) {
        let entries = std::fs::read_dir(notes).into_iter().flatten().flatten();
        let known: BTreeSet<String> =
            entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        if let Err(error) = self.vpcs.retain_tasks(known).await {
            let error = anyhow::Error::new(error);
            tracing::warn!(error = %format_args!("{error:#}"), "interfaces of tasks that are gone cannot be removed");
        }
    }

    /// What an operator should know about the network.
    pub fn warning(&self) -> Option<String> {
        let unreachable = self.unreachable.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // Looked at when somebody asks: firewalls come and go.
        unreachable.or_else(wall)
    }

    /// AWS: `host` and `bridge` report the ports of the host that lead to containers, `awsvpc`
    /// none: there a container's ports are its interface's.
    async fn attach_host(&self, task: &Assignment) -> Result<Attached, NetworkError> {
        self.open_host().await?;
        let host = HostFiles::read();
        let place = |container: Option<&ContainerSpec>| Place {
            network: runtime::Network::Host,
            hostname: names::host_hostname(container.map(|one| &one.names)),
            resolv_conf: names::resolv_conf_on_host(&host, container.map(|one| &one.names)),
            hosts: names::hosts_on_host(&host, container.map(|one| &one.names)),
        };
        let own = |one: &ContainerSpec| (one.name.clone(), Own { place: place(Some(one)), address: None });
        let bindings = |one: &ContainerSpec| (one.name.clone(), ports::bindings(&ports::on_host(&one.ports)));
        Ok(Attached {
            address: None,
            shared: place(None),
            own: task.containers.iter().map(own).collect(),
            bindings: task.containers.iter().map(bindings).collect(),
        })
    }

    fn attach_nothing(task: &Assignment) -> Attached {
        let host = HostFiles::read();
        let own = |one: &ContainerSpec| (one.name.clone(), isolated(task, one, &host));
        Attached { own: task.containers.iter().map(own).collect(), ..Attached::default() }
    }
}

/// Brings the host's rules back where somebody flushes them, as restarts of some firewalls do.
async fn mend(vpcs: Vpcs) {
    loop {
        tokio::time::sleep(MEND_EVERY).await;
        match vpcs.mend().await {
            Ok(false) => {}
            Ok(true) => tracing::warn!("rules of tasks' networks had been deleted and are written again"),
            Err(vpc::VpcError::Closed) => return,
            Err(error) => {
                tracing::warn!(error = %format_args!("{:#}", anyhow::Error::new(error)), "rules of tasks' networks cannot be looked at");
            }
        }
    }
}

/// Which firewall of the machine is in the way, where there is one.
fn wall() -> Option<String> {
    let found = vpc::firewalls().unwrap_or_default();
    let chain = &found.first()?.chain;
    Some(format!(
        "tasks do not reach the outside, nor the outside published ports: the machine's firewall ({chain}) drops \
         what it forwards; `boxship doctor` has the mend"
    ))
}

/// A container with loopback only.
fn isolated(task: &Assignment, container: &ContainerSpec, host: &HostFiles) -> Own {
    let hostname = names::hostname(&task.task_id, container);
    let place = Place {
        network: runtime::Network::Empty,
        resolv_conf: names::resolv_conf(host, &container.names),
        hosts: names::hosts(None, &hostname, &container.names, &BTreeMap::new()),
        hostname,
    };
    Own { place, address: None }
}

/// The error with its causes: the kernel's own word is in the last.
fn failed(error: vpc::VpcError) -> NetworkError {
    NetworkError::Interface(format!("{:#}", anyhow::Error::new(error)))
}

fn unserved(error: std::io::Error) -> NetworkError {
    NetworkError::Interface(format!("a listener cannot be served: {error}"))
}

impl Network for VpcNetwork {
    fn attach<'a>(&'a self, task: &'a Assignment) -> Pending<'a, Result<Attached, NetworkError>> {
        Box::pin(async move {
            match task.network_mode {
                NetworkMode::Awsvpc => match &task.interface {
                    Some(interface) => self.attach_interface(task, interface).await,
                    None => Ok(Attached::default()),
                },
                NetworkMode::Bridge => self.attach_bridged(task).await,
                NetworkMode::Host => self.attach_host(task).await,
                NetworkMode::None => Ok(VpcNetwork::attach_nothing(task)),
            }
        })
    }

    fn detach<'a>(&'a self, task: &'a Assignment) -> Pending<'a, Result<(), NetworkError>> {
        Box::pin(async move {
            match (task.network_mode, &task.interface) {
                (NetworkMode::Awsvpc, Some(interface)) => {
                    self.vpcs.detach(&interface.eni).await.map_err(failed)
                }
                (NetworkMode::Bridge, _) => self.vpcs.detach_bridged(&task.task_id).await.map_err(failed),
                (NetworkMode::Host, _) => self.vpcs.leave_host(&task.task_id).await.map_err(failed),
                (NetworkMode::Awsvpc | NetworkMode::None, _) => Ok(()),
            }
        })
    }
}

/// The simulated runtime's: addresses are only said, and ports are those that were asked for.
pub struct NoNetwork;

impl Network for NoNetwork {
    fn attach<'a>(&'a self, task: &'a Assignment) -> Pending<'a, Result<Attached, NetworkError>> {
        let address = task.interface.as_ref().map(|interface| interface.address);
        let bindings = match task.network_mode {
            NetworkMode::Awsvpc | NetworkMode::None => BTreeMap::new(),
            NetworkMode::Bridge | NetworkMode::Host => ports::simulated(task),
        };
        Box::pin(async move { Ok(Attached { address, bindings, ..Attached::default() }) })
    }

    fn detach<'a>(&'a self, _: &'a Assignment) -> Pending<'a, Result<(), NetworkError>> {
        Box::pin(async { Ok(()) })
    }
}
