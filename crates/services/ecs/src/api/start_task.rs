//! StartTask: a task on each of the container instances that the caller names.

use aws_ecs as aws;
use base::Fault;
use service::Tx;

use super::launch;
use super::{instance, run_task};

/// What StartTask acts on.
pub const ACTS: &[&str] = &[
    "cluster",
    "containerInstances",
    "enableECSManagedTags",
    "enableExecuteCommand",
    "group",
    "networkConfiguration",
    "overrides.containerOverrides.name",
    "overrides.containerOverrides.command",
    "overrides.containerOverrides.environment",
    "overrides.containerOverrides.cpu",
    "overrides.containerOverrides.memory",
    "overrides.containerOverrides.memoryReservation",
    "overrides.containerOverrides.environmentFiles",
    "overrides.containerOverrides.resourceRequirements",
    "overrides.cpu",
    "overrides.memory",
    "overrides.executionRoleArn",
    "overrides.taskRoleArn",
    "propagateTags",
    "referenceId",
    "startedBy",
    "tags",
    "taskDefinition",
];

/// AWS: instances of one request.
const MOST: usize = 10;

pub fn start(tx: &mut Tx<'_>, request: aws::StartTaskRequest) -> Result<aws::StartTaskResponse, Fault> {
    let named = instance::named(&request.container_instances, MOST)?.to_vec();
    let run = run_task::checked(tx, as_run(request))?;
    let (mut tasks, mut failures) = (Vec::new(), Vec::new());
    for (nth, name) in named.iter().enumerate() {
        let Some(found) = instance::find(tx, &run.cluster, name)? else {
            failures.push(instance::missing(&run.cluster, name));
            continue;
        };
        let carrier = match instance::carrier(tx, &found, &run.needs) {
            Ok(carrier) => carrier,
            Err(reason) => {
                failures.push(run_task::failure((Some(found.at.arn().to_string()), reason)));
                continue;
            }
        };
        match launch::start_one(tx, &run, nth, carrier)? {
            Ok(shape) => tasks.push(shape),
            Err(failure) => failures.push(failure),
        }
    }
    Ok(aws::StartTaskResponse { tasks: Some(tasks), failures: Some(failures) })
}

/// All but the instances is a RunTask's.
fn as_run(request: aws::StartTaskRequest) -> aws::RunTaskRequest {
    aws::RunTaskRequest {
        cluster: request.cluster,
        count: Some(1),
        enable_ecs_managed_tags: request.enable_ecs_managed_tags,
        enable_execute_command: request.enable_execute_command,
        group: request.group,
        launch_type: Some(String::from("EC2")),
        network_configuration: request.network_configuration,
        overrides: request.overrides,
        propagate_tags: request.propagate_tags,
        reference_id: request.reference_id,
        started_by: request.started_by,
        tags: request.tags,
        task_definition: request.task_definition,
        volume_configurations: request.volume_configurations,
        ..Default::default()
    }
}
