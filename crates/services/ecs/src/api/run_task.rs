//! RunTask: every choice is made here and written down; what follows only carries it out.

use std::sync::Arc;

use aws_ecs as aws;
use aws_iam::op as iam;
use base::{Arn, Fault, Tags};
use core_lifecycle::simulate::{self, Directions};
use core_lifecycle::{Goal, Task as State};
use link::HostId;
use service::{Tx, View};
use sha2::{Digest as _, Sha256};

use super::network::{self, Made, Network};
use super::{cluster, tag, task, task_definition};
use crate::behaviour::{assign, check, naming, overrides, support};
use crate::convert;
use crate::faults::{self, DefinitionError, RunError};
use crate::state::cluster::Cluster;
use crate::state::definition::{Spec, TaskDefinition};
use crate::state::kept::Kept;
use crate::state::overrides::TaskOverride;
use crate::state::task::{Task, TaskAssignment, TaskContainer, TaskId, TaskInterface, TaskStatus};
use crate::state::token::ClientToken;

/// What RunTask acts on. `enableExecuteCommand` and a few more are looked at by their values.
pub const ACTS: &[&str] = &[
    "cluster",
    "count",
    "enableECSManagedTags",
    "enableExecuteCommand",
    "group",
    "launchType",
    "networkConfiguration",
    "overrides.containerOverrides.name",
    "overrides.containerOverrides.command",
    "overrides.containerOverrides.environment",
    "overrides.containerOverrides.cpu",
    "overrides.containerOverrides.memory",
    "overrides.containerOverrides.memoryReservation",
    "overrides.cpu",
    "overrides.memory",
    "overrides.executionRoleArn",
    "overrides.taskRoleArn",
    "platformVersion",
    "propagateTags",
    "startedBy",
    "tags",
    "taskDefinition",
    "clientToken",
];

/// The one host there is so far: the agent in this process.
const HOST: &str = "local";

/// A request that can be carried out.
struct Run {
    cluster: Arc<Cluster>,
    definition: Arc<TaskDefinition>,
    /// The definition with the request's overrides.
    spec: Spec,
    overrides: TaskOverride,
    group: String,
    started_by: Option<String>,
    tags: Tags,
    count: usize,
    network: Network,
}

pub fn run(tx: &mut Tx<'_>, request: aws::RunTaskRequest) -> Result<aws::RunTaskResponse, Fault> {
    let token = request.client_token.clone().filter(|token| !token.is_empty());
    let said = token.is_some().then(|| said(&request));
    if let (Some(token), Some(said)) = (&token, &said)
        && let Some(answer) = answered(tx, token, said)?
    {
        return Ok(answer);
    }
    let run = checked(tx, request)?;
    let (mut tasks, mut failures, mut arns) = (Vec::new(), Vec::new(), Vec::new());
    let start = usize::try_from(tx.chance.below(16)).unwrap_or(0);
    for nth in 0..run.count {
        match start_one(tx, &run, start + nth) {
            Ok(shape) => {
                arns.extend(shape.task_arn.clone());
                tasks.push(shape);
            }
            // AWS: a subnet without a free address is a failure of the task, not of the request.
            Err(fault) if fault.code == "InsufficientFreeAddressesInSubnet" => failures.push(aws::Failure {
                arn: None,
                reason: Some(String::from("RESOURCE:ENI")),
                detail: Some(fault.message),
            }),
            Err(fault) => return Err(fault),
        }
    }
    if let (Some(token), Some(request)) = (token, said) {
        let (account, region) = (tx.caller.account.clone(), tx.caller.region.clone());
        let created_at = tx.now;
        tx.put(ClientToken { account, region, token, request, tasks: arns, created_at });
    }
    Ok(aws::RunTaskResponse { tasks: Some(tasks), failures: Some(failures) })
}

/// What tells one request from another. Structures print all of their members.
fn said(request: &aws::RunTaskRequest) -> String {
    hex::encode(&Sha256::digest(format!("{request:?}"))[..16])
}

/// AWS: a client token that was used before answers with the tasks that it started then.
fn answered(tx: &Tx<'_>, token: &str, said: &str) -> Result<Option<aws::RunTaskResponse>, Fault> {
    if token.len() > 64 || !token.bytes().all(|b| (33..=126).contains(&b)) {
        return Err(RunError::Token.into());
    }
    let key = ClientToken::key_of(&tx.caller.account, &tx.caller.region, token);
    let Some(known) = tx.get::<ClientToken>(&key) else { return Ok(None) };
    if known.request != said {
        return Err(RunError::TokenReused.into());
    }
    let view = tx.view();
    let found = known.tasks.iter().filter_map(|arn| shape_of(&view, arn));
    Ok(Some(aws::RunTaskResponse { tasks: Some(found.collect()), failures: Some(Vec::new()) }))
}

