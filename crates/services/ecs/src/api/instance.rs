//! Container instances: RegisterContainerInstance, DeregisterContainerInstance,
//! DescribeContainerInstances, ListContainerInstances, UpdateContainerInstancesState; and which of
//! them has room for a task.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::sync::Arc;

use aws_ecs as aws;
use base::{Arn, Fault};
use core_lifecycle::{Goal, LaunchType, StopCode};
use service::{Tx, View};
use store::{Key, Record, Snapshot};

use super::launch::{Carrier, Run};
use super::{cluster, tag};
use crate::behaviour::attribute;
use crate::behaviour::capacity::{Room, Taken};
use crate::behaviour::naming;
use crate::behaviour::query::{Facts, Query};
use crate::behaviour::room::Needs;
use crate::convert::instance::{self as convert, Load};
use crate::faults::{self, InstanceError};
use crate::page::Page;
use crate::state::cluster::Cluster;
use crate::state::instance::{ContainerInstance, InstanceId, InstanceStatus};
use crate::state::kept::Kept;
use crate::state::task::{BY_INSTANCE, LIVE, Stage, Task, TaskId, TaskObserved, TaskStatus};

/// AWS: the attribute that says which architecture an instance has.
const ARCHITECTURE: &str = "ecs.cpu-architecture";

/// AWS: why tasks end whose instance is deregistered by force.
const FORCED: &str = "Container instance deregistration forced by user.";

/// Why an instance does not take a task: its ARN where there is one, and AWS's reason.
pub type Refusal = (Option<String>, &'static str);

/// The instances that may take a run's tasks, with what each has left. Read once, however many tasks
/// are placed in one transaction: what these take is noted.
pub struct Places(Vec<(Arc<ContainerInstance>, Room)>);

impl Places {
    pub fn of(records: &Snapshot, run: &Run) -> Places {
        if run.launch_type != LaunchType::Ec2 {
            return Places(Vec::new());
        }
        let cluster = run.cluster.key();
        let active = records.scan::<ContainerInstance>(&cluster);
        let active = active.filter(|instance| instance.status == InstanceStatus::Active);
        let mut places: Vec<_> =
            active.map(|it| (it.at.arn().to_string(), Room::of(&it.registered), it)).collect();
        if !places.is_empty() {
            for (task, _) in live(records, &cluster) {
                let is_here = |arn: &String| task.container_instance.as_ref() == Some(arn);
                if let Some((_, room, _)) = places.iter_mut().find(|(arn, ..)| is_here(arn)) {
                    room.take(taken(records, &task));
                }
            }
        }
        Places(places.into_iter().map(|(_, room, instance)| (instance, room)).collect())
    }

    /// The instance that carries a task with these `needs`; else why each of them does not. Nothing at
    /// all where the cluster has no instance that takes tasks.
    pub fn find(&self, needs: &Needs) -> Result<Carrier, Vec<Refusal>> {
        let mut refusals = Vec::new();
        for (instance, room) in &self.0 {
            match admit(instance, needs, || room) {
                Ok(carrier) => return Ok(carrier),
                Err(reason) => refusals.push((Some(instance.at.arn().to_string()), reason)),
            }
        }
        Err(refusals)
    }

    /// A task was started on one of them.
    pub fn note(&mut self, records: &Snapshot, task: Option<&TaskId>) {
        let Some(task) = task.and_then(|task| records.get::<Task>(&task.key())) else { return };
        let Some(arn) = task.container_instance.as_deref() else { return };
        if let Some((_, room)) = self.0.iter_mut().find(|(instance, _)| instance.at.arn().to_string() == arn)
        {
            room.take(taken(records, &task));
        }
    }
}

/// `instance` as the carrier of one task with these `needs`; AWS's reason where it does not take it.
pub fn carrier(
    records: &Snapshot,
    instance: &ContainerInstance,
    needs: &Needs,
) -> Result<Carrier, &'static str> {
    admit(instance, needs, || load(records, instance).room)
}

fn admit<R: Borrow<Room>>(
    instance: &ContainerInstance,
    needs: &Needs,
    room: impl FnOnce() -> R,
) -> Result<Carrier, &'static str> {
    if instance.status != InstanceStatus::Active {
        return Err("INACTIVE");
    }
    // Without a host of ours there is nobody to give the order to.
    let host = instance.host.clone().filter(|_| instance.is_connected).ok_or("AGENT")?;
    let has = |name: &String| instance.attributes.contains_key(name);
    let is_architecture = needs.architecture.as_ref().is_none_or(|wanted| {
        instance.attributes.get(ARCHITECTURE).is_none_or(|value| value.as_ref() == Some(wanted))
    });
    if !is_architecture || !needs.attributes.iter().all(has) {
        return Err("ATTRIBUTE");
    }
    let room = room();
    match room.borrow().refusal(needs) {
        Some(reason) => Err(reason),
        None => Ok(Carrier::of(instance, host, room.borrow())),
    }
}

