//! The task's role.

use base::Timestamp;
use core_lifecycle::Assignment;
use service::Principal;

use crate::world::{TASK, World, pass, task, wall};

#[tokio::test]
async fn a_task_gets_its_roles_credentials() {
    let world = World::new();
    world.role("ecs-tasks.amazonaws.com").await;
    let told = world.open(&task());
    let url = &told["web"]["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"];
    let first = world.get(url).await;
    let text = |name: &str| first[name].as_str().unwrap().to_owned();
    assert_eq!(text("RoleArn"), "arn:aws:iam::000000000000:role/app");
    let life = Timestamp::parse(&text("Expiration")).unwrap().since(wall());
    assert_eq!(life.as_secs(), 6 * 3_600);
    assert_eq!(text("SecretAccessKey").len(), 40);
    let holder = world.platform.identity(&text("AccessKeyId"), Some(&text("Token"))).unwrap().unwrap();
    let principal = Principal::Role { arn: text("RoleArn"), session: TASK.into() };
    assert_eq!(holder.principal, principal);
    assert_eq!(world.get(url).await, first);
}

#[tokio::test]
async fn credentials_are_renewed_before_they_end() {
    let world = World::new();
    world.role("ecs-tasks.amazonaws.com").await;
    let url = world.open(&task())["web"]["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"].clone();
    let first = world.get(&url).await;
    pass(5 * 3_600 - 1);
    assert_eq!(world.get(&url).await, first);
    pass(1);
    let second = world.get(&url).await;
    assert_ne!(second["AccessKeyId"], first["AccessKeyId"]);
}

#[tokio::test]
async fn a_role_that_does_not_trust_tasks_gives_none() {
    let world = World::new();
    world.role("ec2.amazonaws.com").await;
    let url = world.open(&task())["web"]["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"].clone();
    let (status, answer) = world.send("GET", &url, "").await;
    assert_eq!((status, answer["code"].as_str()), (400, Some("NoCredentialsAssociated")));
    let message = answer["message"].as_str().unwrap();
    let sentence = "ECS was unable to assume the role 'arn:aws:iam::000000000000:role/app' that was provided";
    assert!(message.starts_with(sentence), "{message}");
    // Mended, it is tried again, but not at once.
    world.trust("ecs-tasks.amazonaws.com").await;
    assert_eq!(world.send("GET", &url, "").await.0, 400);
    pass(5);
    assert_eq!(world.get(&url).await["RoleArn"], "arn:aws:iam::000000000000:role/app");
}

#[tokio::test]
async fn what_was_issued_stays_good_until_its_end() {
    let world = World::new();
    world.role("ecs-tasks.amazonaws.com").await;
    let url = world.open(&task())["web"]["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"].clone();
    let first = world.get(&url).await;
    world.trust("ec2.amazonaws.com").await;
    pass(6 * 3_600 - 1);
    assert_eq!(world.get(&url).await, first);
    pass(1);
    assert_eq!(world.send("GET", &url, "").await.0, 400);
}

#[tokio::test]
async fn a_role_may_be_named_without_its_arn() {
    let world = World::new();
    world.role("ecs-tasks.amazonaws.com").await;
    let told = world.open(&Assignment { task_role: Some("app".into()), ..task() });
    let value = world.get(&told["web"]["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"]).await;
    assert_eq!(value["RoleArn"], "arn:aws:iam::000000000000:role/app");
}
