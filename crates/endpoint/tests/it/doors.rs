//! Whose requests are answered.

use std::net::Ipv4Addr;

use agent::Endpoint as _;
use core_lifecycle::{Assignment, NetworkMode};
use endpoint::Door;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::world::{OWN, STRANGER, TASK, VPC, World, knock, on_instance, task};

/// Asks for the container `web` of `task` and for its credentials; both answers must agree.
async fn is_answered(task: &Assignment, door: Door, from: Ipv4Addr) -> bool {
    let world = World::new();
    world.role("ecs-tasks.amazonaws.com").await;
    let told = world.open(task);
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    let path = told["web"]["ECS_CONTAINER_METADATA_URI_V4"].replace("http://169.254.170.2", "");
    let (metadata, text) = world.ask(door.clone(), from, &get(&path)).await;
    let path = &told["web"]["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"];
    let (credentials, _) = world.ask(door, from, &get(path)).await;
    match (metadata, credentials) {
        (200, 200) => true,
        (404, 400) => {
            assert!(
                text.starts_with("\"V4 container metadata handler: unable to get container ID"),
                "{text}"
            );
            false
        }
        other => panic!("{other:?}: {text}"),
    }
}

#[tokio::test]
async fn a_task_in_a_vpc_must_ask_itself() {
    let other_vpc = Door::Vpc("000000000000/us-east-1/vpc-2".into());
    assert!(is_answered(&task(), Door::Vpc(VPC.into()), OWN).await);
    assert!(!is_answered(&task(), Door::Vpc(VPC.into()), STRANGER).await);
    assert!(!is_answered(&task(), other_vpc, OWN).await);
    assert!(!is_answered(&task(), Door::Host, OWN).await);
    assert!(!is_answered(&task(), Door::Bridge, OWN).await);
}

#[tokio::test]
async fn a_container_on_the_bridge_must_ask_itself() {
    let task = on_instance(NetworkMode::Bridge);
    assert!(is_answered(&task, Door::Bridge, OWN).await);
    assert!(!is_answered(&task, Door::Bridge, STRANGER).await);
    assert!(!is_answered(&task, Door::Host, OWN).await);
}

#[tokio::test]
async fn a_task_on_the_host_is_known_by_its_id() {
    let task = on_instance(NetworkMode::Host);
    assert!(is_answered(&task, Door::Host, STRANGER).await);
    assert!(!is_answered(&task, Door::Vpc(VPC.into()), OWN).await);
    assert!(!is_answered(&on_instance(NetworkMode::None), Door::Host, OWN).await);
}

#[tokio::test]
async fn an_ended_task_is_unknown() {
    let world = World::new();
    let told = world.open(&task());
    let url = &told["web"]["ECS_CONTAINER_METADATA_URI_V4"];
    world.get(url).await;
    world.endpoint.close(TASK);
    assert_eq!(world.send("GET", url, "").await.0, 404);
    let credentials = &told["web"]["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"];
    let (status, answer) = world.send("GET", credentials, "").await;
    assert_eq!((status, answer["code"].as_str()), (400, Some("InvalidIdInRequest")));
}

#[tokio::test]
async fn what_is_no_path_is_not_found() {
    let world = World::new();
    let told = world.open(&task());
    let url = &told["web"]["ECS_CONTAINER_METADATA_URI_V4"];
    for path in ["/", "/v5/x", "/v4", "/v2/metadata", "/api/x", "/v2/credentialsx/1"] {
        assert_eq!(world.send("GET", path, "").await.0, 404, "{path}");
    }
    assert_eq!(world.send("GET", &format!("{url}/nothing"), "").await.0, 404);
    assert_eq!(world.send("POST", url, "").await.0, 405);
    let (status, answer) = world.send("GET", "/v2/credentials", "").await;
    assert_eq!((status, answer["code"].as_str()), (400, Some("NoIdInRequest")));
    // A task that sends too much is told so, and the next one is answered.
    let (status, _) = world.send("PUT", &told["web"]["ECS_AGENT_URI"], &"x".repeat(100_000)).await;
    assert_eq!(status, 400);
    world.get(url).await;
}

#[tokio::test]
async fn a_task_leaves_room_for_others() {
    let world = World::new();
    let at = world.listen(Door::Vpc(VPC.into())).await;
    let mut held = Vec::new();
    for _ in 0..64 {
        held.push(knock(at, OWN).await);
    }
    let is_answered = async |from| {
        let mut stream = knock(at, from).await;
        // A connection that is closed may be reset before it takes this.
        let _ = stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.is_ok() && answer.starts_with(b"HTTP/1.1 404")
    };
    assert!(!is_answered(OWN).await);
    assert!(is_answered(STRANGER).await);
    drop(held);
    while !is_answered(OWN).await {
        tokio::task::yield_now().await;
    }
}
