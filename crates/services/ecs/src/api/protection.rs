//! Task protection: GetTaskProtection, UpdateTaskProtection.
//!
//! AWS: only tasks of services are protected; any other is a failure in the answer.

use std::sync::Arc;
use std::time::Duration;

use aws_ecs as aws;
use base::{Fault, Timestamp};
use core_lifecycle::Goal;
use service::{Tx, View};
use store::{Record, Snapshot};

use super::{cluster, task};
use crate::faults::{ProtectionError, TaskError};
use crate::state::cluster::Cluster;
use crate::state::protection::TaskProtection;
use crate::state::task::{Task, TaskStatus};

/// AWS: for so long where the request does not say.
const MINUTES: i32 = 120;
/// AWS: two days.
const MOST_MINUTES: i32 = 2880;
/// AWS: tasks of one request.
const MOST_UPDATED: usize = 10;
const MOST_SHOWN: usize = 100;

pub fn update(
    tx: &mut Tx<'_>,
    request: aws::UpdateTaskProtectionRequest,
) -> Result<aws::UpdateTaskProtectionResponse, Fault> {
    let cluster = cluster::find(tx, tx.caller, Some(&request.cluster))?;
    if request.tasks.is_empty() {
        return Err(TaskError::NoTasks.into());
    }
    if request.tasks.len() > MOST_UPDATED {
        return Err(ProtectionError::TooMany(MOST_UPDATED).into());
    }
    let minutes = request.expires_in_minutes.unwrap_or(MINUTES);
    let minutes = u64::try_from(minutes).ok().filter(|_| (1..=MOST_MINUTES).contains(&minutes));
    let lasts = Duration::from_secs(minutes.ok_or(ProtectionError::Minutes)? * 60);
    let (mut done, mut failures) = (Vec::new(), Vec::new());
    for named in &request.tasks {
        match valid(tx, &cluster, named)? {
            Err(failure) => failures.push(failure),
            Ok(record) if request.protection_enabled => {
                let expires_at = tx.now + lasts;
                let service = record.service.clone();
                tx.put(TaskProtection { at: record.at.clone(), expires_at, service });
                done.push(shape(&record, Some(expires_at)));
            }
            Ok(record) => {
                tx.delete::<TaskProtection>(&record.key());
                done.push(shape(&record, None));
            }
        }
    }
    Ok(aws::UpdateTaskProtectionResponse { protected_tasks: Some(done), failures: Some(failures) })
}

pub fn get(
    view: &View<'_>,
    request: aws::GetTaskProtectionRequest,
) -> Result<aws::GetTaskProtectionResponse, Fault> {
    let cluster = cluster::find(view, view.caller, Some(&request.cluster))?;
    let named = request.tasks.unwrap_or_default();
    if named.len() > MOST_SHOWN {
        return Err(ProtectionError::TooMany(MOST_SHOWN).into());
    }
    let (mut shown, mut failures) = (Vec::new(), Vec::new());
    let until = |record: &Task| expiry(view, record, view.now);
    if named.is_empty() {
        // AWS: without names, the tasks of the cluster's services.
        let all = view.scan::<Task>(&cluster.key()).filter(|record| refusal(view, record).is_none());
        shown.extend(all.take(MOST_SHOWN).map(|record| shape(&record, until(&record))));
    }
    for name in &named {
        match valid(view, &cluster, name)? {
            Ok(record) => shown.push(shape(&record, until(&record))),
            Err(failure) => failures.push(failure),
        }
    }
    Ok(aws::GetTaskProtectionResponse { protected_tasks: Some(shown), failures: Some(failures) })
}

/// Until when a task is protected, if it is.
pub fn expiry(records: &Snapshot, record: &Task, now: Timestamp) -> Option<Timestamp> {
    let protection = records.get::<TaskProtection>(&record.key())?;
    (now < protection.expires_at).then_some(protection.expires_at)
}

/// The task that a request means, if it can be protected; or the failure that says why not.
fn valid(
    records: &Snapshot,
    cluster: &Cluster,
    named: &str,
) -> Result<Result<Arc<Task>, aws::Failure>, TaskError> {
    let id = task::id_of(cluster, named)?;
    let failure = |reason: &str, detail: Option<&str>| aws::Failure {
        arn: Some(id.as_ref().map_or_else(|| String::from(named), |id| id.arn().to_string())),
        reason: Some(String::from(reason)),
        detail: detail.map(String::from),
    };
    let found = id.as_ref().and_then(|id| records.get::<Task>(&id.key()));
    let Some(record) = found else { return Ok(Err(failure("MISSING", None))) };
    Ok(match refusal(records, &record) {
        Some(detail) => Err(failure("TASK_NOT_VALID", Some(detail))),
        None => Ok(record),
    })
}

/// Why a task cannot be protected.
fn refusal(records: &Snapshot, record: &Task) -> Option<&'static str> {
    if !record.group.starts_with("service:") {
        return Some("The task is not part of a service: only tasks of services can be protected.");
    }
    let status = records.get::<TaskStatus>(&record.key());
    let is_ending = status.is_none_or(|status| status.state.stop_cause().is_some());
    (is_ending || record.goal != Goal::Running).then_some("The task is stopping or has stopped.")
}

