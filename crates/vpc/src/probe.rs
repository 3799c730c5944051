//! Whether this machine can make tasks' networks: tried on a network of its own, where nothing of the
//! machine's changes.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

use core_addresses::{DEFAULT_SUBNETS, DEFAULT_VPC, mac_of};

use crate::world::World;
use crate::{BridgedSpec, InterfaceSpec, Publish, Transport, VpcError, VpcKey, VpcSpec, VpcsConfig, apart};

/// What became of an attempt at each.
#[derive(Debug)]
pub struct Probe {
    /// Network mode `awsvpc`.
    pub vpc: Result<(), VpcError>,
    /// Network mode `bridge`, with a published port.
    pub bridge: Result<(), VpcError>,
}

/// Makes one interface in each mode and removes both. `run_dir` is made and removed. Needs root.
///
/// # Errors
/// When not even a network of one's own can be made: [`VpcError::Kernel`].
pub fn probe(run_dir: &Path) -> Result<Probe, VpcError> {
    apart::run(|| {
        let mut world = World::open(&VpcsConfig { run_dir: run_dir.to_owned(), spare: 0 }, Arc::default())?;
        let outcome = Probe { vpc: interface(&mut world), bridge: container(&mut world) };
        world.down()?;
        Ok(outcome)
    })?
}

fn interface(world: &mut World) -> Result<(), VpcError> {
    let key = VpcKey { account: "000000000000".into(), region: "us-east-1".into(), vpc: "vpc-probe".into() };
    world.ensure(VpcSpec { key: key.clone(), cidr: DEFAULT_VPC, on_host: true })?;
    world.attach(InterfaceSpec {
        eni: "eni-probe".into(),
        vpc: key,
        address: Ipv4Addr::new(172, 31, 0, 5),
        mac: mac_of("eni-probe"),
        subnet: DEFAULT_SUBNETS[0],
        security_groups: Vec::new(),
        is_public: true,
        task: "probe".into(),
    })?;
    Ok(())
}

fn container(world: &mut World) -> Result<(), VpcError> {
    let port = |transport| Publish { transport, container_port: 80, host_port: 0, count: 1 };
    let ports = vec![port(Transport::Tcp), port(Transport::Udp)];
    world.attach_bridged(&BridgedSpec { task: "probe".into(), container: "probe".into(), ports })?;
    Ok(())
}
