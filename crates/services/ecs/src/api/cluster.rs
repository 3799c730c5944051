//! Clusters: CreateCluster, DescribeClusters, ListClusters, UpdateCluster, UpdateClusterSettings,
//! DeleteCluster.

use std::sync::Arc;

use aws_ecs as aws;
use base::{Arn, Fault};
use core_lifecycle::LaunchType;
use service::{Caller, Tx, View};
use store::{Key, Snapshot};

use super::tag;
use crate::behaviour::naming::is_name;
use crate::convert::service::status_text;
use crate::convert::{self, Counts};
use crate::faults::{self, ClusterError};
use crate::page::Page;
use crate::state::cluster::{Cluster, ClusterSetting, ExecLogging};
use crate::state::instance::ContainerInstance;
use crate::state::kept::Kept;
use crate::state::revision::Revision;
use crate::state::service::{Service, ServiceStatus};
use crate::state::task::{BY_STAGE, Stage, Task, TaskStatus};

/// What CreateCluster acts on.
pub const CREATE: &[&str] = &[
    "clusterName",
    "tags",
    "settings",
    "capacityProviders",
    "configuration.executeCommandConfiguration.logging",
];

/// What UpdateCluster acts on.
pub const UPDATE: &[&str] = &["cluster", "settings", "configuration.executeCommandConfiguration.logging"];

/// AWS: the cluster of requests that name none.
const DEFAULT: &str = "default";

pub fn create(
    tx: &mut Tx<'_>,
    request: aws::CreateClusterRequest,
) -> Result<aws::CreateClusterResponse, Fault> {
    let name = request.cluster_name.filter(|name| !name.is_empty()).unwrap_or_else(|| String::from(DEFAULT));
    if !is_name(&name) {
        return Err(ClusterError::Name.into());
    }
    let settings = settings(request.settings)?;
    let capacity_providers = request.capacity_providers.unwrap_or_default();
    for provider in &capacity_providers {
        if !matches!(provider.as_str(), "FARGATE" | "FARGATE_SPOT") {
            return Err(faults::invalid(faults::not_yet(&format!("The capacity provider {provider}"))));
        }
    }
    let tags = tag::checked(request.tags)?;
    let exec_logging = exec_logging(request.configuration)?;
    let (account, region) = (tx.caller.account.clone(), tx.caller.region.clone());
    let known = tx.get::<Cluster>(&Cluster::key_of(&account, &region, &name));
    // AWS: creating a cluster again answers with the one that is there.
    if let Some(cluster) = known.filter(|cluster| cluster.is_active()) {
        return Ok(aws::CreateClusterResponse { cluster: Some(whole(tx, &cluster)) });
    }
    let deleted_at = None;
    let cluster =
        Cluster { account, region, name, deleted_at, settings, capacity_providers, tags, exec_logging };
    let shape = whole(tx, &cluster);
    tx.put(cluster);
    Ok(aws::CreateClusterResponse { cluster: Some(shape) })
}

/// Which logging of sessions a configuration asks for; buckets and groups of one's own wait for
/// sessions that are logged.
fn exec_logging(asked: Option<aws::ClusterConfiguration>) -> Result<Option<ExecLogging>, Fault> {
    let asked = asked.and_then(|asked| asked.execute_command_configuration);
    match asked.and_then(|asked| asked.logging).as_deref() {
        None | Some("") => Ok(None),
        Some("NONE") => Ok(Some(ExecLogging::Nowhere)),
        Some("DEFAULT") => Ok(Some(ExecLogging::WithContainer)),
        Some("OVERRIDE") => Err(faults::invalid(faults::not_yet(
            "configuration.executeCommandConfiguration.logging 'OVERRIDE'",
        ))),
        Some(other) => Err(faults::invalid(format_args!("Unknown logging: '{other}'."))),
    }
}

fn configuration(logging: ExecLogging) -> aws::ClusterConfiguration {
    let logging = match logging {
        ExecLogging::Nowhere => "NONE",
        ExecLogging::WithContainer => "DEFAULT",
    };
    aws::ClusterConfiguration {
        execute_command_configuration: Some(aws::ExecuteCommandConfiguration {
            logging: Some(String::from(logging)),
            ..Default::default()
        }),
        ..Default::default()
    }
}

pub fn update(
    tx: &mut Tx<'_>,
    request: aws::UpdateClusterRequest,
) -> Result<aws::UpdateClusterResponse, Fault> {
    let found = find(tx, tx.caller, Some(&request.cluster))?;
    let mut cluster = (*found).clone();
    if request.settings.is_some() {
        cluster.settings = settings(request.settings)?;
    }
    if request.configuration.is_some() {
        cluster.exec_logging = exec_logging(request.configuration)?;
    }
    let shape = whole(tx, &cluster);
    tx.put(cluster);
    Ok(aws::UpdateClusterResponse { cluster: Some(shape) })
}