fn shape(record: &Task, expires_at: Option<Timestamp>) -> aws::ProtectedTask {
    aws::ProtectedTask {
        task_arn: Some(record.at.arn().to_string()),
        protection_enabled: Some(expires_at.is_some()),
        expiration_date: expires_at,
    }
}

#[cfg(test)]
mod tests {
    use aws::op;
    use base::clock::Clock;
    use base::{AccountId, Region, Secret};
    use link::HostId;
    use service::{Caller, Platform, PlatformBuilder};
    use store::{Key, Memory, Store};

    use super::*;
    use crate::Config;
    use crate::instances::{Joining, join};

    fn caller() -> Caller {
        Caller::platform("test", AccountId::default_account(), Region::default_region())
    }

    /// A task of a service, which no operation makes yet.
    async fn furnished() -> (Platform, String) {
        let config = Config { authority: "localhost".into(), secret: Secret::new("secret") };
        let builder = PlatformBuilder::default().with(crate::service(&config));
        let store = Store::open(Memory::default().open(), builder.kinds()).unwrap();
        let platform = builder.build(store, Clock::default(), 7);
        let joining = Joining {
            cluster: "main".into(),
            host: HostId("local".into()),
            instance_id: None,
            cpu: 1024,
            memory_mib: 1024,
            gpus: Vec::new(),
            architecture: "x86_64",
            version: "1".into(),
        };
        let instance = join(&platform, joining).await.unwrap().instance_arn;
        let container = aws::ContainerDefinition {
            name: Some("web".into()),
            image: Some("busybox".into()),
            memory: Some(16),
            ..Default::default()
        };
        let request = aws::RegisterTaskDefinitionRequest {
            family: "web".into(),
            container_definitions: vec![container],
            ..Default::default()
        };
        platform.call::<op::RegisterTaskDefinition>(caller(), request).await.unwrap();
        let request = aws::StartTaskRequest {
            cluster: Some("main".into()),
            container_instances: vec![instance],
            task_definition: "web".into(),
            ..Default::default()
        };
        let answer = platform.call::<op::StartTask>(caller(), request).await.unwrap();
        (platform, answer.tasks.unwrap().remove(0).task_arn.unwrap())
    }

    async fn join_service(platform: &Platform) {
        let work = |tx: &mut Tx<'_>| {
            let task = tx.scan::<Task>(&Key::all()).next().unwrap();
            tx.put(Task { group: "service:web".into(), ..(*task).clone() });
            Ok(())
        };
        platform.write("Test", caller(), work).await.unwrap();
    }

    async fn protect(
        platform: &Platform,
        task: &str,
        protection_enabled: bool,
        expires_in_minutes: Option<i32>,
    ) -> Result<aws::UpdateTaskProtectionResponse, Fault> {
        let (cluster, tasks) = (String::from("main"), vec![String::from(task)]);
        let request =
            aws::UpdateTaskProtectionRequest { cluster, tasks, protection_enabled, expires_in_minutes };
        platform.call::<op::UpdateTaskProtection>(caller(), request).await
    }

    async fn shown(platform: &Platform) -> Vec<aws::ProtectedTask> {
        let request = aws::GetTaskProtectionRequest { cluster: "main".into(), tasks: None };
        let answer = platform.call::<op::GetTaskProtection>(caller(), request).await.unwrap();
        answer.protected_tasks.unwrap()
    }

    #[tokio::test]
    async fn only_tasks_of_services_are_protected() {
        let (platform, task) = furnished().await;
        let reason = |answer: aws::UpdateTaskProtectionResponse| answer.failures.unwrap().remove(0).reason;
        let answer = protect(&platform, &task, true, None).await.unwrap();
        assert_eq!(reason(answer).as_deref(), Some("TASK_NOT_VALID"));
        let absent = "0123456789abcdef0123456789abcdef";
        let answer = protect(&platform, absent, true, None).await.unwrap();
        assert_eq!(reason(answer).as_deref(), Some("MISSING"));
        assert!(shown(&platform).await.is_empty());
    }

    #[tokio::test]
    async fn protection_holds_for_its_time() {
        let (platform, task) = furnished().await;
        join_service(&platform).await;
        for minutes in [0, -1, 2881] {
            let fault = protect(&platform, &task, true, Some(minutes)).await.unwrap_err();
            assert_eq!(fault.message, "expiresInMinutes must be between 1 and 2880.");
        }
        assert_eq!(shown(&platform).await[0].protection_enabled, Some(false));
        let answer = protect(&platform, &task, true, None).await.unwrap();
        let first = answer.protected_tasks.unwrap()[0].expiration_date.unwrap();
        platform.clock().advance(Duration::from_secs(600));
        let answer = protect(&platform, &task, true, Some(2880)).await.unwrap();
        let again = answer.protected_tasks.unwrap()[0].expiration_date.unwrap();
        assert!(again > first + Duration::from_secs(2760 * 60));
        assert_eq!(shown(&platform).await[0].protection_enabled, Some(true));
        platform.clock().advance(Duration::from_secs(2880 * 60 + 1));
        assert_eq!(shown(&platform).await[0].protection_enabled, Some(false));
        protect(&platform, &task, true, Some(1)).await.unwrap();
        protect(&platform, &task, false, None).await.unwrap();
        assert_eq!(shown(&platform).await[0].protection_enabled, Some(false));
    }
}
