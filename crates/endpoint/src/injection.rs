//! Requests for faults: who may ask, what for, and how often.
//!
//! AWS: "Amazon ECS fault injection endpoints".

use std::time::Duration;

use core_addresses::Cidr;
use core_lifecycle::NetworkMode;
use hyper::{Method, StatusCode};
use serde_json::{Map, Value, json};

use crate::Inner;
use crate::answer::{self, Answer};
use crate::fault::{FaultError, FaultKind, NetworkFault, Traffic};
use crate::known::{Asker, lock};
use crate::route::Asked;

/// AWS: one request in so long, of each container at each endpoint.
const EVERY: Duration = Duration::from_secs(5);
/// AWS: no delay or jitter is longer.
const LONGEST_MS: u64 = 3_600_000;

/// A request that is not done.
struct Refusal {
    status: StatusCode,
    text: String,
}

impl Refusal {
    fn answer(self) -> Answer {
        answer::json(self.status, &json!({ "Error": self.text }))
    }
}

fn error(status: StatusCode, text: impl std::fmt::Display) -> Refusal {
    Refusal { status, text: text.to_string() }
}

fn status(text: &str) -> Answer {
    answer::ok(&json!({ "Status": text }))
}

impl Inner {
    pub(crate) async fn fault(&self, asked: &Asked<'_>, id: &str, kind: &str, action: &str) -> Answer {
        let is_known = matches!(kind, "network-blackhole-port" | "network-latency" | "network-packet-loss");
        if !is_known || !matches!(action, "start" | "stop" | "status") {
            return answer::nothing();
        }
        if *asked.method != Method::POST {
            return answer::text(StatusCode::METHOD_NOT_ALLOWED, "");
        }
        let Some(asker) = self.asker(asked, id) else {
            return error(StatusCode::NOT_FOUND, format_args!("unable to lookup container: {id}")).answer();
        };
        if let Err(refused) = self.may_fault(&asker, kind, action) {
            return refused.answer();
        }
        let answered = match action {
            "start" => self.start(&asker, kind, asked.body).await,
            _ => self.stop_or_tell(&asker, kind, action, asked.body).await,
        };
        answered.unwrap_or_else(Refusal::answer)
    }

    fn may_fault(&self, asker: &Asker, kind: &str, action: &str) -> Result<(), Refusal> {
        let task = &asker.subject.task;
        if !task.enable_fault_injection {
            let text = format!("enableFaultInjection is not enabled for task: {}", task.task_arn);
            return Err(error(StatusCode::BAD_REQUEST, text));
        }
        match task.network_mode {
            NetworkMode::Awsvpc | NetworkMode::Host => {}
            NetworkMode::Bridge | NetworkMode::None => {
                let mode = if task.network_mode == NetworkMode::Bridge { "bridge" } else { "none" };
                let text = format!("{mode} mode is not supported. Please use either host or awsvpc mode.");
                return Err(error(StatusCode::BAD_REQUEST, text));
            }
        }
        let now = (self.parts.wall)();
        let mut asked = lock(&asker.subject.asked);
        asked.retain(|_, at| now.since(*at) < EVERY);
        let path = format!("{}/{kind}/{action}", asker.container);
        if asked.contains_key(&path) {
            return Err(error(StatusCode::TOO_MANY_REQUESTS, "request throttled"));
        }
        asked.insert(path, now);
        Ok(())
    }

    async fn start(&self, asker: &Asker, kind: &str, body: &[u8]) -> Result<Answer, Refusal> {
        let bad = |text: String| error(StatusCode::BAD_REQUEST, text);
        let fault = fault(kind, &members(body).map_err(bad)?).map_err(bad)?;
        let (task, faults) = (&asker.subject.task, &self.parts.faults);
        let _turn = asker.subject.faults.lock().await;
        for (other, name) in [(FaultKind::Latency, "latency"), (FaultKind::PacketLoss, "packet loss")] {
            let is_rival = !matches!(fault, NetworkFault::BlackholePort { .. });
            if is_rival && faults.is_running(task, &other).await.map_err(failed)? {
                let text = format!("There is already one network {name} fault running");
                return Err(error(StatusCode::CONFLICT, text));
            }
        }
        if !faults.is_running(task, &fault.kind()).await.map_err(failed)? {
            faults.start(task, &fault).await.map_err(failed)?;
        }
        Ok(status("running"))
    }

