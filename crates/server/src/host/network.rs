//! Tasks' interfaces, and what listens inside each VPC: the one port and the resolver.

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::{Arc, OnceLock};

use agent::{Attached, Network, NetworkError};
use base::Region;
use core_addresses::{Cidr, resolver_of};
use core_lifecycle::{Assignment, Interface};
use gateway::Gateway;
use runtime::{Pending, Place};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinSet;
use vpc::dns::{Names, Resolver, Zone, name_servers};
use vpc::{InterfaceSpec, PLATFORM, VpcKey, VpcSpec, Vpcs};

/// The port at [`PLATFORM`], whatever the port on the host.
const PLATFORM_PORT: u16 = 4566;
const DNS_PORT: u16 = 53;

/// Networks of the linux runtime.
pub struct VpcNetwork {
    vpcs: Vpcs,
    gateway: OnceLock<Gateway>,
    stop: watch::Receiver<bool>,
    /// VPCs whose listeners this process has opened. Held while they are opened.
    open: Mutex<HashSet<VpcKey>>,
    /// Why the host does not reach the VPC that it should, where that is so.
    unreachable: std::sync::Mutex<Option<String>>,
    scope: std::sync::Mutex<JoinSet<()>>,
}

/// No balancer or service discovery has names yet.
struct NoNames;

impl Names for NoNames {
    fn addresses(&self, _: &VpcKey, _: &str) -> Option<Vec<Ipv4Addr>> {
        None
    }
}

impl VpcNetwork {
    pub fn new(vpcs: Vpcs, stop: watch::Receiver<bool>) -> Arc<Self> {
        Arc::new(VpcNetwork {
            vpcs,
            gateway: OnceLock::new(),
            stop,
            open: Mutex::default(),
            unreachable: std::sync::Mutex::default(),
            scope: std::sync::Mutex::default(),
        })
    }

    /// Serves the one port inside VPCs from now on. Before that, tasks are attached without it.
    pub fn serve(&self, gateway: Gateway) {
        // Set once, at start: a second gateway would be a mistake of the wiring.
        let _ = self.gateway.set(gateway);
    }

    /// What an operator should know about the network.
    pub fn warning(&self) -> Option<String> {
        self.unreachable.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    async fn open(&self, spec: VpcSpec) -> Result<(), NetworkError> {
        let mut open = self.open.lock().await;
        let key = spec.key.clone();
        let ensured = self.vpcs.ensure(spec.clone()).await.map_err(failed)?;
        if let vpc::HostRoute::Taken(why) = &ensured.host_route {
            let shown = format!(
                "tasks' addresses are not reachable from the host, which has another route or address there \
                 ({why}): another Boxship, perhaps"
            );
            *self.unreachable.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(shown);
            tracing::warn!(vpc = %key, why, "the host does not reach this VPC by a route");
        }
        if open.contains(&key) && !ensured.is_new {
            return Ok(());
        }
        let resolver = resolver_of(spec.cidr);
        let platform =
            self.vpcs.listen(&key, SocketAddrV4::new(PLATFORM, PLATFORM_PORT)).await.map_err(failed)?;
        let udp = self.vpcs.bind_udp(&key, SocketAddrV4::new(resolver, DNS_PORT)).await.map_err(failed)?;
        let tcp = self.vpcs.listen(&key, SocketAddrV4::new(resolver, DNS_PORT)).await.map_err(failed)?;
        self.spawn_gateway(platform, &key)?;
        self.spawn_resolver(spec, udp, tcp);
        open.insert(key);
        Ok(())
    }

    fn spawn_gateway(&self, listener: std::net::TcpListener, key: &VpcKey) -> Result<(), NetworkError> {
        let Some(gateway) = self.gateway.get().cloned() else { return Ok(()) };
        let listener =
            tokio::net::TcpListener::from_std(listener).map_err(|e| NetworkError::Interface(e.to_string()))?;
        let (name, stop) = (key.to_string(), self.stop.clone());
        self.spawn(async move { gateway.serve_vpc(listener, &name, stop).await });
        Ok(())
    }

    fn spawn_resolver(&self, spec: VpcSpec, udp: std::net::UdpSocket, tcp: std::net::TcpListener) {
        let servers = std::fs::read_to_string("/etc/resolv.conf").map(|text| name_servers(&text));
        let region = Region::parse(&spec.key.region).unwrap_or_else(Region::default_region);
        let zone = Zone { vpc: spec.key.clone(), region, cidr: spec.cidr };
        let resolver = Resolver::new(zone, Arc::new(NoNames), servers.unwrap_or_default());
        let mut stop = self.stop.clone();
        self.spawn(async move {
            tokio::select! {
                served = resolver.serve(udp, tcp) => {
                    if let Err(error) = served {
                        tracing::error!(vpc = %spec.key, %error, "the resolver of a VPC has ended");
                    }
                }
                _ = stop.wait_for(|stop| *stop) => {}
            }
        });
    }

    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let mut scope = self.scope.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        while scope.try_join_next().is_some() {}
        scope.spawn(work);
    }
}

