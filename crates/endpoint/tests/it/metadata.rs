//! The shapes of the guides.

use agent::Endpoint as _;
use core_lifecycle::{
    Assignment, Binding, Health, HealthStatus, Mount, NetworkMode, RestartPolicy, Volume, VolumeSource,
};
use endpoint::Door;
use serde_json::{Value, json};

use crate::world::{OWN, TASK, World, at, observation, on_instance, task};

async fn bridge(world: &World, url: &str) -> Value {
    let path = url.replace("http://169.254.170.2", "");
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    let (status, body) = world.ask(Door::Bridge, OWN, &request).await;
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

#[tokio::test]
async fn a_container_of_fargate() {
    let world = World::new();
    let told = world.open(&task());
    let value = world.get(&told["web"]["ECS_CONTAINER_METADATA_URI_V4"]).await;
    let arn = format!("arn:aws:ecs:us-east-1:000000000000:task/demo/{TASK}");
    let expected = json!({
        "DockerId": format!("{TASK}-0000000001"),
        "Name": "web",
        "DockerName": "web",
        "Image": "web:1",
        "ImageID": "sha256:1",
        "Labels": {
            "color": "red",
            "com.amazonaws.ecs.cluster": "arn:aws:ecs:us-east-1:000000000000:cluster/demo",
            "com.amazonaws.ecs.container-name": "web",
            "com.amazonaws.ecs.task-arn": arn,
            "com.amazonaws.ecs.task-definition-family": "shop",
            "com.amazonaws.ecs.task-definition-version": "3",
        },
        "DesiredStatus": "STOPPED",
        "KnownStatus": "RUNNING",
        "Limits": { "CPU": 10, "Memory": 128 },
        "CreatedAt": at(3).iso8601(),
        "StartedAt": at(3).iso8601(),
        "Type": "NORMAL",
        "ContainerARN": format!("{}/web", arn.replace(":task/", ":container/")),
        "LogDriver": "awslogs",
        "LogOptions": { "awslogs-group": "/app", "awslogs-region": "us-east-1", "awslogs-stream": "s" },
        "Networks": [{
            "NetworkMode": "awsvpc",
            "IPv4Addresses": ["127.0.0.1"],
            "AttachmentIndex": 0,
            "MACAddress": "0a:00:00:00:00:01",
            "IPv4SubnetCIDRBlock": "127.0.0.0/20",
            "DomainNameServers": ["127.0.0.2"],
            "DomainNameSearchList": ["ec2.internal"],
            "PrivateDNSName": "ip-127-0-0-1.ec2.internal",
            "SubnetGatewayIpv4Address": "127.0.0.1/20",
        }],
        "Snapshotter": "overlayfs",
    });
    assert_eq!(value, expected);
}

#[tokio::test]
async fn a_task_of_fargate() {
    let world = World::new();
    let told = world.open(&task());
    let mut value = world.get(&format!("{}/task", told["db"]["ECS_CONTAINER_METADATA_URI_V4"])).await;
    let containers = value.as_object_mut().unwrap().remove("Containers").unwrap();
    let expected = json!({
        "Cluster": "arn:aws:ecs:us-east-1:000000000000:cluster/demo",
        "TaskARN": format!("arn:aws:ecs:us-east-1:000000000000:task/demo/{TASK}"),
        "Family": "shop",
        "Revision": "3",
        "DesiredStatus": "STOPPED",
        "KnownStatus": "RUNNING",
        "Limits": { "CPU": 0.25, "Memory": 512 },
        "PullStartedAt": at(1).iso8601(),
        "PullStoppedAt": at(2).iso8601(),
        "AvailabilityZone": "us-east-1b",
        "LaunchType": "FARGATE",
        "FaultInjectionEnabled": false,
    });
    assert_eq!(value, expected);
    assert_eq!((containers[0]["Name"].as_str(), containers[1]["Name"].as_str()), (Some("web"), Some("db")));
    let ended = &containers[1];
    assert_eq!((&ended["KnownStatus"], &ended["ExitCode"]), (&json!("STOPPED"), &json!(3)));
    assert_eq!(ended["FinishedAt"], at(5).iso8601());
    assert_eq!(ended["Limits"], json!({ "CPU": 10 }));
}

#[tokio::test]
async fn version_3_tells_less() {
    let world = World::new();
    let told = world.open(&task());
    let value = world.get(&format!("{}/task", told["web"]["ECS_CONTAINER_METADATA_URI"])).await;
    for member in ["LaunchType", "FaultInjectionEnabled"] {
        assert_eq!(value.get(member), None, "{member}");
    }
    let web = &value["Containers"][0];
    assert_eq!(web["Networks"], json!([{ "NetworkMode": "awsvpc", "IPv4Addresses": ["127.0.0.1"] }]));
    for member in ["ContainerARN", "LogDriver", "LogOptions", "Snapshotter"] {
        assert_eq!(web.get(member), None, "{member}");
    }
}

#[tokio::test]
async fn tags_come_with_what_could_not_be_had() {
    let world = World::new();
    let told = world.open(&task());
    let value = world.get(&format!("{}/taskWithTags", told["web"]["ECS_CONTAINER_METADATA_URI_V4"])).await;
    assert_eq!(value["TaskTags"], json!({ "team": "shop" }));
    assert_eq!(value.get("Errors"), None);
    let world = World::new();
    let told = world.open(&on_instance(NetworkMode::Bridge));
    let value =
        bridge(&world, &format!("{}/taskWithTags", told["web"]["ECS_CONTAINER_METADATA_URI_V4"])).await;
    assert_eq!(value["TaskTags"], json!({ "team": "shop" }));
    let error = &value["Errors"][0];
    assert_eq!(
        (&error["ErrorField"], &error["ErrorCode"]),
        (&json!("ContainerInstanceTags"), &json!("InvalidParameterException"),)
    );
}

#[tokio::test]
async fn a_task_on_an_instance() {
    let world = World::new();
    let mut task = on_instance(NetworkMode::Bridge);
    let mount =
        |volume: &str, path: &str| Mount { volume: volume.into(), path: path.into(), is_read_only: false };
    task.containers[0].mounts = vec![mount("data", "/data"), mount("host", "/host")];
    task.containers[0].restart = Some(RestartPolicy {
        ignored_exit_codes: vec![],
        attempt_period: std::time::Duration::from_secs(60),
    });
    task.volumes = vec![
        Volume { name: "data".into(), source: VolumeSource::Task },
        Volume { name: "host".into(), source: VolumeSource::Host("/srv".into()) },
    ];
    let told = world.open(&task);
    let mut seen = observation();
    let binding = Binding {
        bind_ip: "0.0.0.0".into(),
        container_port: 80,
        host_port: 32_768,
        protocol: "tcp".into(),
        last: None,
    };
    seen.containers[0].bindings = vec![binding];
    let health =
        Health { status: HealthStatus::Healthy, since: at(4), exit_code: Some(0), output: "fine".into() };
    seen.containers[0].health = Some(health);
    world.endpoint.observe(&task, &seen);
    let value = bridge(&world, &format!("{}/task", told["web"]["ECS_CONTAINER_METADATA_URI_V4"])).await;
    assert_eq!((&value["Cluster"], &value["LaunchType"]), (&json!("demo"), &json!("EC2")));
    assert_eq!((&value["ServiceName"], value.get("Limits")), (&json!("shop"), None));
    let web = &value["Containers"][0];
    assert_eq!(web["DockerName"], "ecs-shop-3-web-0123456789abcdef0123");
    assert_eq!(web["Networks"], json!([{ "NetworkMode": "bridge", "IPv4Addresses": ["127.0.0.1"] }]));
    let port = json!({ "ContainerPort": 80, "Protocol": "tcp", "HostPort": 32_768, "HostIp": "0.0.0.0" });
    assert_eq!(web["Ports"], json!([port]));
    let health =
        json!({ "status": "HEALTHY", "statusSince": at(4).iso8601(), "exitCode": 0, "output": "fine" });
    assert_eq!(web["Health"], health);
    assert_eq!(web["RestartCount"], 2);
    let volumes = json!([
        { "DockerName": "data", "Destination": "/data" },
        { "Source": "/srv", "Destination": "/host" },
    ]);
    assert_eq!(web["Volumes"], volumes);
    assert_eq!(value["Containers"][1]["Limits"], json!({ "CPU": 10, "Memory": 0 }));
}

#[tokio::test]
async fn a_task_that_starts_has_no_ids_yet() {
    let world = World::new();
    let task: Assignment = task();
    let told = world.open(&task);
    world.endpoint.observe(&task, &core_lifecycle::Observation::default());
    let value = world.get(&format!("{}/task", told["web"]["ECS_CONTAINER_METADATA_URI_V4"])).await;
    assert_eq!(value["KnownStatus"], "NONE");
    let web = &value["Containers"][0];
    assert_eq!(
        (web.get("DockerId"), web.get("StartedAt"), &web["KnownStatus"]),
        (None, None, &json!("NONE"))
    );
}

#[tokio::test]
async fn who_asks_at_once_is_answered_once_its_start_is_told() {
    let world = World::new();
    let task: Assignment = task();
    let told = world.open(&task);
    world.endpoint.observe(&task, &core_lifecycle::Observation::default());
    let path = told["web"]["ECS_CONTAINER_METADATA_URI_V4"].clone();
    let (value, ()) = tokio::join!(world.get(&path), async {
        tokio::task::yield_now().await;
        world.endpoint.observe(&task, &observation());
    });
    assert_eq!((&value["KnownStatus"], value.get("DockerId").is_some()), (&json!("RUNNING"), true));
}
