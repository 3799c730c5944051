//! Faults that a task asks for.

use core_lifecycle::Assignment;
use serde_json::{Value, json};

use crate::world::{World, pass, task};

const PORT: &str = r#"{"Port":1234,"Protocol":"tcp","TrafficType":"ingress"}"#;
const LOSS: &str = r#"{"LossPercent":50,"Sources":["10.0.0.1"]}"#;
const LATENCY: &str = r#"{"DelayMilliseconds":100,"JitterMilliseconds":0,"Sources":["10.0.0.1"]}"#;

struct Patient {
    world: World,
    url: String,
}

impl Patient {
    fn new(is_enabled: bool) -> Patient {
        let world = World::new();
        let told = world.open(&Assignment { enable_fault_injection: is_enabled, ..task() });
        let url = format!("{}/fault/v1", told["web"]["ECS_AGENT_URI"]);
        Patient { world, url }
    }

    async fn ask(&self, path: &str, body: &str) -> (u16, Value) {
        self.world.send("POST", &format!("{}/{path}", self.url), body).await
    }

    /// Asks once the limit of requests lets it.
    async fn later(&self, path: &str, body: &str) -> (u16, Value) {
        pass(5);
        self.ask(path, body).await
    }
}

fn status(text: &str) -> (u16, Value) {
    (200, json!({ "Status": text }))
}

fn error(code: u16, text: &str) -> (u16, Value) {
    (code, json!({ "Error": text }))
}

#[tokio::test]
async fn a_fault_runs_until_it_is_stopped() {
    let patient = Patient::new(true);
    assert_eq!(patient.ask("network-blackhole-port/status", PORT).await, status("not-running"));
    assert_eq!(patient.ask("network-blackhole-port/start", PORT).await, status("running"));
    assert_eq!(patient.world.faults.running.lock().unwrap().len(), 1);
    assert_eq!(patient.later("network-blackhole-port/status", PORT).await, status("running"));
    // Another port is another fault.
    let other = PORT.replace("1234", "1235");
    assert_eq!(patient.later("network-blackhole-port/status", &other).await, status("not-running"));
    assert_eq!(patient.ask("network-blackhole-port/stop", PORT).await, status("stopped"));
    assert_eq!(patient.later("network-blackhole-port/stop", PORT).await, status("stopped"));
    assert_eq!(patient.world.faults.running.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn loss_and_latency_exclude_each_other() {
    let patient = Patient::new(true);
    assert_eq!(patient.ask("network-packet-loss/start", LOSS).await, status("running"));
    let text = "There is already one network packet loss fault running";
    assert_eq!(patient.ask("network-latency/start", LATENCY).await, error(409, text));
    assert_eq!(patient.later("network-packet-loss/start", LOSS).await, error(409, text));
    assert_eq!(patient.ask("network-packet-loss/stop", "").await, status("stopped"));
    assert_eq!(patient.later("network-latency/start", LATENCY).await, error(400, "this kernel has no netem"));
    assert_eq!(patient.ask("network-latency/status", "").await, status("not-running"));
}

#[tokio::test]
async fn who_asks_too_often_waits() {
    let patient = Patient::new(true);
    assert_eq!(patient.ask("network-latency/status", "").await, status("not-running"));
    assert_eq!(patient.ask("network-latency/status", "").await.0, 429);
    pass(4);
    assert_eq!(patient.ask("network-latency/status", "").await.0, 429);
    assert_eq!(patient.later("network-latency/status", "").await, status("not-running"));
}

#[tokio::test]
async fn who_may_not_is_told() {
    let arn = task().task_arn;
    let text = format!("enableFaultInjection is not enabled for task: {arn}");
    assert_eq!(Patient::new(false).ask("network-latency/status", "").await, error(400, &text));
    let patient = Patient::new(true);
    let text = "required parameter Port is missing";
    assert_eq!(patient.ask("network-blackhole-port/start", "{}").await, error(400, text));
    assert_eq!(patient.ask("network-jam/start", "{}").await.0, 404);
    assert_eq!(patient.ask("network-latency/pause", "{}").await.0, 404);
    let url = "/api/none/fault/v1/network-latency/start";
    assert_eq!(patient.world.send("POST", url, "").await, error(404, "unable to lookup container: none"));
}
