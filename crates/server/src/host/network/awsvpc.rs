//! Network mode `awsvpc`: an interface of the task's own, and what listens inside each VPC: the one
//! port, the endpoint of tasks, the resolver.

use std::net::SocketAddrV4;

use agent::{Attached, NetworkError};
use base::Region;
use core_addresses::{Cidr, resolver_of};
use core_lifecycle::{Assignment, Interface};
use runtime::Place;
use vpc::dns::{Resolver, Zone, name_servers};
use vpc::{InterfaceSpec, PLATFORM, VpcKey, VpcSpec};

use super::doors::{Doorway, ENDPOINT_PORT, PLATFORM_PORT};
use super::{VpcNetwork, failed, unserved};

const DNS_PORT: u16 = 53;

impl VpcNetwork {
    pub(super) async fn attach_interface(
        &self,
        task: &Assignment,
        interface: &Interface,
    ) -> Result<Attached, NetworkError> {
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
    }

    /// Makes the VPC with what listens in it: the one port, the endpoint of tasks, the resolver.
    pub(super) async fn open(&self, spec: VpcSpec) -> Result<(), NetworkError> {
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
        let doorway = Doorway::Vpc(key.clone());
        // Whoever waits for this may go at any await: until all are there, they close with it.
        let platform = self.vpcs.listen(&key, SocketAddrV4::new(PLATFORM, PLATFORM_PORT));
        let platform = platform.await.map_err(failed)?;
        let endpoint = self.vpcs.listen(&key, SocketAddrV4::new(PLATFORM, ENDPOINT_PORT));
        let endpoint = endpoint.await.map_err(failed)?;
        let udp = self.vpcs.bind_udp(&key, SocketAddrV4::new(resolver, DNS_PORT)).await.map_err(failed)?;
        let tcp = self.vpcs.listen(&key, SocketAddrV4::new(resolver, DNS_PORT)).await.map_err(failed)?;
        self.doors.platform(platform, &doorway).map_err(unserved)?;
        self.doors.endpoint(endpoint, doorway).map_err(unserved)?;
        self.spawn_resolver(spec, udp, tcp);
        open.insert(key);
        Ok(())
    }

    fn spawn_resolver(&self, spec: VpcSpec, udp: std::net::UdpSocket, tcp: std::net::TcpListener) {
        let servers = std::fs::read_to_string("/etc/resolv.conf").map(|text| name_servers(&text));
        let region = Region::parse(&spec.key.region).unwrap_or_else(Region::default_region);
        let zone = Zone { vpc: spec.key.clone(), region, cidr: spec.cidr };
        let resolver = Resolver::new(zone, self.names.clone(), servers.unwrap_or_default());
        self.doors.listen_at(&Doorway::Vpc(spec.key.clone()), async move {
            if let Err(error) = resolver.serve(udp, tcp).await {
                tracing::error!(vpc = %spec.key, %error, "the resolver of a VPC has ended");
            }
        });
    }
}

fn key(task: &Assignment, interface: &Interface) -> VpcKey {
    VpcKey { account: task.account.clone(), region: task.region.clone(), vpc: interface.vpc.clone() }
}

pub(super) fn parsed<T: std::str::FromStr>(text: &str) -> Result<T, NetworkError> {
    text.parse().map_err(|_| NetworkError::Interface(format!("'{text}' is not a network address")))
}