fn shape_of(view: &View<'_>, arn: &str) -> Option<aws::Task> {
    let at = TaskId::of_arn(arn)?;
    let record = view.get::<Task>(&at.key())?;
    task::shape(view, &record, true)
}

fn checked(tx: &mut Tx<'_>, request: aws::RunTaskRequest) -> Result<Run, Fault> {
    let cluster = cluster::find(tx, tx.caller, request.cluster.as_deref())?;
    let definition =
        task_definition::find(tx, tx.caller, &request.task_definition).ok_or(DefinitionError::Missing)?;
    if !definition.is_active() {
        return Err(DefinitionError::Inactive.into());
    }
    let count = usize::try_from(request.count.unwrap_or(1)).ok().filter(|count| (1..=10).contains(count));
    let count = count.ok_or(RunError::Count)?;
    let started_by = request.started_by.filter(|text| !text.is_empty());
    if started_by.as_deref().is_some_and(|text| !naming::is_started_by(text)) {
        return Err(RunError::StartedBy.into());
    }
    if request.enable_execute_command == Some(true) {
        return Err(RunError::NotYet(String::from("enableExecuteCommand")).into());
    }
    let group = group(request.group, &definition.family)?;
    let tags = tags(request.tags, request.propagate_tags.as_deref(), &definition)?;
    let tags = match request.enable_ecs_managed_tags {
        Some(true) => with_managed(tags, &cluster),
        Some(false) | None => tags,
    };
    let changes: TaskOverride = request.overrides.map(Kept::keep).unwrap_or_default();
    let spec = overrides::apply(definition.spec.clone(), &changes)?;
    launch(request.launch_type.as_deref(), &definition.spec)?;
    platform(request.platform_version.as_deref())?;
    let asked = request.network_configuration.and_then(|network| network.awsvpc_configuration);
    let asked = asked.ok_or(RunError::NoNetwork)?;
    // What overrides changed must hold as well as what was registered.
    check::register(&definition.family, &spec)?;
    check::fargate(&spec)?;
    if let Some(what) = support::missing(&spec) {
        return Err(RunError::NotYet(what).into());
    }
    directions(&spec)?;
    for role in spec.execution_role.iter().chain(&spec.task_role) {
        role_exists(tx, role)?;
    }
    let network = network::check(tx, asked)?;
    Ok(Run { cluster, definition, spec, overrides: changes, group, started_by, tags, count, network })
}

/// AWS: without a launch type it is EC2, and a cluster without instances has nowhere to put a task.
fn launch(asked: Option<&str>, spec: &Spec) -> Result<(), RunError> {
    match asked {
        None | Some("EC2" | "EXTERNAL" | "MANAGED_INSTANCES") => Err(RunError::NoInstances),
        Some("FARGATE") => {
            let supports = spec.needs_fargate() || check::fargate(spec).is_ok();
            if supports { Ok(()) } else { Err(RunError::LaunchType(String::from("FARGATE"))) }
        }
        Some(other) => Err(RunError::LaunchType(String::from(other))),
    }
}

fn platform(asked: Option<&str>) -> Result<(), RunError> {
    match asked {
        None | Some("" | "LATEST" | convert::PLATFORM_VERSION) => Ok(()),
        Some(old @ ("1.0.0" | "1.1.0" | "1.2.0" | "1.3.0")) => {
            Err(RunError::NotYet(format!("The platform version {old}")))
        }
        Some(_) => Err(RunError::Platform),
    }
}

fn group(asked: Option<String>, family: &str) -> Result<String, RunError> {
    match asked.filter(|group| !group.is_empty()) {
        None => Ok(format!("family:{family}")),
        Some(group) if group.starts_with("service:") || group.len() > 255 => Err(RunError::Group),
        Some(group) => Ok(group),
    }
}

