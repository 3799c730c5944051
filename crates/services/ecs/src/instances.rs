//! Hosts of ours as container instances: a host joins a cluster through the API, as an agent would,
//! and is connected for as long as somebody says so.

use aws_ecs as aws;
use aws_ecs::op;
use base::{AccountId, Arn, Fault, Region};
use link::HostId;
use service::{Caller, Platform, Tx};
use store::Key;

use crate::behaviour::capability;
use crate::state::cluster::Cluster;
use crate::state::instance::{BY_HOST, ContainerInstance, InstanceId};

/// A host that wants to carry the tasks of a cluster.
#[derive(Debug, Clone)]
pub struct Joining {
    /// A name, in the default account and region, or an ARN.
    pub cluster: String,
    pub host: HostId,
    /// As which instance EC2 knows it in that account and region, `i-…`: what it is where it was not
    /// in the cluster before. `None`: a new one.
    pub instance_id: Option<String>,
    /// Units: 1024 are one vCPU.
    pub cpu: u32,
    pub memory_mib: u32,
    /// Ids of devices.
    pub gpus: Vec<String>,
    /// As the API names it: `x86_64`, `arm64`.
    pub architecture: &'static str,
    /// Of the program that answers for the host.
    pub version: String,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    pub instance_arn: String,
    /// `i-…`: what EC2 knows it as.
    pub ec2_instance_id: String,
    /// The cluster was not there before.
    pub is_cluster_new: bool,
}

/// AWS: ports of an instance that are its own: ssh, Docker's and the agent's.
const RESERVED: [&str; 5] = ["22", "2375", "2376", "51678", "51679"];

/// Registers the host, or the instance that it was before; makes the cluster where it is missing.
/// Whatever else the host was registered as is not connected any more.
///
/// # Errors
/// Those of CreateCluster and RegisterContainerInstance.
pub async fn join(platform: &Platform, joining: Joining) -> Result<Joined, Fault> {
    let (account, region, cluster) = place(&joining.cluster)?;
    let caller = Caller::platform("ecs.amazonaws.com", account, region);
    platform.write("JoinInstance", caller, move |tx| enter(tx, &cluster, &joining)).await
}

/// The host takes no orders for any container instance.
///
/// # Errors
/// When the records cannot be written.
pub async fn leave(platform: &Platform, host: &HostId) -> Result<(), Fault> {
    let caller =
        Caller::platform("ecs.amazonaws.com", AccountId::default_account(), Region::default_region());
    let host = host.clone();
    let work = move |tx: &mut Tx<'_>| {
        disconnect(tx, &host, None);
        Ok(())
    };
    platform.write("LeaveInstances", caller, work).await
}

/// The account and region of a cluster that is named so.
///
/// # Errors
/// When it is an ARN of something else.
pub fn home_of(cluster: &str) -> Result<(AccountId, Region), Fault> {
    place(cluster).map(|(account, region, _)| (account, region))
}

fn place(cluster: &str) -> Result<(AccountId, Region, String), Fault> {
    let Ok(arn) = Arn::parse(cluster) else {
        return Ok((AccountId::default_account(), Region::default_region(), String::from(cluster)));
    };
    let account = AccountId::parse(arn.account());
    let region = Region::parse(arn.region());
    let name = arn.resource().strip_prefix("cluster/").filter(|_| arn.service() == "ecs");
    match (account, region, name) {
        (Some(account), Some(region), Some(name)) => Ok((account, region, String::from(name))),
        _ => Err(crate::faults::invalid(format_args!("'{cluster}' names no cluster."))),
    }
}

