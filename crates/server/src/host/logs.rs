//! Containers' output into CloudWatch Logs: the agent's sink, by the API's own operations.

use agent::{LogBatch, LogSink, LogSource, SinkError};
use aws_logs::op::{CreateLogGroup, CreateLogStream};
use aws_logs::{CreateLogGroupRequest, CreateLogStreamRequest};
use base::{AccountId, Fault, Region};
use core_lifecycle::LogTarget;
use runtime::Pending;
use service::{Caller, Platform};
use service_logs::{Incoming, Logs, Target};

/// Puts batches into log streams in the name of the task's execution role.
pub struct Sink {
    platform: Platform,
    logs: Logs,
}

impl Sink {
    pub fn new(platform: Platform, logs: Logs) -> Self {
        Sink { platform, logs }
    }
}

fn caller(source: &LogSource, target: &LogTarget) -> Caller {
    let account = AccountId::parse(&source.account).unwrap_or_else(AccountId::default_account);
    let region = Region::parse(&target.region).unwrap_or_else(Region::default_region);
    let caller = Caller::platform("ecs-tasks.amazonaws.com", account, region);
    match &source.execution_role {
        Some(role) => caller.with_role(role, "awslogs"),
        None => caller,
    }
}

fn refused(fault: Fault) -> SinkError {
    let is_retryable = fault.blame == base::Blame::Server;
    SinkError { code: fault.code.into_owned(), message: fault.message, is_retryable }
}

/// What exists already is what was asked for.
fn existing_is_fine<T>(answer: Result<T, Fault>) -> Result<(), SinkError> {
    match answer {
        Ok(_) => Ok(()),
        Err(fault) if fault.code == "ResourceAlreadyExistsException" => Ok(()),
        Err(fault) => Err(refused(fault)),
    }
}

impl LogSink for Sink {
    fn open<'a>(
        &'a self,
        source: &'a LogSource,
        target: &'a LogTarget,
    ) -> Pending<'a, Result<(), SinkError>> {
        Box::pin(async move {
            let caller = caller(source, target);
            if target.create_group {
                let request =
                    CreateLogGroupRequest { log_group_name: target.group.clone(), ..Default::default() };
                existing_is_fine(self.platform.call::<CreateLogGroup>(caller.clone(), request).await)?;
            }
            let request = CreateLogStreamRequest {
                log_group_name: target.group.clone(),
                log_stream_name: target.stream.clone(),
            };
            existing_is_fine(self.platform.call::<CreateLogStream>(caller, request).await)
        })
    }

    fn put<'a>(
        &'a self,
        source: &'a LogSource,
        target: &'a LogTarget,
        batch: LogBatch,
    ) -> Pending<'a, Result<(), SinkError>> {
        Box::pin(async move {
            let caller = caller(source, target);
            let to = Target {
                account: caller.account,
                region: caller.region,
                group: target.group.clone(),
                stream: target.stream.clone(),
            };
            let last = batch.events.len().saturating_sub(1);
            // A line takes more than one byte of its source, so these positions stay within the batch.
            let offset = |nth: usize| if nth == last { batch.next } else { batch.first + nth as u64 + 1 };
            let events = batch.events.iter().enumerate().map(|(nth, event)| Incoming {
                timestamp_ms: event.at.as_millis(),
                message: event.message.clone(),
                offset: offset(nth),
            });
            let put = self.logs.put_once(&self.platform, &to, &source.runtime_id, events.collect());
            put.await.map(drop).map_err(refused)
        })
    }
}
