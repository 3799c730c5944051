//! Figures of real containers.

use std::time::Duration;

use runtime::{Network, Place, Signal, TaskSandbox};

use crate::fixture::{TASK, linux};

#[tokio::test]
async fn what_a_container_uses() {
    let Some(fixture) = linux() else { return };
    let runtime = &fixture.runtime;
    let sandbox = TaskSandbox { memory_mib: Some(64), ..fixture.sandbox() };
    runtime.create_sandbox(sandbox).await.unwrap();
    let work = "seq 1 100000 > /tmp/x; echo up; exec sleep 1000";
    let mut plan = fixture.plan("main", work);
    plan.memory_mib = Some(32);
    runtime.start_container(TASK, plan).await.unwrap();
    runtime.start_container(TASK, fixture.plan("other", "echo up; exec sleep 1000")).await.unwrap();
    for name in ["main", "other"] {
        runtime.output(TASK, name, Default::default()).await.unwrap();
    }
    let stats = runtime.stats(TASK).await.unwrap();
    let [main, other] = &stats[..] else { panic!("{stats:?}") };
    assert_eq!((main.name.as_str(), other.name.as_str()), ("main", "other"));
    assert_eq!((main.memory_limit_bytes, other.memory_limit_bytes), (32 << 20, 64 << 20));
    assert!(main.memory_bytes > 0 && main.memory_max_bytes >= main.memory_bytes, "{main:?}");
    assert!(main.cpu_ns > 0 && main.host_cpu_ns > main.cpu_ns && main.cores > 0, "{main:?}");
    assert!(main.memory_detail.len() > 10 && main.pids == 1 && main.pids_limit.is_some(), "{main:?}");
    // Its own namespace has loopback alone, which does not count.
    assert!(main.networks.is_empty(), "{main:?}");
    // Nor is the host's traffic a container's.
    let mut hosts = fixture.plan("host", "echo up; exec sleep 1000");
    hosts.place = Some(Place { network: Network::Host, ..fixture.sandbox().place });
    runtime.start_container(TASK, hosts).await.unwrap();
    assert!(runtime.stats(TASK).await.unwrap()[2].networks.is_empty());
    runtime.stop(TASK, "host", Signal::KILL, Duration::ZERO).await.unwrap();
    // What has ended uses nothing.
    runtime.stop(TASK, "main", Signal::KILL, Duration::ZERO).await.unwrap();
    let stats = runtime.stats(TASK).await.unwrap();
    assert_eq!(stats.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(), ["other"]);
    runtime.remove_sandbox(TASK).await.unwrap();
    assert!(runtime.stats(TASK).await.unwrap().is_empty());
    fixture.end().await;
}
