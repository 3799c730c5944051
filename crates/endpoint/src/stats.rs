//! What containers use, in the form of Docker's `GET /containers/{id}/stats`.
//!
//! A sample is taken when somebody asks. The sample before it is the last that lies a second back;
//! who asks first waits for that second, so that rates and shares of cpu can be told at all.
//! AWS: "the container must run for about one second prior to returning the container stats".

use std::collections::VecDeque;
use std::time::Duration;

use base::Timestamp;
use hyper::StatusCode;
use runtime::{ContainerStats, InterfaceStats};
use serde_json::{Map, Value, json};

use crate::Inner;
use crate::answer::{self, Answer};
use crate::known::{Asker, Subject, lock};
use crate::metadata::container::docker_name;
use crate::route::Version;

/// Samples of less distance say little: clocks of cpu tick in hundredths of a second.
const APART: Duration = Duration::from_millis(1_000);

/// Earlier samples of a task, the oldest first. Two: one that lies [`APART`] back, and the newest.
#[derive(Debug, Default)]
pub(crate) struct Samples {
    kept: VecDeque<Vec<ContainerStats>>,
}

impl Samples {
    /// Takes in a sample; answers the newest that lies [`APART`] before it.
    fn take(&mut self, sample: &[ContainerStats]) -> Option<Vec<ContainerStats>> {
        let now = read_at(sample)?;
        let is_before = |kept: &&Vec<ContainerStats>| read_at(kept).is_some_and(|at| now.since(at) >= APART);
        let before = self.kept.iter().rev().find(is_before).cloned();
        let newest = self.kept.back().and_then(|kept| read_at(kept));
        if newest.is_none_or(|newest| now.since(newest) >= APART) {
            self.kept.push_back(sample.to_vec());
            while self.kept.len() > 2 {
                self.kept.pop_front();
            }
        }
        before
    }
}

fn read_at(sample: &[ContainerStats]) -> Option<Timestamp> {
    sample.first().map(|stats| stats.read_at)
}

pub(crate) async fn container(inner: &Inner, asker: &Asker, version: Version) -> Answer {
    let name = version.name();
    let missing = |why: &str| {
        answer::sentence(
            StatusCode::NOT_FOUND,
            format_args!("{name} container stats handler: unable to get container stats: {why}"),
        )
    };
    match sampled(inner, &asker.subject).await {
        Ok(sampled) => match sampled.stats(&asker.subject, &asker.container, version) {
            Some(stats) => answer::ok(&stats),
            None => missing("the container does not run"),
        },
        Err(why) => missing(&why),
    }
}

/// Of every container by its Docker id; `null` for one that does not run.
pub(crate) async fn task(inner: &Inner, subject: &Subject, version: Version) -> Answer {
    match sampled(inner, subject).await {
        Ok(sampled) => {
            let ids = subject.runtime_ids().into_iter();
            let stats =
                ids.map(|(name, id)| (id, sampled.stats(subject, &name, version).unwrap_or_default()));
            answer::ok(&Value::Object(stats.collect()))
        }
        Err(why) => {
            let name = version.name();
            let text = format!("{name} task stats handler: unable to get task stats: {why}");
            answer::sentence(StatusCode::INTERNAL_SERVER_ERROR, text)
        }
    }
}

/// Two samples of one task.
struct Sampled {
    now: Vec<ContainerStats>,
    before: Vec<ContainerStats>,
}

async fn sampled(inner: &Inner, subject: &Subject) -> Result<Sampled, String> {
    let sample = || async {
        let taken = inner.parts.runtime.stats(&subject.task.task_id).await;
        taken.map_err(|error| error.to_string())
    };
    let now = sample().await?;
    let taken = lock(&subject.samples).take(&now);
    if let Some(before) = taken {
        return Ok(Sampled { now, before });
    }
    if now.is_empty() {
        return Ok(Sampled { now, before: Vec::new() });
    }
    tokio::time::sleep(APART).await;
    let before = now;
    let now = sample().await?;
    lock(&subject.samples).take(&now);
    Ok(Sampled { now, before })
}

impl Sampled {
    fn stats(&self, subject: &Subject, name: &str, version: Version) -> Option<Value> {
        let now = self.now.iter().find(|stats| stats.name == name)?;
        let before = self.before.iter().find(|stats| stats.name == name);
        let mut value = docker(now, before);
        let id = subject.runtime_ids().remove(name);
        value["id"] = json!(id);
        value["name"] = json!(subject.spec(name).map(|spec| format!("/{}", docker_name(subject, spec))));
        if version == Version::V4
            && let Some(before) = before
        {
            value["network_rate_stats"] = rates(now, before);
        }
        Some(value)
    }
}

/// Docker's form of two samples. Its formula: `(cpu.total - precpu.total) / (cpu.system -
/// precpu.system) × online_cpus × 100`.
fn docker(now: &ContainerStats, before: Option<&ContainerStats>) -> Value {
    // Docker's zero time: there is no sample before.
    let preread = before.map_or(String::from("0001-01-01T00:00:00Z"), |before| before.read_at.iso8601());
    let (read, written) = (now.disk_read_bytes, now.disk_written_bytes);
    let mut value = json!({
        "read": now.read_at.iso8601(),
        "preread": preread,
        "pids_stats": pids(now),
        "blkio_stats": {
            "io_service_bytes_recursive": [
                { "major": 0, "minor": 0, "op": "read", "value": read },
                { "major": 0, "minor": 0, "op": "write", "value": written },
            ],
            "io_serviced_recursive": null,
            "io_queue_recursive": null,
            "io_service_time_recursive": null,
            "io_wait_time_recursive": null,
            "io_merged_recursive": null,
            "io_time_recursive": null,
            "sectors_recursive": null,
        },
        "num_procs": 0,
        "storage_stats": {},
        "cpu_stats": cpu(now),
        "precpu_stats": before.map_or_else(no_cpu, cpu),
        "memory_stats": {
            "usage": now.memory_bytes,
            "max_usage": now.memory_max_bytes,
            "stats": memory(now),
            "limit": now.memory_limit_bytes,
        },
    });
    if !now.networks.is_empty() {
        let networks = now.networks.iter().map(|(name, counters)| (name.clone(), network(counters)));
        value["networks"] = Value::Object(networks.collect());
    }
    value
}

