//! One task started: its records, its interface, what its host is told.
//!
//! RunTask and StartTask come here once a request has been checked and a host chosen.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_ecs as aws;
use base::{Arn, Fault, Tags};
use core_lifecycle::{Goal, Interface, LaunchType, Task as State};
use link::HostId;
use service::Tx;

use super::network::{self, Made, Network};
use crate::behaviour::assign::{self, Choice};
use crate::behaviour::capacity::Room;
use crate::behaviour::logs;
use crate::behaviour::room::{self, Needs};
use crate::convert;
use crate::state::cluster::Cluster;
use crate::state::definition::{Spec, TaskDefinition};
use crate::state::instance::ContainerInstance;
use crate::state::overrides::TaskOverride;
use crate::state::task::{Task, TaskAssignment, TaskContainer, TaskId, TaskInterface, TaskStatus};

/// The host that carries Fargate's tasks: the agent in this process.
const LOCAL: &str = "local";

/// A request that can be carried out.
pub struct Run {
    pub cluster: Arc<Cluster>,
    pub definition: Arc<TaskDefinition>,
    /// The definition with the request's overrides.
    pub spec: Spec,
    pub needs: Needs,
    pub overrides: TaskOverride,
    pub group: String,
    /// The service that it is for.
    pub service: Option<String>,
    pub started_by: Option<String>,
    pub tags: Tags,
    pub count: usize,
    pub launch_type: LaunchType,
    /// In network mode `awsvpc`.
    pub network: Option<Network>,
    pub enable_execute_command: bool,
    pub default_log_mode: logs::Mode,
    /// AWS: version consistency. Container → the digest of the image that it must run, whatever the
    /// definition's tag names by now.
    pub digests: BTreeMap<String, String>,
}

/// What carries one task.
#[derive(Debug, Clone)]
pub struct Carrier {
    pub host: HostId,
    /// ARN of the container instance, for launch types that have one.
    pub instance: Option<String>,
    /// `x86_64` or `arm64`, where that is known.
    pub architecture: Option<String>,
    /// `us-east-1a`; an interface's subnet knows better.
    pub zone: Option<String>,
    /// Devices that no task of the instance has.
    pub free_gpus: Vec<String>,
}

impl Carrier {
    /// Fargate: this machine.
    pub fn local() -> Carrier {
        let host = HostId(Arc::from(LOCAL));
        Carrier { host, instance: None, architecture: None, zone: None, free_gpus: Vec::new() }
    }

    /// A container instance on `host`, with the `room` that it has.
    pub fn of(found: &ContainerInstance, host: HostId, room: &Room) -> Carrier {
        Carrier {
            host,
            instance: Some(found.at.arn().to_string()),
            architecture: found.attributes.get("ecs.cpu-architecture").cloned().flatten(),
            zone: found.attributes.get("ecs.availability-zone").cloned().flatten(),
            free_gpus: room.gpus.clone(),
        }
    }
}

/// Starts the `nth` task of `run` on `carrier`. A subnet without a free address is a failure of
/// the task; any other fault is the request's.
pub fn start_one(
    tx: &mut Tx<'_>,
    run: &Run,
    nth: usize,
    carrier: Carrier,
) -> Result<Result<aws::Task, aws::Failure>, Fault> {
    let at = TaskId {
        account: tx.caller.account.clone(),
        region: tx.caller.region.clone(),
        cluster: run.cluster.name.clone(),
        id: tx.chance.hex(32),
    };
    let attachment = tx.chance.uuid();
    let made = match run.network.as_ref().map(|network| made(tx, run, network, nth, &attachment)) {
        None => None,
        Some(Ok(made)) => Some(made),
        Some(Err(fault)) if fault.code == "InsufficientFreeAddressesInSubnet" => {
            let reason = Some(String::from("RESOURCE:ENI"));
            return Ok(Err(aws::Failure { arn: carrier.instance, reason, detail: Some(fault.message) }));
        }
        Some(Err(fault)) => return Err(fault),
    };
    let zone = made.as_ref().map(|made| made.zone.clone()).or_else(|| carrier.zone.clone());
    let zone = zone.unwrap_or_else(|| format!("{}a", at.region));
    let interface = made.map(|made| made.interface);
    let gpus = hand_out(&run.spec, &carrier.free_gpus);
    let shown = interface.as_ref().map(|interface| shown(interface, attachment));
    let choice = Choice {
        launch_type: run.launch_type,
        architecture: assign::architecture(&run.spec, carrier.architecture.as_deref()),
        zone,
        container_instance: carrier.instance.clone(),
        interface,
        enable_execute_command: run.enable_execute_command,
        gpus,
        default_log_mode: run.default_log_mode,
    };
    let record = record(tx, run, &at, &carrier, shown, &choice);
    let definition = &run.definition;
    let mut assignment = assign::assign(&at, &definition.family, definition.revision, &run.spec, choice);
    for container in &mut assignment.containers {
        if let Some(digest) = run.digests.get(&container.name) {
            container.image = assign::pinned(&container.image, digest);
        }
    }
    let status =
        TaskStatus { at: at.clone(), state: State::Provisioning, version: 1, service: run.service.clone() };
    let shape = convert::task(&record, &status, None, true);
    tx.put(TaskAssignment { at, assignment: Arc::new(assignment) });
    tx.put(status);
    tx.put(record);
    Ok(Ok(shape))
}