    async fn stop_or_tell(
        &self,
        asker: &Asker,
        kind: &str,
        action: &str,
        body: &[u8],
    ) -> Result<Answer, Refusal> {
        let bad = |text: String| error(StatusCode::BAD_REQUEST, text);
        let kind = match kind {
            "network-latency" => FaultKind::Latency,
            "network-packet-loss" => FaultKind::PacketLoss,
            _ => blackhole(&members(body).map_err(bad)?).map_err(bad)?,
        };
        let (task, faults) = (&asker.subject.task, &self.parts.faults);
        let _turn = asker.subject.faults.lock().await;
        if action == "stop" {
            faults.stop(task, &kind).await.map_err(failed)?;
            return Ok(status("stopped"));
        }
        let is_running = faults.is_running(task, &kind).await.map_err(failed)?;
        Ok(status(if is_running { "running" } else { "not-running" }))
    }
}

fn failed(failed: FaultError) -> Refusal {
    match failed {
        FaultError::Unsupported(text) => error(StatusCode::BAD_REQUEST, text),
        FaultError::Host(text) => {
            tracing::warn!(error = text, "a fault could not be made");
            error(StatusCode::INTERNAL_SERVER_ERROR, text)
        }
    }
}

fn members(body: &[u8]) -> Result<Map<String, Value>, String> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(_) | Err(_) if body.is_empty() => Err(String::from("required request body is missing")),
        Ok(_) => Err(String::from("the request body is no JSON object")),
        Err(error) => Err(format!("the request body cannot be read: {error}")),
    }
}

fn fault(kind: &str, members: &Map<String, Value>) -> Result<NetworkFault, String> {
    let spared = ranges(members, "SourcesToFilter")?;
    if kind == "network-blackhole-port" {
        let FaultKind::BlackholePort { port, protocol, traffic } = blackhole(members)? else {
            return Err(String::from("no port is named"));
        };
        return Ok(NetworkFault::BlackholePort { port, protocol, traffic, spared });
    }
    let number = |name: &str, least: u64, most: u64| -> Result<u64, String> {
        let value = members.get(name).ok_or_else(|| missing(name))?;
        let number = value.as_u64().filter(|number| (least..=most).contains(number));
        number.ok_or_else(|| invalid(value, name))
    };
    let (sources_name, sources) = ("Sources", ranges(members, "Sources")?);
    let numbers = match kind {
        "network-latency" => {
            let delay = number("DelayMilliseconds", 0, LONGEST_MS)?;
            (delay, number("JitterMilliseconds", 0, LONGEST_MS)?)
        }
        _ => (number("LossPercent", 1, 100)?, 0),
    };
    if sources.is_empty() {
        return Err(missing(sources_name));
    }
    Ok(match kind {
        "network-latency" => NetworkFault::Latency {
            delay: Duration::from_millis(numbers.0),
            jitter: Duration::from_millis(numbers.1),
            sources,
            spared,
        },
        _ => NetworkFault::PacketLoss { percent: u8::try_from(numbers.0).unwrap_or(100), sources, spared },
    })
}

fn blackhole(members: &Map<String, Value>) -> Result<FaultKind, String> {
    let get = |name: &str| members.get(name).ok_or_else(|| missing(name));
    let (port, protocol, traffic) = (get("Port")?, get("Protocol")?, get("TrafficType")?);
    let is_port = port.as_u64().and_then(|port| u16::try_from(port).ok());
    let is_protocol = protocol.as_str().filter(|protocol| matches!(*protocol, "tcp" | "udp"));
    let is_traffic = match traffic.as_str() {
        Some("ingress") => Some(Traffic::Ingress),
        Some("egress") => Some(Traffic::Egress),
        _ => None,
    };
    Ok(FaultKind::BlackholePort {
        port: is_port.ok_or_else(|| invalid(port, "Port"))?,
        protocol: is_protocol.ok_or_else(|| invalid(protocol, "Protocol"))?.to_owned(),
        traffic: is_traffic.ok_or_else(|| invalid(traffic, "TrafficType"))?,
    })
}