pub fn update_settings(
    tx: &mut Tx<'_>,
    request: aws::UpdateClusterSettingsRequest,
) -> Result<aws::UpdateClusterSettingsResponse, Fault> {
    let found = find(tx, tx.caller, Some(&request.cluster))?;
    let cluster = Cluster { settings: settings(Some(request.settings))?, ..(*found).clone() };
    let shape = whole(tx, &cluster);
    tx.put(cluster);
    Ok(aws::UpdateClusterSettingsResponse { cluster: Some(shape) })
}

/// AWS: Container Insights is the one setting. We keep it switched off until there are metrics.
fn settings(asked: Option<Vec<aws::ClusterSetting>>) -> Result<Vec<ClusterSetting>, Fault> {
    for setting in asked.iter().flatten() {
        let name = setting.name.as_deref().unwrap_or_default();
        let value = setting.value.as_deref().unwrap_or_default();
        match (name, value) {
            ("containerInsights", "disabled") => {}
            ("containerInsights", "enabled" | "enhanced") => {
                return Err(faults::invalid(faults::not_yet(&format!(
                    "The cluster setting containerInsights '{value}'"
                ))));
            }
            ("containerInsights", _) => {
                return Err(faults::invalid("containerInsights takes enabled, disabled or enhanced."));
            }
            _ => return Err(faults::invalid(format_args!("Unknown cluster setting: '{name}'."))),
        }
    }
    let off = ClusterSetting {
        name: Some(String::from("containerInsights")),
        value: Some(String::from("disabled")),
    };
    Ok(vec![off])
}

pub fn describe(
    view: &View<'_>,
    request: aws::DescribeClustersRequest,
) -> Result<aws::DescribeClustersResponse, Fault> {
    let named =
        request.clusters.filter(|named| !named.is_empty()).unwrap_or_else(|| vec![String::from(DEFAULT)]);
    if named.len() > 100 {
        return Err(faults::invalid("clusters can have at most 100 items."));
    }
    let include = request.include.unwrap_or_default();
    let includes = |what: &str| include.iter().any(|asked| asked == what);
    let (mut clusters, mut failures) = (Vec::new(), Vec::new());
    for name in &named {
        let Some(cluster) = lookup(view, view.caller, Some(name)) else {
            let (account, region) = (&view.caller.account, &view.caller.region);
            let is_arn = name.starts_with("arn:");
            let arn = if is_arn { name.clone() } else { Cluster::arn_of(account, region, name).to_string() };
            let reason = Some(String::from("MISSING"));
            failures.push(aws::Failure { arn: Some(arn), reason, detail: None });
            continue;
        };
        let mut shape = plain(view, &cluster);
        if includes("TAGS") {
            shape.tags = Some(convert::tags(&cluster.tags));
        }
        if includes("SETTINGS") {
            shape.settings = Some(cluster.settings.give());
        }
        if includes("STATISTICS") {
            shape.statistics = Some(statistics(view, &cluster));
        }
        if includes("CONFIGURATIONS") {
            shape.configuration = cluster.exec_logging.map(configuration);
        }
        clusters.push(shape);
    }
    Ok(aws::DescribeClustersResponse { clusters: Some(clusters), failures: Some(failures) })
}

/// AWS: tasks and services by launch type.
fn statistics(records: &Snapshot, cluster: &Cluster) -> Vec<aws::KeyValuePair> {
    let count = |stage: Stage, launch_type: LaunchType| {
        let statuses = records.by::<TaskStatus>(BY_STAGE, &stage_key(cluster, stage));
        let tasks = statuses.filter_map(|status| records.get::<Task>(&status.at.key()));
        tasks.filter(|task| task.launch_type == launch_type).count()
    };
    let services: Vec<_> = services(records, cluster).collect();
    let count_services = |state: &str, launch_type: LaunchType| {
        let counted = services.iter().filter(|(found, of)| *found == state && *of == launch_type);
        counted.count()
    };
    let numbers = [
        ("runningEC2TasksCount", count(Stage::Running, LaunchType::Ec2)),
        ("runningFargateTasksCount", count(Stage::Running, LaunchType::Fargate)),
        ("pendingEC2TasksCount", count(Stage::Coming, LaunchType::Ec2)),
        ("pendingFargateTasksCount", count(Stage::Coming, LaunchType::Fargate)),
        ("runningExternalTasksCount", count(Stage::Running, LaunchType::External)),
        ("pendingExternalTasksCount", count(Stage::Coming, LaunchType::External)),
        ("activeEC2ServiceCount", count_services("ACTIVE", LaunchType::Ec2)),
        ("activeFargateServiceCount", count_services("ACTIVE", LaunchType::Fargate)),
        ("drainingEC2ServiceCount", count_services("DRAINING", LaunchType::Ec2)),
        ("drainingFargateServiceCount", count_services("DRAINING", LaunchType::Fargate)),
        ("activeExternalServiceCount", count_services("ACTIVE", LaunchType::External)),
        ("drainingExternalServiceCount", count_services("DRAINING", LaunchType::External)),
    ];
    let pair = |(name, number): (&str, usize)| aws::KeyValuePair {
        name: Some(String::from(name)),
        value: Some(number.to_string()),
    };
    numbers.into_iter().map(pair).collect()
}

