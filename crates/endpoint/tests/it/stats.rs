//! Figures in Docker's form.

use serde_json::{Value, json};

use crate::world::{TASK, World, task};

/// Docker's formula.
fn percent(stats: &Value) -> f64 {
    let of = |sample: &str, path: &str| stats[sample].pointer(path).and_then(Value::as_f64).unwrap_or(0.0);
    let cpu = of("cpu_stats", "/cpu_usage/total_usage") - of("precpu_stats", "/cpu_usage/total_usage");
    let system = of("cpu_stats", "/system_cpu_usage") - of("precpu_stats", "/system_cpu_usage");
    cpu / system * of("cpu_stats", "/online_cpus") * 100.0
}

#[tokio::test]
async fn a_containers_figures() {
    let world = World::new();
    world.run().await;
    let told = world.open(&task());
    let stats = world.get(&format!("{}/stats", told["web"]["ECS_CONTAINER_METADATA_URI_V4"])).await;
    assert_eq!((&stats["id"], &stats["name"]), (&json!(format!("{TASK}-0000000001")), &json!("/web")));
    assert!(percent(&stats) > 0.0, "{stats}");
    assert!(stats["memory_stats"]["usage"].as_u64().unwrap() > 0, "{stats}");
    assert!(stats["memory_stats"]["limit"].as_u64().unwrap() > 0, "{stats}");
    assert!(stats["network_rate_stats"]["rx_bytes_per_sec"].is_number(), "{stats}");
    let third = world.get(&format!("{}/stats", told["web"]["ECS_CONTAINER_METADATA_URI"])).await;
    assert_eq!(third.get("network_rate_stats"), None);
}

#[tokio::test]
async fn every_container_of_the_task() {
    let world = World::new();
    world.run().await;
    let told = world.open(&task());
    let stats = world.get(&format!("{}/task/stats", told["web"]["ECS_CONTAINER_METADATA_URI_V4"])).await;
    let ids: Vec<&String> = stats.as_object().unwrap().keys().collect();
    assert_eq!(ids, [&format!("{TASK}-0000000001"), &format!("{TASK}-0000000002")]);
    assert_eq!(stats[ids[1]]["name"], "/db");
}

#[tokio::test]
async fn what_does_not_run_has_none() {
    let world = World::new();
    let told = world.open(&task());
    let (status, text) =
        world.send("GET", &format!("{}/stats", told["web"]["ECS_CONTAINER_METADATA_URI_V4"]), "").await;
    assert_eq!(status, 404);
    assert!(text.as_str().unwrap().contains("unable to get container stats"), "{text}");
}