fn load(records: &Snapshot, instance: &ContainerInstance) -> Load {
    let mut load = Load { room: Room::of(&instance.registered), ..Load::default() };
    let (at, arn) = (&instance.at, instance.at.arn().to_string());
    let cluster = Key::of(&[at.account.as_str(), at.region.as_str(), &at.cluster]);
    let here = live(records, &cluster).filter(|(task, _)| task.container_instance.as_ref() == Some(&arn));
    for (task, stage) in here {
        match stage {
            Stage::Coming => load.pending += 1,
            Stage::Running => load.running += 1,
            Stage::Going => {}
        }
        load.room.take(taken(records, &task));
    }
    load
}

/// The tasks of a cluster that have not stopped. AWS: what a task holds is its own until it has.
fn live(records: &Snapshot, cluster: &Key) -> impl Iterator<Item = (Arc<Task>, Stage)> {
    let statuses = records.by::<TaskStatus>(LIVE, cluster);
    statuses.filter_map(|status| Some((records.get::<Task>(&status.at.key())?, Stage::of(&status.state))))
}

fn taken(records: &Snapshot, task: &Task) -> Taken {
    let seen = records.get::<TaskObserved>(&task.key());
    let containers = seen.iter().flat_map(|seen| &seen.observation.containers);
    let gpus = task.containers.iter().flat_map(|container| &container.gpus);
    Taken::of(&task.needs, gpus, containers.flat_map(|container| &container.bindings))
}

/// Every task that `instance` carries or carried, those that stopped lately among them.
pub fn tasks(records: &Snapshot, instance: &ContainerInstance) -> impl Iterator<Item = Arc<Task>> + use<> {
    records.by::<Task>(BY_INSTANCE, &instance.at.key())
}

