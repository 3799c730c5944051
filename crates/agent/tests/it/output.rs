use core_lifecycle::{Assignment, Phase};
use link::Order;

use crate::fakes::{Host, StoredStream, TASK, Trouble, assignment, log};

fn logging() -> Assignment {
    let mut task = assignment(TASK, &[("web", true, "")]);
    task.containers[0].logging = log();
    task
}

async fn running() -> Host {
    let mut host = Host::new().await;
    host.run(logging());
    host.phase(TASK, Phase::Running).await;
    host
}

fn stored(host: &Host) -> StoredStream {
    host.logs.streams.lock().unwrap().values().next().cloned().unwrap_or_default()
}

async fn until_stored(host: &Host, count: usize) {
    host.logs.until(|streams| streams.values().any(|stream| stream.lines.len() >= count)).await;
}

#[tokio::test]
async fn lines_arrive_in_order_and_empty_ones_do_not() {
    let host = running().await;
    for line in ["one", "", "two", "\u{fffd}"] {
        host.runtime.say(TASK, "web", line);
    }
    until_stored(&host, 3).await;
    assert_eq!(stored(&host).lines, ["one", "two", "\u{fffd}"]);
    host.agent.close().await;
}

#[tokio::test]
async fn the_end_is_reported_after_the_last_line() {
    let mut host = running().await;
    host.runtime.say(TASK, "web", "last words");
    host.order(TASK, 1, Order::Stop);
    host.phase(TASK, Phase::Stopped).await;
    assert_eq!(stored(&host).lines, ["last words"]);
    host.agent.close().await;
}

#[tokio::test]
async fn trouble_that_passes_loses_nothing() {
    let host = running().await;
    host.logs.trouble.lock().unwrap().extend([Trouble::Throttled, Trouble::Throttled]);
    host.runtime.say(TASK, "web", "one");
    until_stored(&host, 1).await;
    assert_eq!(stored(&host).lines, ["one"]);
    host.agent.close().await;
}

#[tokio::test]
async fn what_is_refused_is_dropped_and_the_rest_arrives() {
    let host = running().await;
    host.logs.trouble.lock().unwrap().push(Trouble::Refused);
    host.runtime.say(TASK, "web", "bad");
    while !host.logs.trouble.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    host.runtime.say(TASK, "web", "good");
    until_stored(&host, 1).await;
    assert_eq!(stored(&host).lines, ["good"]);
    host.agent.close().await;
}

#[tokio::test]
async fn a_restart_after_a_lost_answer_repeats_the_same_batch() {
    let host = running().await;
    host.logs.trouble.lock().unwrap().push(Trouble::AnswerLost);
    host.runtime.say(TASK, "web", "one");
    until_stored(&host, 1).await;
    // More arrives before the restart: the repeated batch must not grow by it.
    host.runtime.say(TASK, "web", "two");
    let host = host.restart().await;
    until_stored(&host, 2).await;
    let stream = stored(&host);
    assert_eq!(stream.lines, ["one", "two"]);
    assert_eq!(stream.batches[0], stream.batches[1], "the same tokens again");
    assert_eq!(stream.batches[1].1, stream.batches[2].0, "without a gap");
    host.agent.close().await;
}

#[tokio::test]
async fn what_is_shipped_is_removed_from_the_disk() {
    let host = running().await;
    let long = "x".repeat(200_000);
    for _ in 0..4 {
        host.runtime.say(TASK, "web", &long);
    }
    until_stored(&host, 4).await;
    host.runtime.say(TASK, "web", "end");
    until_stored(&host, 5).await;
    let dir = runtime::Runtime::spool(&*host.runtime, TASK, "web");
    loop {
        let left: u64 = std::fs::read_dir(&dir).unwrap().map(|e| e.unwrap().metadata().unwrap().len()).sum();
        if left < 600_000 {
            break;
        }
        tokio::task::yield_now().await;
    }
    host.agent.close().await;
}
