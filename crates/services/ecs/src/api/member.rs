//! Tasks that services start: what is checked of a revision each time, and what becomes of a start
//! that cannot be.

use std::time::Duration;

use base::{Fault, Tags};
use core_lifecycle::LaunchType;
use core_rollout::rolling::Start;
use service::Tx;

use super::instance::{self, Places};
use super::launch::{self, Carrier, Run};
use super::run_task;
use crate::behaviour::{events, room};
use crate::controllers::draft;
use crate::state::cluster::Cluster;
use crate::state::definition::TaskDefinition;
use crate::state::deployment::Deployment;
use crate::state::event::Event;
use crate::state::kept::Kept;
use crate::state::member::Member;
use crate::state::overrides::TaskOverride;
use crate::state::revision::Revision;
use crate::state::service::{Propagate, Retry, Service, ServiceId, ServiceStatus};
use crate::state::task::TaskId;

/// After a start that could not be, the next is tried after so long, and twice as long each time.
const RETRY_AFTER: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(300);

/// A task that has started.
struct Started {
    revision: String,
    task: TaskId,
    zone: String,
    is_rebalancing: bool,
}

/// Starts tasks of a service, as members of it. What keeps one from starting is told by an event:
/// it is no fault of the plan.
pub fn start(tx: &mut Tx<'_>, at: &ServiceId, starts: &[Start]) -> Result<(), Fault> {
    let (Some(service), Some(status)) = (tx.get::<Service>(&at.key()), tx.get::<ServiceStatus>(&at.key()))
    else {
        return Ok(());
    };
    let mut status = (*status).clone();
    let (mut started, mut trouble) = (Vec::new(), None);
    for of_one in starts.chunk_by(|one, other| one.revision == other.revision) {
        let Some(first) = of_one.first() else { continue };
        match start_all(tx, &service, &first.revision, of_one, &mut started) {
            // What was told of a start that could not be has been answered.
            Ok(()) if status.retry.take().is_some() => status.complaint = None,
            Ok(()) => {}
            Err(message) => trouble = Some((String::from(&*first.revision), message)),
        }
        let counts = status.counts.entry(String::from(&*first.revision)).or_default();
        let count = started.iter().filter(|started| *started.revision == *first.revision).count();
        counts.pending = counts.pending.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
    }
    status.counts.retain(|_, counts| *counts != Default::default());
    let (balancing, others): (Vec<Started>, Vec<Started>) =
        started.into_iter().partition(|it| it.is_rebalancing);
    if !others.is_empty() {
        let ids: Vec<String> = others.into_iter().map(|started| started.task.id).collect();
        tell(tx, &mut status, events::started(&at.name, &ids));
    }
    for of_zone in balancing.chunk_by(|one, other| one.zone == other.zone) {
        let ids: Vec<String> = of_zone.iter().map(|started| started.task.id.clone()).collect();
        let zone = of_zone.first().map(|started| started.zone.as_str()).unwrap_or_default();
        tell(tx, &mut status, events::started_to_balance(&at.name, zone, &ids));
    }
    if let Some((revision, message)) = trouble {
        count_failure(tx, &service, &revision);
        let failed = status.retry.take().filter(|retry| retry.revision == revision).map_or(0, |it| it.failed);
        let wait = RETRY_AFTER.saturating_mul(1 << failed.min(9)).min(LONGEST_RETRY);
        status.retry = Some(Retry { revision, failed: failed.saturating_add(1), at: tx.now + wait });
        if draft::is_new(&status, &message, tx.now) {
            status.complaint = Some((message.clone(), tx.now));
            tell(tx, &mut status, message);
        }
    }
    tx.put(status);
    Ok(())
}

/// AWS: a task that cannot be launched is one that failed.
fn count_failure(tx: &mut Tx<'_>, service: &Service, revision: &str) {
    let newest = Deployment::key_of(&service.at, &service.newest_deployment);
    let Some(deployment) = tx.get::<Deployment>(&newest) else { return };
    if deployment.target == revision && !deployment.state.is_over() {
        let (failed, counted) = (deployment.failed.saturating_add(1), deployment.counted.saturating_add(1));
        let updated_at = tx.now;
        tx.put(Deployment { failed, counted, updated_at, ..(*deployment).clone() });
    }
}

/// Tells the owner, in a status that is to be put.
pub fn tell(tx: &mut Tx<'_>, status: &mut ServiceStatus, message: String) {
    let id = tx.chance.uuid();
    let (event, forgotten) = draft::next_event(status, id, message, tx.now);
    if let Some(number) = forgotten {
        tx.delete::<Event>(&Event::key_of(&status.at, number));
    }
    tx.put(event);
}

