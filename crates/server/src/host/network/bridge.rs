//! Network mode `bridge`: a namespace and an address for each container, ports of the host led to
//! them; and the listeners on the host's side that containers and tasks in mode `host` reach.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use agent::{Attached, NetworkError, Own};
use base::Chance;
use core_lifecycle::{Assignment, ContainerSpec};
use runtime::Place;
use vpc::{Bridged, BridgedSpec, Hears, Publish, Transport, VpcError};

use super::doors::{Doorway, ENDPOINT_PORT, PLATFORM_PORT};
use super::names::{self, HostFiles};
use super::{VpcNetwork, failed, isolated, ports, unserved};

impl VpcNetwork {
    pub(super) async fn attach_bridged(&self, task: &Assignment) -> Result<Attached, NetworkError> {
        self.open_host().await?;
        let host = HostFiles::read();
        let mut attached = Attached::default();
        let mut connected = BTreeMap::new();
        for container in &task.containers {
            if container.names.is_network_disabled {
                attached.own.insert(container.name.clone(), isolated(task, container, &host));
                continue;
            }
            let published = ports::on_bridge(&container.ports);
            let bridged = self.vpcs.attach_bridged(BridgedSpec {
                task: task.task_id.clone(),
                container: container.name.clone(),
                ports: published.iter().map(|one| one.publish).collect(),
            });
            let bridged = bridged.await.map_err(|error| refused(task, container, error))?;
            let bound = published.iter().zip(&bridged.ports);
            let bound: Vec<_> = bound.map(|(asked, given)| asked.given(given.host_port)).collect();
            attached.bindings.insert(container.name.clone(), ports::bindings(&bound));
            connected.insert(container.name.clone(), bridged);
        }
        let known: BTreeMap<String, (Ipv4Addr, String)> = task
            .containers
            .iter()
            .filter_map(|one| {
                let address = connected.get(&one.name)?.address;
                Some((one.name.clone(), (address, names::hostname(&task.task_id, one))))
            })
            .collect();
        for container in &task.containers {
            if let Some(bridged) = connected.get(&container.name) {
                let own = connected_place(task, container, bridged, &host, &known);
                attached.own.insert(container.name.clone(), own);
            }
        }
        Ok(attached)
    }

    /// Makes 169.254.170.2 answer on the bridge and on the host itself.
    pub(super) async fn open_host(&self) -> Result<(), NetworkError> {
        let mut is_open = self.is_host_open.lock().await;
        let bridge = self.vpcs.ensure_bridge().await.map_err(failed)?;
        if *is_open && !bridge.is_new {
            return Ok(());
        }
        // Whoever waits for this may go at any await: until all are there, they close with it.
        let mut opened = Vec::new();
        for (hears, doorway) in [(Hears::Bridge, Doorway::Bridge), (Hears::Host, Doorway::Host)] {
            let platform = self.vpcs.listen_on_host(hears, PLATFORM_PORT).await.map_err(failed)?;
            let endpoint = self.vpcs.listen_on_host(hears, ENDPOINT_PORT).await.map_err(failed)?;
            opened.push((platform, endpoint, doorway));
        }
        for (platform, endpoint, doorway) in opened {
            self.doors.platform(platform, &doorway).map_err(unserved)?;
            self.doors.endpoint(endpoint, doorway).map_err(unserved)?;
        }
        tracing::debug!(bridge = bridge.name, subnet = %bridge.subnet, "the bridge is served");
        *is_open = true;
        Ok(())
    }
}

fn connected_place(
    task: &Assignment,
    container: &ContainerSpec,
    bridged: &Bridged,
    host: &HostFiles,
    known: &BTreeMap<String, (Ipv4Addr, String)>,
) -> Own {
    let hostname = names::hostname(&task.task_id, container);
    let place = Place {
        network: runtime::Network::Join(bridged.netns.clone()),
        resolv_conf: names::resolv_conf(host, &container.names),
        hosts: names::hosts(Some(bridged.address), &hostname, &container.names, known),
        hostname,
    };
    Own { place, address: Some(bridged.address) }
}

/// AWS: what Docker says when a port cannot be published, which customers look for.
fn refused(task: &Assignment, container: &ContainerSpec, error: VpcError) -> NetworkError {
    let why = match &error {
        VpcError::PortTaken { port, is_ours: true } => {
            format!("Bind for 0.0.0.0:{port} failed: port is already allocated")
        }
        VpcError::PortTaken { port, is_ours: false } => {
            let protocol = protocol_of(&container.ports, *port);
            format!(
                "Error starting userland proxy: listen {protocol}4 0.0.0.0:{port}: bind: address already in use"
            )
        }
        VpcError::NoPorts { .. } => "all ports are allocated".to_owned(),
        _ => return failed(error),
    };
    let mut chance = Chance::new(0).split(&format!("{}/{}", task.task_id, container.name));
    let name = format!("ecs-{}-{}-{}-{}", task.family, task.revision, container.name, chance.hex(20));
    let cause = format!(
        "driver failed programming external connectivity on endpoint {name} ({}): {why}",
        chance.hex(64)
    );
    NetworkError::Port { container: container.name.clone(), cause }
}

fn protocol_of(mappings: &[core_lifecycle::PortMapping], port: u16) -> &'static str {
    let covers = |publish: &Publish| publish.host_port <= port && port - publish.host_port < publish.count;
    let found = ports::on_bridge(mappings).into_iter().find(|one| covers(&one.publish));
    match found.map(|one| one.publish.transport) {
        Some(Transport::Udp) => "udp",
        Some(Transport::Tcp) | None => "tcp",
    }
}
