//! `--instance CLUSTER`: this machine as a container instance of a cluster.

use anyhow::{Context, Result};
use link::HostId;
use service::Platform;
use service_ec2::instances as machine;
use service_ecs::instances::{self, Joining};
use vpc::{VpcKey, VpcSpec};

use crate::host::{LOCAL, VpcNetwork};
use crate::options::Instance;

/// Registers this machine as `instance`, or, without one, lets go of what it was registered as: its
/// tasks go on, and it takes no new ones.
pub async fn settle(platform: &Platform, instance: Option<&Instance>) -> Result<()> {
    let host = HostId(LOCAL.into());
    let Some(Instance { cluster, gpus }) = instance else {
        instances::leave(platform, &host).await.context("the container instances cannot be written")?;
        return machine::leave(platform).await.context("the instances cannot be written");
    };
    let (account, region) = instances::home_of(cluster).with_context(|| format!("--instance {cluster}"))?;
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    let joining = Joining {
        cluster: cluster.clone(),
        host,
        instance_id: machine::known(&platform.store().snapshot(), &account, &region),
        cpu: u32::try_from(cpus * 1024).unwrap_or(u32::MAX),
        memory_mib: memory_mib().context("this machine's memory cannot be read")?,
        gpus: gpus.clone(),
        architecture: architecture(),
        version: String::from(env!("CARGO_PKG_VERSION")),
    };
    let joined = instances::join(platform, joining).await.with_context(|| format!("--instance {cluster}"))?;
    if joined.is_cluster_new {
        tracing::info!(cluster, "made the cluster");
    }
    let known = machine::Host {
        account,
        region,
        instance_id: joined.ec2_instance_id,
        architecture: String::from(architecture()),
    };
    machine::settle(platform, known).await.context("this machine's network interface")?;
    tracing::info!(cluster, instance = joined.instance_arn, "this machine is a container instance");
    Ok(())
}

/// Lets the machine stand in its VPC as the instance that it is, if it is one: there its address
/// leads to its ports. Where it is one no more, it leads nowhere.
pub async fn stand(platform: &Platform, network: &VpcNetwork) -> Result<()> {
    let records = platform.store().snapshot();
    let places = machine::places(&records);
    for left in machine::left(&records) {
        let key = key_of(&left);
        if !places.iter().any(|place| key_of(place) == key) {
            network.leave(&key).await.context("this machine's address in a VPC cannot be taken away")?;
        }
    }
    for place in places {
        let spec = VpcSpec { key: key_of(&place), cidr: place.vpc_cidr, on_host: place.on_host };
        network
            .stand(spec, place.address, &place.security_groups)
            .await
            .with_context(|| format!("this machine has no address in its VPC ({})", place.address))?;
    }
    Ok(())
}

fn key_of(place: &machine::Place) -> VpcKey {
    VpcKey { account: place.account.clone(), region: place.region.clone(), vpc: place.vpc.clone() }
}

/// As the API names it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "aarch64" => "arm64",
        other => other,
    }
}

/// All of this machine's memory, in MiB.
fn memory_mib() -> Result<u32> {
    let text = std::fs::read_to_string("/proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    let kib = kib.context("/proc/meminfo has no MemTotal")?;
    Ok(u32::try_from(kib / 1024).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_machine_has_memory() {
        assert!(super::memory_mib().unwrap() > 64);
    }
}