/// The error with its causes: the kernel's own word is in the last.
fn failed(error: vpc::VpcError) -> NetworkError {
    NetworkError::Interface(format!("{:#}", anyhow::Error::new(error)))
}

fn key(task: &Assignment, interface: &Interface) -> VpcKey {
    VpcKey { account: task.account.clone(), region: task.region.clone(), vpc: interface.vpc.clone() }
}

fn parsed<T: std::str::FromStr>(text: &str) -> Result<T, NetworkError> {
    text.parse().map_err(|_| NetworkError::Interface(format!("'{text}' is not a network address")))
}

impl Network for VpcNetwork {
    fn attach<'a>(&'a self, task: &'a Assignment) -> Pending<'a, Result<Attached, NetworkError>> {
        Box::pin(async move {
            let Some(interface) = &task.interface else { return Ok(Attached::default()) };
            let (vpc_cidr, subnet): (Cidr, Cidr) =
                (parsed(&interface.vpc_cidr)?, parsed(&interface.subnet_cidr)?);
            let key = key(task, interface);
            self.open(VpcSpec { key: key.clone(), cidr: vpc_cidr, on_host: interface.on_host }).await?;
            let attached = self.vpcs.attach(InterfaceSpec {
                eni: interface.eni.clone(),
                vpc: key,
                address: interface.address,
                mac: parsed(&interface.mac)?,
                subnet,
                security_groups: interface.security_groups.clone(),
                is_public: interface.public,
                task: task.task_id.clone(),
            });
            let netns = attached.await.map_err(failed)?.netns;
            let region = Region::parse(&task.region).unwrap_or_else(Region::default_region);
            let files = vpc::task_files(vpc_cidr, interface.address, &region);
            let shared = Place {
                network: runtime::Network::Join(netns),
                hostname: files.hostname.trim().to_owned(),
                resolv_conf: files.resolv_conf,
                hosts: files.hosts,
            };
            Ok(Attached { address: Some(interface.address), shared, ..Attached::default() })
        })
    }

    fn detach<'a>(&'a self, task: &'a Assignment) -> Pending<'a, Result<(), NetworkError>> {
        Box::pin(async move {
            match &task.interface {
                Some(interface) => self.vpcs.detach(&interface.eni).await.map_err(failed),
                None => Ok(()),
            }
        })
    }
}

/// The simulated runtime's: addresses are only said.
pub struct NoNetwork;

impl Network for NoNetwork {
    fn attach<'a>(&'a self, task: &'a Assignment) -> Pending<'a, Result<Attached, NetworkError>> {
        let address = task.interface.as_ref().map(|interface| interface.address);
        Box::pin(async move { Ok(Attached { address, ..Attached::default() }) })
    }

    fn detach<'a>(&'a self, _: &'a Assignment) -> Pending<'a, Result<(), NetworkError>> {
        Box::pin(async { Ok(()) })
    }
}