pub fn register(
    tx: &mut Tx<'_>,
    request: aws::RegisterContainerInstanceRequest,
) -> Result<aws::RegisterContainerInstanceResponse, Fault> {
    let cluster = cluster::find(tx, tx.caller, request.cluster.as_deref())?;
    let document = identity(request.instance_identity_document.as_deref())?;
    let mut registered = convert::registered(request.total_resources.unwrap_or_default())
        .map_err(|name| faults::invalid(format_args!("totalResources: {name} is not a resource.")))?;
    let devices = request.platform_devices.into_iter().flatten();
    let (gpus, other): (Vec<_>, Vec<_>) = devices.partition(|device| device.r#type == "GPU");
    if let Some(device) = other.first() {
        return Err(faults::invalid(faults::not_yet(&format!("The platform device {}", device.r#type))));
    }
    if !gpus.is_empty() {
        registered.gpus = gpus.into_iter().map(|device| device.id).collect();
    }
    let mut attributes = document.attributes();
    for given in request.attributes.into_iter().flatten() {
        attribute::check(&given.name, given.value.as_deref()).map_err(InstanceError::from)?;
        attributes.insert(given.name, given.value);
    }
    let tags = tag::checked(request.tags)?;
    let version_info = Kept::keep(request.version_info.unwrap_or_default());
    let record = match request.container_instance_arn.filter(|arn| !arn.is_empty()) {
        Some(arn) => {
            let known = find(tx, &cluster, &arn)?.ok_or(InstanceError::Missing)?;
            if !known.is_registered() {
                return Err(InstanceError::Inactive.into());
            }
            let is_same = document.instance_id.is_none() || document.instance_id == known.ec2_instance_id;
            if !is_same {
                return Err(InstanceError::OtherMachine.into());
            }
            // AWS: attributes that were put by hand outlive the agent's registering again.
            let mut kept = known.attributes.clone();
            kept.retain(|name, _| !attribute::is_reserved(name));
            kept.append(&mut attributes);
            let version = known.version + 1;
            ContainerInstance { registered, version_info, attributes: kept, version, ..(*known).clone() }
        }
        None => ContainerInstance {
            at: InstanceId {
                account: cluster.account.clone(),
                region: cluster.region.clone(),
                cluster: cluster.name.clone(),
                id: tx.chance.hex(32),
            },
            ec2_instance_id: document.instance_id,
            host: None,
            is_connected: false,
            status: InstanceStatus::Active,
            version_info,
            registered,
            attributes,
            tags,
            registered_at: tx.now,
            version: 1,
        },
    };
    let shape = whole(tx, &record);
    tx.put(record);
    Ok(aws::RegisterContainerInstanceResponse { container_instance: Some(shape) })
}

/// What we take of an instance's identity document. Its signature proves nothing here: whoever may
/// call may say what it is.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Identity {
    instance_id: Option<String>,
    availability_zone: Option<String>,
    instance_type: Option<String>,
    image_id: Option<String>,
}

impl Identity {
    /// AWS: attributes that every instance has.
    fn attributes(&self) -> BTreeMap<String, Option<String>> {
        let all = [
            ("ecs.availability-zone", &self.availability_zone),
            ("ecs.instance-type", &self.instance_type),
            ("ecs.ami-id", &self.image_id),
        ];
        let named = all.into_iter().filter(|(_, value)| value.is_some());
        named.map(|(name, value)| (String::from(name), value.clone())).collect()
    }
}

fn identity(document: Option<&str>) -> Result<Identity, Fault> {
    match document.filter(|text| !text.trim().is_empty()) {
        None => Ok(Identity::default()),
        Some(text) => serde_json::from_str(text).map_err(|_| InstanceError::Document.into()),
    }
}

/// An instance with its tags, as those who register or change it see it.
fn whole(records: &Snapshot, record: &ContainerInstance) -> aws::ContainerInstance {
    let mut shape = convert::shape(record, &load(records, record));
    shape.tags = Some(crate::convert::tags(&record.tags));
    shape
}

pub fn deregister(
    tx: &mut Tx<'_>,
    request: aws::DeregisterContainerInstanceRequest,
) -> Result<aws::DeregisterContainerInstanceResponse, Fault> {
    let cluster = cluster::find(tx, tx.caller, request.cluster.as_deref())?;
    let found = find(tx, &cluster, &request.container_instance)?.ok_or(InstanceError::Missing)?;
    if !found.is_registered() {
        return Err(InstanceError::Inactive.into());
    }
    let load = load(tx, &found);
    if load.running + load.pending > 0 {
        if request.force != Some(true) {
            return Err(InstanceError::HasTasks.into());
        }
        end_tasks(tx, &found);
    }
    let gone = ContainerInstance {
        status: InstanceStatus::Inactive { deregistered_at: tx.now },
        is_connected: false,
        version: found.version + 1,
        ..(*found).clone()
    };
    let shape = whole(tx, &gone);
    tx.put(gone);
    Ok(aws::DeregisterContainerInstanceResponse { container_instance: Some(shape) })
}

/// AWS: whoever deregisters an instance by force ends the tasks on it.
fn end_tasks(tx: &mut Tx<'_>, instance: &ContainerInstance) {
    for task in tasks(tx, instance).filter(|task| task.goal == Goal::Running) {
        let status = tx.get::<TaskStatus>(&task.key());
        if status.is_none_or(|status| status.state.stop_cause().is_none()) {
            let goal = Goal::Stopped { code: StopCode::UserInitiated, reason: String::from(FORCED) };
            tx.put(Task { goal, ..(*task).clone() });
        }
    }
}

pub fn describe(
    view: &View<'_>,
    request: aws::DescribeContainerInstancesRequest,
) -> Result<aws::DescribeContainerInstancesResponse, Fault> {
    let cluster = cluster::find(view, view.caller, request.cluster.as_deref())?;
    let named = named(&request.container_instances, 100)?;
    let include = request.include.unwrap_or_default();
    let includes = |what: &str| include.iter().any(|asked| asked == what);
    let (mut shapes, mut failures) = (Vec::new(), Vec::new());
    for name in named {
        let Some(found) = find(view, &cluster, name)? else {
            failures.push(missing(&cluster, name));
            continue;
        };
        let mut shape = convert::shape(&found, &load(view, &found));
        if includes("TAGS") {
            shape.tags = Some(crate::convert::tags(&found.tags));
        }
        if includes("CONTAINER_INSTANCE_HEALTH") {
            shape.health_status = Some(convert::health(&found, view.now));
        }
        shapes.push(shape);
    }
    Ok(aws::DescribeContainerInstancesResponse {
        container_instances: Some(shapes),
        failures: Some(failures),
    })
}

/// The instances that a request names, at most so many and at least one.
pub fn named(given: &[String], most: usize) -> Result<&[String], InstanceError> {
    match given.len() {
        0 => Err(InstanceError::Empty),
        count if count > most => Err(InstanceError::TooMany(most)),
        _ => Ok(given),
    }
}

/// AWS: what is not there is a failure in the answer.
pub fn missing(cluster: &Cluster, name: &str) -> aws::Failure {
    let resource = format_args!("container-instance/{}/{name}", cluster.name);
    let arn = if name.starts_with("arn:") {
        String::from(name)
    } else {
        Arn::new("ecs", cluster.region.as_str(), &cluster.account, resource).to_string()
    };
    aws::Failure { arn: Some(arn), reason: Some(String::from("MISSING")), detail: None }
}

/// The instance of `cluster` that a request means, by id or ARN.
pub fn find(
    records: &Snapshot,
    cluster: &Cluster,
    text: &str,
) -> Result<Option<Arc<ContainerInstance>>, InstanceError> {
    let at = if Arn::parse(text).is_ok() {
        let Some(at) = InstanceId::of_arn(text) else { return Ok(None) };
        if at.cluster != cluster.name {
            return Err(InstanceError::OtherCluster { named: at.cluster, asked: cluster.name.clone() });
        }
        if at.account != cluster.account || at.region != cluster.region {
            return Ok(None);
        }
        at
    } else if naming::is_task_id(text) {
        let (account, region) = (cluster.account.clone(), cluster.region.clone());
        InstanceId { account, region, cluster: cluster.name.clone(), id: String::from(text) }
    } else {
        return Err(InstanceError::Id);
    };
    Ok(records.get::<ContainerInstance>(&at.key()))
}

pub fn list(
    view: &View<'_>,
    request: aws::ListContainerInstancesRequest,
) -> Result<aws::ListContainerInstancesResponse, Fault> {
    let cluster = cluster::find(view, view.caller, request.cluster.as_deref())?;
    let prefix = cluster.key();
    let page = Page::of(&prefix, request.max_results, request.next_token.as_deref())?;
    // AWS: every status but INACTIVE where none is named.
    let asked = request.status.as_deref().filter(|status| !status.is_empty());
    let filter = request.filter.as_deref().filter(|filter| !filter.trim().is_empty());
    let query = filter.map(Query::parse).transpose().map_err(InstanceError::from)?;
    let is_wanted = |instance: &Arc<ContainerInstance>| {
        let has_status = match asked {
            None => instance.is_registered(),
            Some(asked) => convert::status(instance.status) == asked,
        };
        has_status && query.as_ref().is_none_or(|query| is_meant(view, instance, query))
    };
    let after = page.after.clone().unwrap_or_else(Key::all);
    let found = view.scan_after::<ContainerInstance>(&prefix, &after).filter(is_wanted);
    let (arns, next_token) = page.take(found.map(|record| (record.key(), record.at.arn().to_string())));
    Ok(aws::ListContainerInstancesResponse { container_instance_arns: Some(arns), next_token })
}

fn is_meant(records: &Snapshot, instance: &ContainerInstance, query: &Query) -> bool {
    let live = |task: &Arc<Task>| {
        let status = records.get::<TaskStatus>(&task.key());
        status.is_some_and(|status| status.state.stopped_at().is_none())
    };
    let groups: Vec<String> = tasks(records, instance).filter(live).map(|task| task.group.clone()).collect();
    query.holds(&Facts {
        attributes: &instance.attributes,
        is_connected: instance.is_connected,
        agent_version: instance.version_info.agent_version.as_deref(),
        ec2_instance_id: instance.ec2_instance_id.as_deref(),
        running: load(records, instance).running,
        groups: &groups,
        registered_at: instance.registered_at,
    })
}

pub fn update_state(
    tx: &mut Tx<'_>,
    request: aws::UpdateContainerInstancesStateRequest,
) -> Result<aws::UpdateContainerInstancesStateResponse, Fault> {
    let cluster = cluster::find(tx, tx.caller, request.cluster.as_deref())?;
    let status = match request.status.as_str() {
        "ACTIVE" => InstanceStatus::Active,
        "DRAINING" => InstanceStatus::Draining,
        _ => return Err(InstanceError::Status.into()),
    };
    let named = named(&request.container_instances, 10)?;
    let (mut shapes, mut failures) = (Vec::new(), Vec::new());
    for name in named {
        let Some(found) = find(tx, &cluster, name)? else {
            failures.push(missing(&cluster, name));
            continue;
        };
        if !found.is_registered() {
            let reason = Some(String::from("INACTIVE"));
            failures.push(aws::Failure { arn: Some(found.at.arn().to_string()), reason, detail: None });
            continue;
        }
        let version = found.version + u64::from(found.status != status);
        let changed = ContainerInstance { status, version, ..(*found).clone() };
        shapes.push(whole(tx, &changed));
        tx.put(changed);
    }
    Ok(aws::UpdateContainerInstancesStateResponse {
        container_instances: Some(shapes),
        failures: Some(failures),
    })
}