/// Starts what it can; the error says what kept the rest from it.
fn start_all(
    tx: &mut Tx<'_>,
    service: &Service,
    revision: &str,
    starts: &[Start],
    started: &mut Vec<Started>,
) -> Result<(), String> {
    let name = &service.at.name;
    let Some(revision) = tx.get::<Revision>(&Revision::key_of(&service.at, revision)) else { return Ok(()) };
    let run = run(tx, service, &revision).map_err(|fault| events::not_launched(name, &fault.message))?;
    let zones = run.network.as_ref().map(super::network::Network::zones).unwrap_or_default();
    if zones != revision.zones {
        tx.put(Revision { zones, ..(*revision).clone() });
    }
    let first = usize::try_from(tx.chance.below(16)).unwrap_or(0);
    let mut places = Places::of(tx, &run);
    for (nth, start) in starts.iter().enumerate() {
        let carrier = match run.launch_type {
            LaunchType::Fargate => Carrier::local(),
            LaunchType::Ec2 | LaunchType::External => {
                let placed = places.find(&run.needs);
                placed.map_err(|refusals| not_placed(name, &refusals))?
            }
        };
        let nth = match (&run.network, &start.zone) {
            (Some(network), Some(zone)) => network.nth_in(zone, first + nth),
            (Some(_), None) | (None, _) => first + nth,
        };
        let answer = launch::start_one(tx, &run, nth, carrier);
        let task = match answer {
            Ok(Ok(task)) => task,
            Ok(Err(failure)) => {
                let why = failure.detail.or(failure.reason).unwrap_or_default();
                return Err(events::not_launched(name, &why));
            }
            Err(fault) => return Err(events::not_launched(name, &fault.message)),
        };
        let zone = task.availability_zone.unwrap_or_default();
        let Some(task) = task.task_arn.as_deref().and_then(TaskId::of_arn) else { continue };
        places.note(tx, Some(&task));
        tx.put(Member {
            service: service.at.clone(),
            task: task.clone(),
            revision: revision.id.clone(),
            healthy_at: None,
            has_run: false,
            is_accounted: false,
            is_told_unhealthy: false,
            is_told_registered: false,
            is_told_leaving: false,
        });
        let (revision, is_rebalancing) = (revision.id.clone(), start.is_rebalancing);
        started.push(Started { revision, task, zone, is_rebalancing });
    }
    Ok(())
}

fn not_placed(name: &str, refusals: &[instance::Refusal]) -> String {
    let closest = refusals.iter().find_map(|(arn, reason)| {
        let id = arn.as_deref()?.rsplit('/').next()?;
        Some((id, *reason))
    });
    events::not_placed(name, closest)
}

/// What is run for a revision. Everything that it refers to is looked at again.
fn run(tx: &mut Tx<'_>, service: &Service, revision: &Revision) -> Result<Run, Fault> {
    let at = &service.at;
    let missing = |what: &str| Fault::caller("ClientException", format_args!("{what} does not exist."));
    let cluster = tx.get::<Cluster>(&Cluster::key_of(&at.account, &at.region, &at.cluster));
    let cluster = cluster.ok_or_else(|| missing("The cluster"))?;
    let key = TaskDefinition::key_of(&at.account, &at.region, &revision.family, revision.revision);
    // AWS: an INACTIVE definition, and one that is being deleted, still serve services that have them.
    let definition = tx.get::<TaskDefinition>(&key).ok_or_else(|| missing("The task definition"))?;
    let spec = definition.spec.clone();
    run_task::sound(tx, &definition.family, &spec, revision.launch_type)?;
    let asked = revision.network.as_ref().and_then(|network| network.awsvpc_configuration.give());
    let network = run_task::network(tx, asked, &spec, revision.launch_type)?;
    let is_consistent = |name: &str| {
        let container = spec.containers.iter().find(|container| container.name() == name);
        container.is_some_and(|it| it.version_consistency.as_deref() != Some("disabled"))
    };
    let digests = revision.digests.iter().filter(|(name, _)| is_consistent(name));
    Ok(Run {
        digests: digests.map(|(name, digest)| (name.clone(), digest.clone())).collect(),
        needs: room::needs(&spec),
        tags: tags(service, &definition),
        cluster,
        definition,
        spec,
        overrides: TaskOverride::default(),
        group: format!("service:{}", at.name),
        service: Some(at.name.clone()),
        started_by: Some(revision.started_by()),
        count: 1,
        launch_type: revision.launch_type,
        network,
        enable_execute_command: service.enable_execute_command,
        default_log_mode: run_task::default_log_mode(tx),
    })
}

fn tags(service: &Service, definition: &TaskDefinition) -> Tags {
    let mut tags = match service.propagate {
        Propagate::Nothing => Tags::new(),
        Propagate::TaskDefinition => definition.tags.clone(),
        Propagate::Service => service.tags.clone(),
    };
    if service.has_managed_tags {
        tags.insert(String::from("aws:ecs:clusterName"), service.at.cluster.clone());
        tags.insert(String::from("aws:ecs:serviceName"), service.at.name.clone());
    }
    tags
}
