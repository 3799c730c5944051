//! A control plane that knows one task.

use std::sync::Mutex;

use aws_ecs::{
    Container, DescribeTasksResponse, GetTaskProtectionResponse, ListTagsForResourceResponse, ProtectedTask,
    Tag, Task, UpdateTaskProtectionResponse, op,
};
use base::{Fault, Timestamp};
use service::{Acts, Operation, Principal, Service};

/// Whether the task is protected, and as whom that was said last.
static PROTECTED: Mutex<Option<(String, bool)>> = Mutex::new(None);

/// As whom protection was asked for last.
pub fn asked_as() -> Option<(String, bool)> {
    PROTECTED.lock().unwrap().clone()
}

fn describe(arn: String) -> Task {
    let container = |name: &str| Container {
        name: Some(name.into()),
        container_arn: Some(format!("{}/{name}", arn.replace(":task/", ":container/"))),
        ..Container::default()
    };
    Task {
        containers: Some(vec![container("web"), container("db")]),
        desired_status: Some("STOPPED".into()),
        group: Some("service:shop".into()),
        task_arn: Some(arn),
        ..Task::default()
    }
}

pub fn service() -> Service {
    let describe = Operation::read::<op::DescribeTasks>(Acts::All, |_, mut request| {
        let tasks = request.tasks.drain(..).map(describe).collect();
        Ok(DescribeTasksResponse { tasks: Some(tasks), ..Default::default() })
    });
    let tags = Operation::read::<op::ListTagsForResource>(Acts::All, |_, request| {
        if request.resource_arn.contains(":container-instance/") {
            return Err(Fault::caller("InvalidParameterException", "no such instance"));
        }
        let tag = Tag { key: Some("team".into()), value: Some("shop".into()) };
        Ok(ListTagsForResourceResponse { tags: Some(vec![tag]) })
    });
    let get = Operation::read::<op::GetTaskProtection>(Acts::All, |_, request| {
        let task = ProtectedTask { task_arn: request.tasks.unwrap_or_default().pop(), ..Default::default() };
        Ok(GetTaskProtectionResponse { protected_tasks: Some(vec![task]), ..Default::default() })
    });
    let update = Operation::write::<op::UpdateTaskProtection>(Acts::All, |tx, mut request| {
        let Principal::Role { arn, session } = &tx.caller.principal else {
            return Err(Fault::caller("AccessDeniedException", "not a task"));
        };
        if request.expires_in_minutes == Some(3_000) {
            return Err(Fault::caller("InvalidParameterException", "too long"));
        }
        *PROTECTED.lock().unwrap() = Some((format!("{arn}/{session}"), request.protection_enabled));
        let task = ProtectedTask {
            task_arn: request.tasks.pop(),
            protection_enabled: Some(request.protection_enabled),
            expiration_date: Some(Timestamp::from_secs(1_900_000_000)),
        };
        Ok(UpdateTaskProtectionResponse { protected_tasks: Some(vec![task]), ..Default::default() })
    });
    Service {
        api: &aws_ecs::API,
        operations: vec![describe, tags, get, update],
        kinds: |kinds| kinds,
        refuse: |what| Fault::caller("InvalidParameterException", what),
        observe: None,
    }
}