/// Every service of a cluster by its status and launch type.
fn services(
    records: &Snapshot,
    cluster: &Cluster,
) -> impl Iterator<Item = (&'static str, LaunchType)> + use<> {
    let records = records.clone();
    records.scan::<Service>(&store::Record::key(cluster)).filter_map(move |service| {
        let status = records.get::<ServiceStatus>(&service.at.key())?;
        let revision = records.get::<Revision>(&Revision::key_of(&service.at, &service.revision))?;
        Some((status_text(&service, &status), revision.launch_type))
    })
}

pub fn list(view: &View<'_>, request: aws::ListClustersRequest) -> Result<aws::ListClustersResponse, Fault> {
    let prefix = Key::of(&[view.caller.account.as_str(), view.caller.region.as_str()]);
    let page = Page::of(&prefix, request.max_results, request.next_token.as_deref())?;
    let after = page.after.clone().unwrap_or_else(Key::all);
    let found = view.scan_after::<Cluster>(&prefix, &after).filter(|cluster| cluster.is_active());
    let found = found.map(|cluster| (store::Record::key(&*cluster), cluster.arn().to_string()));
    let (arns, next_token) = page.take(found);
    Ok(aws::ListClustersResponse { cluster_arns: Some(arns), next_token })
}

pub fn delete(
    tx: &mut Tx<'_>,
    request: aws::DeleteClusterRequest,
) -> Result<aws::DeleteClusterResponse, Fault> {
    let cluster = lookup(tx, tx.caller, Some(&request.cluster)).ok_or(ClusterError::Missing)?;
    let key = store::Record::key(&*cluster);
    let is_over =
        |task: &Task| tx.get::<TaskStatus>(&task.at.key()).is_some_and(|s| s.state.stopped_at().is_some());
    if tx.scan::<ContainerInstance>(&key).any(|instance| instance.is_registered()) {
        return Err(ClusterError::HasInstances.into());
    }
    if services(tx, &cluster).any(|(status, _)| status == "ACTIVE") {
        return Err(ClusterError::HasServices.into());
    }
    if tx.scan::<Task>(&key).any(|task| !is_over(&task)) {
        return Err(ClusterError::HasTasks.into());
    }
    let gone = Cluster { deleted_at: Some(tx.now), ..(*cluster).clone() };
    let shape = whole(tx, &gone);
    tx.put(gone);
    Ok(aws::DeleteClusterResponse { cluster: Some(shape) })
}

/// A cluster with tags and settings, as those who make or change it see it.
fn whole(records: &Snapshot, cluster: &Cluster) -> aws::Cluster {
    let mut shape = plain(records, cluster);
    shape.tags = Some(convert::tags(&cluster.tags));
    shape.settings = Some(cluster.settings.give());
    shape.configuration = cluster.exec_logging.map(configuration);
    shape
}

/// A cluster with its counts.
fn plain(records: &Snapshot, cluster: &Cluster) -> aws::Cluster {
    let count = |stage: Stage| records.count_by::<TaskStatus>(BY_STAGE, &stage_key(cluster, stage));
    let counts = Counts { running: count(Stage::Running), pending: count(Stage::Coming) };
    let mut shape = convert::cluster(cluster, counts);
    let instances = records.scan::<ContainerInstance>(&store::Record::key(cluster));
    let registered = instances.filter(|instance| instance.is_registered()).count();
    let services = records.scan::<Service>(&store::Record::key(cluster));
    let active = services.filter(|service| service.deleted_at.is_none()).count();
    shape.active_services_count = i32::try_from(active).ok();
    shape.registered_container_instances_count = i32::try_from(registered).ok();
    shape
}

fn stage_key(cluster: &Cluster, stage: Stage) -> Key {
    Key::of(&[cluster.account.as_str(), cluster.region.as_str(), &cluster.name, stage.name()])
}

/// The active cluster that a request means: by name, by ARN, or the default one.
pub fn find(records: &Snapshot, caller: &Caller, named: Option<&str>) -> Result<Arc<Cluster>, ClusterError> {
    let cluster = lookup(records, caller, named).ok_or(ClusterError::Missing)?;
    if cluster.is_active() { Ok(cluster) } else { Err(ClusterError::Inactive) }
}

fn lookup(records: &Snapshot, caller: &Caller, named: Option<&str>) -> Option<Arc<Cluster>> {
    let text = named.filter(|text| !text.is_empty()).unwrap_or(DEFAULT);
    let name = match Arn::parse(text) {
        Ok(arn) => {
            let is_ours = arn.service() == "ecs"
                && arn.account() == caller.account.as_str()
                && arn.region() == caller.region.as_str();
            let name = arn.resource().strip_prefix("cluster/").filter(|_| is_ours)?;
            String::from(name)
        }
        Err(_) => String::from(text),
    };
    records.get::<Cluster>(&Cluster::key_of(&caller.account, &caller.region, &name))
}
