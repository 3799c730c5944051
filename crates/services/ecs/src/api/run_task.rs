//! RunTask: every choice is made here and written down; what follows only carries it out.

use std::collections::BTreeMap;

use aws_ecs as aws;
use aws_iam::op as iam;
use base::{Arn, Fault, Tags};
use core_lifecycle::simulate::{self, Directions};
use core_lifecycle::{LaunchType, NetworkMode};
use core_policy::Verdict;
use service::{Origin, Tx, View};
use sha2::{Digest as _, Sha256};

use super::instance::{self, Places};
use super::launch::{self, Carrier, Run};
use super::network::{self, Network};
use super::{cluster, setting, tag, task, task_definition};
use crate::behaviour::setting::SettingName;
use crate::behaviour::{assign, capability, check, fargate, logs, naming, overrides, room, support};
use crate::convert;
use crate::faults::{self, DefinitionError, RunError};
use crate::state::cluster::Cluster;
use crate::state::definition::{Spec, TaskDefinition};
use crate::state::kept::Kept;
use crate::state::overrides::TaskOverride;
use crate::state::task::{Task, TaskId};
use crate::state::token::ClientToken;

/// What RunTask acts on. A few are looked at by their values.
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
    "overrides.containerOverrides.environmentFiles",
    "overrides.containerOverrides.resourceRequirements",
    "overrides.ephemeralStorage",
    "overrides.cpu",
    "overrides.memory",
    "overrides.executionRoleArn",
    "overrides.taskRoleArn",
    "platformVersion",
    "propagateTags",
    "referenceId",
    "startedBy",
    "tags",
    "taskDefinition",
    "clientToken",
];

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
    let mut places = Places::of(tx, &run);
    for nth in 0..run.count {
        let carrier = match carrier(&places, &run)? {
            Ok(carrier) => carrier,
            Err(refusals) => {
                // Tasks of one request are alike: where one finds no room, the next finds none.
                failures.extend(refusals);
                break;
            }
        };
        match launch::start_one(tx, &run, start + nth, carrier)? {
            Ok(shape) => {
                places.note(tx, shape.task_arn.as_deref().and_then(TaskId::of_arn).as_ref());
                arns.extend(shape.task_arn.clone());
                tasks.push(shape);
            }
            Err(failure) => failures.push(failure),
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
        return Err(RunError::Token(64).into());
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

/// A host with room for a task of `run`, or why none has it.
fn carrier(places: &Places, run: &Run) -> Result<Result<Carrier, Vec<aws::Failure>>, Fault> {
    match run.launch_type {
        LaunchType::Fargate => Ok(Ok(Carrier::local())),
        // External instances are other machines; none has joined.
        LaunchType::External => Err(RunError::NoInstances.into()),
        LaunchType::Ec2 => match places.find(&run.needs) {
            Ok(carrier) => Ok(Ok(carrier)),
            Err(refusals) if refusals.is_empty() => Err(RunError::NoInstances.into()),
            Err(refusals) => Ok(Err(refusals.into_iter().map(failure).collect())),
        },
    }
}

/// AWS: why an instance does not take a task.
pub fn failure((arn, reason): instance::Refusal) -> aws::Failure {
    aws::Failure { arn, reason: Some(String::from(reason)), detail: None }
}

/// Looks at everything that a request asks for and can be judged before a host is chosen. A
/// StartTask is looked at as a RunTask with launch type EC2.
pub fn checked(tx: &mut Tx<'_>, request: aws::RunTaskRequest) -> Result<Run, Fault> {
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
    if request.reference_id.is_some_and(|id| id.chars().count() > 1024) {
        return Err(RunError::ReferenceId.into());
    }
    let group = group(request.group, &definition.family)?;
    let tags = tags(request.tags, request.propagate_tags.as_deref(), &definition)?;
    let tags = match request.enable_ecs_managed_tags {
        Some(true) => with_managed(tags, &cluster),
        Some(false) | None => tags,
    };
    let changes: TaskOverride = request.overrides.map(Kept::keep).unwrap_or_default();
    let spec = overrides::apply(definition.spec.clone(), &changes)?;
    let launch_type = launch_type(request.launch_type.as_deref(), &definition.spec)?;
    platform(request.platform_version.as_deref(), launch_type)?;
    sound(tx, &definition.family, &spec, launch_type)?;
    let enable_execute_command = request.enable_execute_command == Some(true);
    if enable_execute_command && spec.task_role.is_none() {
        return Err(RunError::NoTaskRole.into());
    }
    let asked = request.network_configuration.and_then(|network| network.awsvpc_configuration);
    let network = network(tx, asked, &spec, launch_type)?;
    Ok(Run {
        cluster,
        definition,
        needs: room::needs(&spec),
        spec,
        overrides: changes,
        group,
        service: None,
        started_by,
        tags,
        count,
        launch_type,
        network,
        enable_execute_command,
        default_log_mode: default_log_mode(tx),
        digests: BTreeMap::new(),
    })
}

/// AWS: the account says what a log does that does not say itself whether it blocks.
pub fn default_log_mode(tx: &Tx<'_>) -> logs::Mode {
    let value = setting::effective(tx, tx.caller, SettingName::DefaultLogDriverMode);
    logs::Mode::parse(&value).unwrap_or_default()
}

/// What overrides changed must hold as well as what was registered, and all of it be acted upon.
pub fn sound(tx: &mut Tx<'_>, family: &str, spec: &Spec, launch_type: LaunchType) -> Result<(), Fault> {
    check::register(family, spec)?;
    if launch_type == LaunchType::Fargate {
        fargate::check(spec).map_err(check::Flaw::from)?;
    } else if spec.ephemeral_storage.is_some() {
        return Err(check::Flaw::EphemeralStorage.into());
    }
    if let Some(what) = support::missing(spec) {
        return Err(RunError::NotYet(what).into());
    }
    if let Origin::Task { .. } = tx.caller.origin
        && let Some(what) = check::host_access(spec)
    {
        return Err(RunError::FromTask(what).into());
    }
    directions(spec)?;
    for role in spec.execution_role.iter().chain(&spec.task_role) {
        role_is_assumable(tx, role, TASKS)?;
    }
    Ok(())
}

/// The network that a definition's mode asks for, checked with EC2.
pub fn network(
    tx: &mut Tx<'_>,
    asked: Option<aws::AwsVpcConfiguration>,
    spec: &Spec,
    launch_type: LaunchType,
) -> Result<Option<Network>, Fault> {
    match (assign::network_mode(spec), asked) {
        (NetworkMode::Awsvpc, None) => Err(RunError::NoNetwork.into()),
        (NetworkMode::Awsvpc, Some(asked)) => {
            // AWS: on an instance, the way out is the instance's subnet's.
            if launch_type != LaunchType::Fargate && asked.assign_public_ip.as_deref() == Some("ENABLED") {
                return Err(RunError::PublicIp.into());
            }
            network::check(tx, asked).map(Some)
        }
        (NetworkMode::Bridge | NetworkMode::Host | NetworkMode::None, None) => Ok(None),
        (NetworkMode::Bridge | NetworkMode::Host | NetworkMode::None, Some(_)) => {
            Err(RunError::NetworkMode.into())
        }
    }
}

/// AWS: without a launch type it is EC2.
pub fn launch_type(asked: Option<&str>, spec: &Spec) -> Result<LaunchType, RunError> {
    let (name, launch_type) = match asked {
        None | Some("" | "EC2") => ("EC2", LaunchType::Ec2),
        Some("EXTERNAL") => ("EXTERNAL", LaunchType::External),
        Some("FARGATE") => ("FARGATE", LaunchType::Fargate),
        Some(other) => return Err(RunError::LaunchType(String::from(other))),
    };
    let supports = capability::compatibilities(spec).contains(&name);
    if supports { Ok(launch_type) } else { Err(RunError::LaunchType(String::from(name))) }
}

/// Whether a platform version can be had with the launch type.
pub fn platform(asked: Option<&str>, launch_type: LaunchType) -> Result<(), RunError> {
    let asked = asked.filter(|version| !version.is_empty());
    match asked {
        Some(_) if launch_type != LaunchType::Fargate => Err(RunError::PlatformOnInstance),
        None | Some("LATEST" | convert::PLATFORM_VERSION) => Ok(()),
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

/// The label that directs the simulated runtime must be sound.
fn directions(spec: &Spec) -> Result<(), RunError> {
    for container in &spec.containers {
        let label = container.docker_labels.as_ref().and_then(|labels| labels.get(simulate::LABEL));
        let Some(label) = label else { continue };
        Directions::parse(label).map_err(|problem| RunError::Label {
            container: String::from(container.name()),
            problem: problem.to_string(),
        })?;
    }
    Ok(())
}

/// The service that acts in a task's role.
const TASKS: &str = "ecs-tasks.amazonaws.com";

/// Whether the service `who` may assume the role. AWS: one that does not exist is told in the same
/// words.
pub fn role_is_assumable(tx: &mut Tx<'_>, role: &str, who: &'static str) -> Result<(), Fault> {
    let refused = || RunError::Role(String::from(role));
    let arn = Arn::parse(role).map_err(|_| refused())?;
    let role_name = String::from(arn.resource().rsplit('/').next().unwrap_or_default());
    let caller = network::platform(tx.caller);
    let answer = tx.call_as::<iam::GetRole>(&caller, aws_iam::GetRoleRequest { role_name });
    let found = match answer {
        Ok(found) if found.role.arn == role => found.role,
        Ok(_) => return Err(refused().into()),
        Err(fault) if fault.code == "NoSuchEntity" || fault.code == "NoSuchEntityException" => {
            return Err(refused().into());
        }
        Err(fault) => return Err(fault),
    };
    let trust = core_policy::url_decoded(found.assume_role_policy_document.as_deref().unwrap_or_default());
    let (who, context) = core_policy::of_service(who, &tx.caller.account, &tx.caller.region);
    match core_policy::judge(&trust, "AssumeRole", &who, &context) {
        Verdict::Allowed => Ok(()),
        Verdict::Denied => Err(refused().into()),
        Verdict::Unknown(what) => Err(RunError::NotYet(format!("The trust policy's {what}")).into()),
    }
}