fn made(tx: &mut Tx<'_>, run: &Run, network: &Network, nth: usize, attachment: &str) -> Result<Made, Fault> {
    let cluster = &run.cluster;
    let resource = format_args!("attachment/{attachment}");
    let description = Arn::new("ecs", cluster.region.as_str(), &cluster.account, resource).to_string();
    network::make(tx, network, nth, description)
}

/// The task's own record.
fn record(
    tx: &mut Tx<'_>,
    run: &Run,
    at: &TaskId,
    carrier: &Carrier,
    interface: Option<TaskInterface>,
    choice: &Choice,
) -> Task {
    let (spec, definition) = (&run.spec, &run.definition);
    let containers = spec.containers.iter().map(|c| TaskContainer {
        id: tx.chance.uuid(),
        name: String::from(c.name()),
        image: c.image.clone().unwrap_or_default(),
        is_essential: c.is_essential(),
        cpu: c.cpu.unwrap_or(0),
        memory: c.memory,
        memory_reservation: c.memory_reservation,
        has_health_check: assign::health_check(c).is_some(),
        gpus: choice.gpus.get(c.name()).cloned().unwrap_or_default(),
    });
    let containers = containers.collect();
    Task {
        at: at.clone(),
        family: definition.family.clone(),
        revision: definition.revision,
        group: run.group.clone(),
        started_by: run.started_by.clone(),
        tags: run.tags.clone(),
        overrides: run.overrides.clone(),
        // AWS: of a task without a size, what its containers reserve.
        cpu: spec.cpu.clone().unwrap_or_else(|| run.needs.cpu.to_string()),
        memory: spec.memory.clone().unwrap_or_else(|| run.needs.memory.to_string()),
        architecture: choice.architecture.clone(),
        zone: choice.zone.clone(),
        launch_type: run.launch_type,
        container_instance: carrier.instance.clone(),
        // What mattered to the choice alone is not kept.
        needs: Needs { attributes: Vec::new(), architecture: None, ..run.needs.clone() },
        network_mode: assign::network_mode(spec),
        interface,
        storage_gib: assign::storage_gib(spec, run.launch_type),
        enable_execute_command: run.enable_execute_command,
        containers,
        created_at: tx.now,
        host: carrier.host.clone(),
        goal: Goal::Running,
        service: run.service.clone(),
    }
}

fn shown(interface: &Interface, attachment: String) -> TaskInterface {
    TaskInterface {
        attachment,
        subnet: interface.subnet.clone(),
        eni: interface.eni.clone(),
        mac: interface.mac.clone(),
        private_dns_name: interface.private_dns_name.clone(),
        address: interface.address,
    }
}

/// The free devices, each to one container, in the order of the definition.
fn hand_out(spec: &Spec, free: &[String]) -> BTreeMap<String, Vec<String>> {
    let mut free = free.iter();
    let mut gpus = BTreeMap::new();
    for container in &spec.containers {
        let count = usize::try_from(room::gpus(container)).unwrap_or(0);
        let own: Vec<String> = free.by_ref().take(count).cloned().collect();
        if !own.is_empty() {
            gpus.insert(String::from(container.name()), own);
        }
    }
    gpus
}