fn enter(tx: &mut Tx<'_>, cluster: &str, joining: &Joining) -> Result<Joined, Fault> {
    let key = Cluster::key_of(&tx.caller.account, &tx.caller.region, cluster);
    let is_cluster_new = !tx.get::<Cluster>(&key).is_some_and(|cluster| cluster.is_active());
    if is_cluster_new {
        let cluster_name = Some(String::from(cluster));
        tx.call::<op::CreateCluster>(aws::CreateClusterRequest { cluster_name, ..Default::default() })?;
    }
    let mut before = tx.by::<ContainerInstance>(BY_HOST, &Key::of(&[&joining.host.0]));
    let before = before.find(|known| known.at.key().is_under(&key));
    let id = before.as_ref().and_then(|known| known.ec2_instance_id.clone());
    let id = id.or_else(|| joining.instance_id.clone());
    let id = id.unwrap_or_else(|| format!("i-{}", tx.chance.hex(17)));
    let arn = before.as_ref().map(|known| known.at.arn().to_string());
    let request = request(cluster, joining, &id, tx.caller.region.as_str(), arn);
    let answer = tx.call::<op::RegisterContainerInstance>(request)?;
    let arn = answer.container_instance.and_then(|instance| instance.container_instance_arn);
    let at = arn.as_deref().and_then(InstanceId::of_arn);
    let at = at.expect("a registered instance has an ARN");
    disconnect(tx, &joining.host, Some(&at));
    let known = tx.get::<ContainerInstance>(&at.key()).expect("it has just been registered");
    let host = Some(joining.host.clone());
    tx.put(ContainerInstance { host, is_connected: true, ..(*known).clone() });
    Ok(Joined { instance_arn: at.arn().to_string(), ec2_instance_id: id, is_cluster_new })
}

fn request(
    cluster: &str,
    joining: &Joining,
    id: &str,
    region: &str,
    arn: Option<String>,
) -> aws::RegisterContainerInstanceRequest {
    let number = |name: &str, value: u32| aws::Resource {
        name: Some(String::from(name)),
        r#type: Some(String::from("INTEGER")),
        integer_value: Some(i32::try_from(value).unwrap_or(i32::MAX)),
        ..Default::default()
    };
    let set = |name: &str, values: &[&str]| aws::Resource {
        name: Some(String::from(name)),
        r#type: Some(String::from("STRINGSET")),
        string_set_value: Some(values.iter().map(|value| String::from(*value)).collect()),
        ..Default::default()
    };
    let named = |name: &str, value: &str| aws::Attribute {
        name: String::from(name),
        value: Some(String::from(value)),
        ..Default::default()
    };
    let plain = capability::of_instance().into_iter();
    let mut attributes: Vec<_> = plain.map(|name| aws::Attribute { name, ..Default::default() }).collect();
    attributes.extend([
        named("ecs.cpu-architecture", joining.architecture),
        named("ecs.os-type", "linux"),
        named("ecs.os-family", "LINUX"),
    ]);
    let device = |id: &String| aws::PlatformDevice { id: id.clone(), r#type: String::from("GPU") };
    let document = serde_json::json!({
        "instanceId": id, "availabilityZone": format!("{region}a"), "instanceType": "boxship.host",
    });
    aws::RegisterContainerInstanceRequest {
        cluster: Some(String::from(cluster)),
        instance_identity_document: Some(document.to_string()),
        total_resources: Some(vec![
            number("CPU", joining.cpu),
            number("MEMORY", joining.memory_mib),
            set("PORTS", &RESERVED),
            set("PORTS_UDP", &[]),
        ]),
        version_info: Some(aws::VersionInfo {
            agent_version: Some(joining.version.clone()),
            agent_hash: None,
            docker_version: None,
        }),
        container_instance_arn: arn,
        attributes: Some(attributes),
        platform_devices: Some(joining.gpus.iter().map(device).collect()),
        ..Default::default()
    }
}

/// Every instance of `host` but `keep` has nobody behind it now.
fn disconnect(tx: &mut Tx<'_>, host: &HostId, keep: Option<&InstanceId>) {
    let all = tx.by::<ContainerInstance>(BY_HOST, &Key::of(&[&host.0]));
    for known in all.filter(|known| known.is_connected && Some(&known.at) != keep) {
        let version = known.version + 1;
        tx.put(ContainerInstance { is_connected: false, version, ..(*known).clone() });
    }
}
