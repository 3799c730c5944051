//! Lines of balancers' logs, on their way into CloudWatch Logs, until there are buckets.
//!
//! `bucket/prefix` is the log group `/aws/elasticloadbalancing/bucket/prefix`, and the streams in it are
//! named as AWS names a bucket's objects, without their times.
//!
//! Invariant: who serves never waits for this; lines that find no room are lost.

use std::collections::HashSet;

use aws_logs::op::{CreateLogGroup, CreateLogStream, PutLogEvents};
use aws_logs::{CreateLogGroupRequest, CreateLogStreamRequest, InputLogEvent, PutLogEventsRequest};
use base::{AccountId, Fault, Region};
use link::Lines;
use proxy::log::{Batch, LogKind, Logs};
use service::{Caller, Platform};
use tokio::sync::mpsc;

/// Batches that wait to be kept; one is of 32 KiB.
pub const QUEUE: usize = 256;

/// Hands batches on.
pub struct Outlet(pub mpsc::Sender<Lines>);

impl Logs for Outlet {
    fn keep(&self, batch: &Batch) {
        let place = &batch.balancer.place;
        let kind = match batch.kind {
            LogKind::Access => "access",
            LogKind::Connection => "connection",
            LogKind::HealthCheck => "health_check",
        };
        let lines = Lines {
            account: place.account.clone(),
            region: place.region.clone(),
            balancer: batch.balancer.id.clone(),
            kind: kind.to_owned(),
            destination: batch.destination.clone(),
            lines: batch.lines.clone(),
        };
        if self.0.try_send(lines).is_err() {
            tracing::debug!("lines of a load balancer's log are lost");
        }
    }
}

fn group(lines: &Lines) -> String {
    format!("/aws/elasticloadbalancing/{}", lines.destination)
}

/// AWS: `AWSLogs/<account>/elasticloadbalancing/<region>/…/<account>_elasticloadbalancing_<region>_app.<name>.<id>_…`,
/// with `conn_log.` and `health_check_log.` in front of the other kinds' last part.
fn stream(lines: &Lines) -> String {
    let Lines { account, region, .. } = lines;
    let kind = match lines.kind.as_str() {
        "connection" => "conn_log.",
        "health_check" => "health_check_log.",
        _ => "",
    };
    let balancer = lines.balancer.replace('/', ".");
    format!(
        "AWSLogs/{account}/elasticloadbalancing/{region}/{kind}{account}_elasticloadbalancing_{region}_{balancer}"
    )
}

/// Keeps lines until nobody sends any more.
pub async fn keep(platform: Platform, mut received: mpsc::Receiver<Lines>) {
    let mut open = HashSet::new();
    while let Some(lines) = received.recv().await {
        let caller = Caller::platform(
            "delivery.logs.amazonaws.com",
            AccountId::parse(&lines.account).unwrap_or_else(AccountId::default_account),
            Region::parse(&lines.region).unwrap_or_else(Region::default_region),
        );
        let is_open = open.contains(&(group(&lines), stream(&lines)));
        let kept = match put(&platform, &caller, &lines, is_open).await {
            // Somebody has deleted it since.
            Err(fault) if is_open && fault.code == "ResourceNotFoundException" => {
                put(&platform, &caller, &lines, false).await
            }
            other => other,
        };
        match kept {
            Ok(()) => drop(open.insert((group(&lines), stream(&lines)))),
            Err(fault) => tracing::warn!(balancer = %lines.balancer, %fault, "log lines could not be kept"),
        }
    }
}

async fn put(platform: &Platform, caller: &Caller, lines: &Lines, is_open: bool) -> Result<(), Fault> {
    let (log_group_name, log_stream_name) = (group(lines), stream(lines));
    if !is_open {
        let request = CreateLogGroupRequest { log_group_name: log_group_name.clone(), ..Default::default() };
        existing_is_fine(platform.call::<CreateLogGroup>(caller.clone(), request).await)?;
        let request = CreateLogStreamRequest {
            log_group_name: log_group_name.clone(),
            log_stream_name: log_stream_name.clone(),
        };
        existing_is_fine(platform.call::<CreateLogStream>(caller.clone(), request).await)?;
    }
    let timestamp = platform.clock().now().as_millis();
    let event = |line: &str| InputLogEvent { timestamp, message: line.to_owned() };
    let request = PutLogEventsRequest {
        log_group_name,
        log_stream_name,
        log_events: lines.lines.lines().map(event).collect(),
        ..Default::default()
    };
    platform.call::<PutLogEvents>(caller.clone(), request).await.map(drop)
}

fn existing_is_fine<T>(answer: Result<T, Fault>) -> Result<(), Fault> {
    match answer {
        Err(fault) if fault.code != "ResourceAlreadyExistsException" => Err(fault),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_named_as_objects_are() {
        let named = |kind: &str| {
            let lines = Lines {
                account: "000000000000".into(),
                region: "us-east-1".into(),
                balancer: "app/web/50dc6c495c0c9188".into(),
                kind: kind.into(),
                destination: "bucket/prefix".into(),
                lines: String::new(),
            };
            (group(&lines), stream(&lines))
        };
        let (group, stream) = named("access");
        assert_eq!(group, "/aws/elasticloadbalancing/bucket/prefix");
        assert_eq!(
            stream,
            "AWSLogs/000000000000/elasticloadbalancing/us-east-1/\
             000000000000_elasticloadbalancing_us-east-1_app.web.50dc6c495c0c9188"
        );
        assert!(named("connection").1.contains("/conn_log.000000000000_"));
    }
}