fn tags(
    asked: Option<Vec<aws::Tag>>,
    propagate: Option<&str>,
    definition: &TaskDefinition,
) -> Result<Tags, Fault> {
    let mut tags = match propagate {
        None | Some("" | "NONE") => Tags::new(),
        Some("TASK_DEFINITION") => definition.tags.clone(),
        Some("SERVICE") => return Err(RunError::PropagateTags.into()),
        Some(other) => return Err(faults::invalid(format_args!("propagateTags: '{other}' is not known."))),
    };
    tags.extend(tag::checked(asked)?);
    Ok(tags)
}

fn with_managed(mut tags: Tags, cluster: &Cluster) -> Tags {
    tags.insert(String::from("aws:ecs:clusterName"), cluster.name.clone());
    tags
}

/// The label that directs the simulated runtime must say what that runtime can do.
fn directions(spec: &Spec) -> Result<(), RunError> {
    for container in &spec.containers {
        let label = container.docker_labels.as_ref().and_then(|labels| labels.get(simulate::LABEL));
        let Some(label) = label else { continue };
        let directions = Directions::parse(label).map_err(|problem| RunError::Label {
            container: String::from(container.name()),
            problem: problem.to_string(),
        })?;
        let Directions { exit: _, unhealthy_after, cpu_percent, memory_percent } = directions;
        let missing = [
            ("unhealthy", unhealthy_after.is_some()),
            ("cpu", cpu_percent.is_some()),
            ("memory", memory_percent.is_some()),
        ];
        if let Some((word, _)) = missing.into_iter().find(|(_, is_set)| *is_set) {
            return Err(RunError::NotYet(format!("{} '{word}'", simulate::LABEL)));
        }
    }
    Ok(())
}

fn role_exists(tx: &mut Tx<'_>, role: &str) -> Result<(), Fault> {
    let missing = || RunError::Role(String::from(role));
    let arn = Arn::parse(role).map_err(|_| missing())?;
    let role_name = String::from(arn.resource().rsplit('/').next().unwrap_or_default());
    let caller = network::platform(tx.caller);
    let answer = tx.call_as::<iam::GetRole>(&caller, aws_iam::GetRoleRequest { role_name });
    match answer {
        Ok(found) if found.role.arn == role => Ok(()),
        Ok(_) => Err(missing().into()),
        Err(fault) if fault.code == "NoSuchEntity" || fault.code == "NoSuchEntityException" => {
            Err(missing().into())
        }
        Err(fault) => Err(fault),
    }
}

fn start_one(tx: &mut Tx<'_>, run: &Run, nth: usize) -> Result<aws::Task, Fault> {
    let at = TaskId {
        account: tx.caller.account.clone(),
        region: tx.caller.region.clone(),
        cluster: run.cluster.name.clone(),
        id: tx.chance.hex(32),
    };
    let attachment = tx.chance.uuid();
    let resource = format_args!("attachment/{attachment}");
    let description = Arn::new("ecs", at.region.as_str(), &at.account, resource).to_string();
    let Made { interface, zone } = network::make(tx, &run.network, nth, description)?;
    let definition = &run.definition;
    let record = Task {
        at: at.clone(),
        family: definition.family.clone(),
        revision: definition.revision,
        group: run.group.clone(),
        started_by: run.started_by.clone(),
        tags: run.tags.clone(),
        overrides: run.overrides.clone(),
        cpu: run.spec.cpu.clone().unwrap_or_default(),
        memory: run.spec.memory.clone().unwrap_or_default(),
        architecture: convert::architecture_of(&run.spec),
        zone,
        interface: TaskInterface {
            attachment,
            subnet: interface.subnet.clone(),
            eni: interface.eni.clone(),
            mac: interface.mac.clone(),
            private_dns_name: interface.private_dns_name.clone(),
            address: interface.address,
        },
        containers: run
            .spec
            .containers
            .iter()
            .map(|c| TaskContainer {
                id: tx.chance.uuid(),
                name: String::from(c.name()),
                image: c.image.clone().unwrap_or_default(),
                is_essential: c.is_essential(),
                cpu: c.cpu.unwrap_or(0),
                memory: c.memory,
                memory_reservation: c.memory_reservation,
            })
            .collect(),
        created_at: tx.now,
        host: HostId(Arc::from(HOST)),
        goal: Goal::Running,
    };
    let assignment = assign::assign(&at, &definition.family, definition.revision, &run.spec, interface);
    let status = TaskStatus { at: at.clone(), state: State::Provisioning, version: 1 };
    let shape = convert::task(&record, &status, None, true);
    tx.put(TaskAssignment { at, assignment });
    tx.put(status);
    tx.put(record);
    Ok(shape)
}
