//! Protection from scale-in.

use core_lifecycle::Assignment;
use serde_json::json;

use crate::ecs::asked_as;
use crate::world::{TASK, World, task};

#[tokio::test]
async fn a_task_protects_itself_as_its_role() {
    let world = World::new();
    let told = world.open(&task());
    let url = format!("{}/task-protection/v1/state", told["web"]["ECS_AGENT_URI"]);
    let arn = task().task_arn;
    let value = world.get(&url).await;
    assert_eq!(value, json!({ "protection": { "ProtectionEnabled": false, "TaskArn": arn } }));
    let (status, value) =
        world.send("PUT", &url, r#"{"ProtectionEnabled":true,"ExpiresInMinutes":60}"#).await;
    let protection =
        json!({ "ProtectionEnabled": true, "TaskArn": arn, "ExpirationDate": "2030-03-17T17:46:40.000Z" });
    assert_eq!((status, value), (200, json!({ "protection": protection })));
    assert_eq!(asked_as(), Some((format!("arn:aws:iam::000000000000:role/app/{TASK}"), true)));
    let (status, value) =
        world.send("PUT", &url, r#"{"ProtectionEnabled":true,"ExpiresInMinutes":3000}"#).await;
    assert_eq!((status, &value["error"]["Code"]), (400, &json!("InvalidParameterException")));
    let (status, value) = world.send("PUT", &url, "{}").await;
    assert_eq!((status, &value["error"]["Arn"]), (400, &json!(arn)));
}

#[tokio::test]
async fn who_has_no_role_may_not() {
    let world = World::new();
    let told = world.open(&Assignment { task_role: None, ..task() });
    let url = format!("{}/task-protection/v1/state", told["web"]["ECS_AGENT_URI"]);
    let (status, value) = world.send("PUT", &url, r#"{"ProtectionEnabled":true}"#).await;
    assert_eq!((status, &value["error"]["Code"]), (403, &json!("AccessDeniedException")));
    let (status, value) = world.send("GET", "/api/none/task-protection/v1/state", "").await;
    assert_eq!((status, &value["error"]["Code"]), (404, &json!("ResourceNotFoundException")));
}
