//! Requests in, answers out, over the memory store and a journal in a directory of the test's own.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod events;
mod groups;
mod search;
mod streams;
mod sweep;

use std::sync::Arc;
use std::time::Duration;

use aws_logs::{CreateLogGroupRequest, CreateLogStreamRequest, InputLogEvent, PutLogEventsRequest, op};
use base::clock::Clock;
use base::{AccountId, Fault, Region};
use journal::Journal;
use service::{Caller, Origin, Platform, PlatformBuilder, Principal};
use service_logs::Logs;
use store::{Memory, Store};
use tempfile::TempDir;

struct Scene {
    logs: Logs,
    platform: Platform,
    dir: TempDir,
}

impl Scene {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let logs = Logs::new(Arc::new(Journal::open(dir.path()).unwrap()));
        let builder = PlatformBuilder::default().with(logs.service());
        let store = Store::open(Memory::default().open(), builder.kinds()).unwrap();
        let platform = builder.build(store, Clock::new(Duration::ZERO), 7);
        Scene { logs, platform, dir }
    }

    /// A scene with the group `g` and the stream `s`.
    async fn with_stream() -> Self {
        let scene = Scene::new();
        scene.group("g").await;
        scene.stream("g", "s").await;
        scene
    }

    async fn call<O: wire::Operation>(&self, request: O::Input) -> Result<O::Output, Fault> {
        self.platform.call::<O>(caller("us-east-1"), request).await
    }

    /// The code of the fault that the request is answered with.
    #[track_caller]
    fn code<T: std::fmt::Debug>(answer: Result<T, Fault>) -> String {
        answer.unwrap_err().code.into_owned()
    }

    async fn group(&self, name: &str) {
        let request = CreateLogGroupRequest { log_group_name: name.into(), ..Default::default() };
        self.call::<op::CreateLogGroup>(request).await.unwrap();
    }

    async fn stream(&self, group: &str, name: &str) {
        let request = CreateLogStreamRequest { log_group_name: group.into(), log_stream_name: name.into() };
        self.call::<op::CreateLogStream>(request).await.unwrap();
    }

    fn now(&self) -> i64 {
        self.platform.clock().now().as_millis()
    }

    /// Puts events into the group `g` at `(milliseconds from now, message)`.
    async fn put(&self, stream: &str, events: &[(i64, &str)]) -> aws_logs::PutLogEventsResponse {
        self.try_put(stream, events).await.unwrap()
    }

    async fn try_put(
        &self,
        stream: &str,
        events: &[(i64, &str)],
    ) -> Result<aws_logs::PutLogEventsResponse, Fault> {
        let now = self.now();
        let event = |(from_now, message): &(i64, &str)| InputLogEvent {
            timestamp: now + from_now,
            message: (*message).into(),
        };
        self.call::<op::PutLogEvents>(PutLogEventsRequest {
            log_group_name: "g".into(),
            log_stream_name: stream.into(),
            log_events: events.iter().map(event).collect(),
            ..Default::default()
        })
        .await
    }
}

fn caller(region: &str) -> Caller {
    Caller {
        account: AccountId::default_account(),
        region: Region::parse(region).unwrap(),
        principal: Principal::Root,
        origin: Origin::Operator,
        host: None,
        request_id: String::from("test"),
    }
}
