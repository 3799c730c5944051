//! What a container is told in its environment.
//!
//! AWS: "Amazon ECS environment variables" and the pages of the endpoints. Of the region Fargate
//! tells `AWS_REGION` and `AWS_DEFAULT_REGION`; on EC2 an SDK would ask the instance, which nobody
//! can here, so it is told there, too.

use std::collections::BTreeMap;

use core_lifecycle::{Assignment, LaunchType};

use crate::id::Ids;

/// Where every task finds the endpoint, at port 80.
pub const ADDRESS: &str = "169.254.170.2";

/// Variables of the container `name`, by name.
pub(crate) fn of(
    ids: &Ids,
    task: &Assignment,
    name: &str,
    api_url: Option<&str>,
) -> BTreeMap<String, String> {
    let id = ids.container(&task.task_arn, name);
    let execution = match task.launch_type {
        LaunchType::Fargate => "AWS_ECS_FARGATE",
        LaunchType::Ec2 => "AWS_ECS_EC2",
        LaunchType::External => "AWS_ECS_EXTERNAL",
    };
    let mut told = vec![
        ("ECS_CONTAINER_METADATA_URI", format!("http://{ADDRESS}/v3/{id}")),
        ("ECS_CONTAINER_METADATA_URI_V4", format!("http://{ADDRESS}/v4/{id}")),
        ("ECS_AGENT_URI", format!("http://{ADDRESS}/api/{id}")),
        ("AWS_EXECUTION_ENV", execution.to_owned()),
        ("AWS_REGION", task.region.clone()),
        ("AWS_DEFAULT_REGION", task.region.clone()),
    ];
    if task.task_role.is_some() {
        let relative = format!("/v2/credentials/{}", ids.credentials(&task.task_arn));
        told.push(("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", relative));
    }
    told.extend(api_url.map(|url| ("AWS_ENDPOINT_URL", url.to_owned())));
    told.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