/// Addresses and CIDR blocks.
fn ranges(members: &Map<String, Value>, name: &str) -> Result<Vec<Cidr>, String> {
    let texts = match members.get(name) {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(texts)) => texts,
        Some(other) => return Err(invalid(other, name)),
    };
    let range = |value: &Value| {
        let text = value.as_str()?;
        let text = if text.contains('/') { text.to_owned() } else { format!("{text}/32") };
        text.parse::<Cidr>().ok()
    };
    texts.iter().map(|value| range(value).ok_or_else(|| invalid(value, name))).collect()
}

fn missing(name: &str) -> String {
    format!("required parameter {name} is missing")
}

fn invalid(value: &Value, name: &str) -> String {
    let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    format!("invalid value {shown} for parameter {name}")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{NetworkFault, Traffic, fault, members};

    fn read(kind: &str, body: &str) -> Result<NetworkFault, String> {
        fault(kind, &members(body.as_bytes())?)
    }

    #[test]
    fn what_the_guide_shows_is_understood() {
        let body = r#"{"Port":1234,"Protocol":"tcp","TrafficType":"egress","SourcesToFilter":["10.0.0.7"]}"#;
        let spared = vec!["10.0.0.7/32".parse().unwrap()];
        let expected = NetworkFault::BlackholePort {
            port: 1234,
            protocol: "tcp".into(),
            traffic: Traffic::Egress,
            spared,
        };
        assert_eq!(read("network-blackhole-port", body), Ok(expected));
        let body = r#"{"DelayMilliseconds":123,"JitterMilliseconds":0,"Sources":["10.0.0.0/8","1.2.3.4"]}"#;
        let sources = vec!["10.0.0.0/8".parse().unwrap(), "1.2.3.4/32".parse().unwrap()];
        let (delay, jitter) = (Duration::from_millis(123), Duration::ZERO);
        let expected = NetworkFault::Latency { delay, jitter, sources, spared: Vec::new() };
        assert_eq!(read("network-latency", body), Ok(expected));
        let body = r#"{"LossPercent":6,"Sources":["10.0.0.1"]}"#;
        let sources = vec!["10.0.0.1/32".parse().unwrap()];
        let expected = NetworkFault::PacketLoss { percent: 6, sources, spared: Vec::new() };
        assert_eq!(read("network-packet-loss", body), Ok(expected));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (kind, body, why) in [
            ("network-blackhole-port", "", "required request body is missing"),
            ("network-blackhole-port", "{}", "required parameter Port is missing"),
            (
                "network-blackhole-port",
                r#"{"Port":1,"Protocol":"icmp","TrafficType":"egress"}"#,
                "invalid value icmp for parameter Protocol",
            ),
            (
                "network-blackhole-port",
                r#"{"Port":70000,"Protocol":"tcp","TrafficType":"egress"}"#,
                "invalid value 70000 for parameter Port",
            ),
            (
                "network-latency",
                r#"{"DelayMilliseconds":1}"#,
                "required parameter JitterMilliseconds is missing",
            ),
            (
                "network-packet-loss",
                r#"{"LossPercent":101,"Sources":["10.0.0.1"]}"#,
                "invalid value 101 for parameter LossPercent",
            ),
            ("network-packet-loss", r#"{"LossPercent":1}"#, "required parameter Sources is missing"),
            (
                "network-packet-loss",
                r#"{"LossPercent":1,"Sources":["x"]}"#,
                "invalid value x for parameter Sources",
            ),
        ] {
            assert_eq!(read(kind, body).unwrap_err(), why, "{body}");
        }
    }
}
