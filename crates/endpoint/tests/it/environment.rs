//! What containers are told.

use agent::Attached;
use agent::Endpoint as _;
use core_lifecycle::{Assignment, NetworkMode};

use crate::world::{World, on_instance, task};

#[tokio::test]
async fn every_container_has_its_own_urls() {
    let world = World::new();
    let told = world.open(&task());
    assert_eq!(told.keys().collect::<Vec<_>>(), ["db", "web"]);
    let web = &told["web"];
    let id = web["ECS_CONTAINER_METADATA_URI_V4"].strip_prefix("http://169.254.170.2/v4/").unwrap();
    assert_eq!(id.len(), 36);
    assert_eq!(web["ECS_CONTAINER_METADATA_URI"], format!("http://169.254.170.2/v3/{id}"));
    assert_eq!(web["ECS_AGENT_URI"], format!("http://169.254.170.2/api/{id}"));
    assert_eq!(web["AWS_EXECUTION_ENV"], "AWS_ECS_FARGATE");
    assert_eq!((&*web["AWS_REGION"], &*web["AWS_DEFAULT_REGION"]), ("us-east-1", "us-east-1"));
    assert_eq!(web["AWS_ENDPOINT_URL"], "http://169.254.170.2:4566");
    assert!(web["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"].starts_with("/v2/credentials/"));
    assert!(!told["db"]["ECS_AGENT_URI"].ends_with(id));
    // Containers keep what they were told when the server starts again.
    assert_eq!(World::new().open(&task()), told);
}

#[tokio::test]
async fn only_tasks_with_a_role_are_told_of_credentials() {
    let world = World::new();
    let none = Assignment { task_role: None, ..on_instance(NetworkMode::Host) };
    let told = world.endpoint.open(&none, &Attached::default());
    assert!(!told["web"].contains_key("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"));
    assert_eq!(told["web"]["AWS_EXECUTION_ENV"], "AWS_ECS_EC2");
}