fn pids(now: &ContainerStats) -> Value {
    match now.pids_limit {
        Some(limit) => json!({ "current": now.pids, "limit": limit }),
        None => json!({ "current": now.pids }),
    }
}

fn cpu(stats: &ContainerStats) -> Value {
    let mut usage = json!({
        "total_usage": stats.cpu_ns,
        "usage_in_kernelmode": stats.cpu_system_ns,
        "usage_in_usermode": stats.cpu_user_ns,
    });
    if !stats.cpu_per_core_ns.is_empty() {
        usage["percpu_usage"] = json!(stats.cpu_per_core_ns);
    }
    json!({
        "cpu_usage": usage,
        "system_cpu_usage": stats.host_cpu_ns,
        "online_cpus": stats.cores,
        "throttling_data": {
            "periods": stats.periods,
            "throttled_periods": stats.throttled_periods,
            "throttled_time": stats.throttled_ns,
        },
    })
}

fn no_cpu() -> Value {
    json!({
        "cpu_usage": { "total_usage": 0, "usage_in_kernelmode": 0, "usage_in_usermode": 0 },
        "throttling_data": { "periods": 0, "throttled_periods": 0, "throttled_time": 0 },
    })
}

/// The kernel's breakdown. Clients subtract the page cache that may go by one of two names: cgroup
/// v1 has the first, v2 the second.
fn memory(now: &ContainerStats) -> Value {
    let detail = now.memory_detail.iter().map(|(name, value)| (name.clone(), json!(value)));
    let mut detail: Map<String, Value> = detail.collect();
    if !detail.contains_key("total_inactive_file") {
        detail.entry("inactive_file").or_insert(json!(now.memory_inactive_file_bytes));
    }
    Value::Object(detail)
}

fn network(counters: &InterfaceStats) -> Value {
    json!({
        "rx_bytes": counters.received_bytes,
        "rx_packets": counters.received_packets,
        "rx_errors": counters.received_errors,
        "rx_dropped": counters.received_dropped,
        "tx_bytes": counters.sent_bytes,
        "tx_packets": counters.sent_packets,
        "tx_errors": counters.sent_errors,
        "tx_dropped": counters.sent_dropped,
    })
}

fn rates(now: &ContainerStats, before: &ContainerStats) -> Value {
    let sum = |stats: &ContainerStats, of: fn(&InterfaceStats) -> u64| -> u64 {
        stats.networks.values().map(of).fold(0, u64::saturating_add)
    };
    let seconds = now.read_at.since(before.read_at).as_secs_f64();
    let rate = |of: fn(&InterfaceStats) -> u64| {
        let bytes = sum(now, of).saturating_sub(sum(before, of));
        if seconds > 0.0 { bytes as f64 / seconds } else { 0.0 }
    };
    json!({ "rx_bytes_per_sec": rate(|all| all.received_bytes), "tx_bytes_per_sec": rate(|all| all.sent_bytes) })
}

#[cfg(test)]
mod tests {
    use base::Timestamp;
    use runtime::ContainerStats;

    use super::{Samples, docker};

    fn sample(millis: i64, cpu_ns: u64, host_cpu_ns: u64) -> ContainerStats {
        let read_at = Timestamp::from_millis(millis);
        ContainerStats { name: "web".into(), read_at, cpu_ns, host_cpu_ns, cores: 2, ..Default::default() }
    }

    #[test]
    fn the_sample_before_lies_a_second_back() {
        let mut samples = Samples::default();
        let mut before = |millis| {
            let found = samples.take(&[sample(millis, 0, 0)]);
            found.map(|found| found[0].read_at.as_millis())
        };
        assert_eq!(before(0), None);
        assert_eq!(before(400), None);
        assert_eq!(before(1_000), Some(0));
        assert_eq!(before(1_001), Some(0));
        assert_eq!(before(1_999), Some(0));
        assert_eq!(before(2_000), Some(1_000));
        assert_eq!(before(2_500), Some(1_000));
        assert_eq!(before(60_000), Some(2_000));
        assert_eq!(before(60_001), Some(2_000));
    }

    #[test]
    fn dockers_formula_gives_the_share_of_cpu() {
        // Half a second of cpu in a second of two cores.
        let (before, now) = (sample(0, 1_000, 10_000_000_000), sample(1_000, 500_001_000, 12_000_000_000));
        let value = docker(&now, Some(&before));
        let of = |of: &str, path: &str| value[of].pointer(path).unwrap().as_f64().unwrap();
        let cpu = of("cpu_stats", "/cpu_usage/total_usage") - of("precpu_stats", "/cpu_usage/total_usage");
        let system = of("cpu_stats", "/system_cpu_usage") - of("precpu_stats", "/system_cpu_usage");
        let percent = cpu / system * of("cpu_stats", "/online_cpus") * 100.0;
        assert!((percent - 50.0).abs() < 1e-6, "{percent}");
        assert_eq!(docker(&now, None)["preread"], "0001-01-01T00:00:00Z");
    }
}
