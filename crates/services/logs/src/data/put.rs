//! PutLogEvents.

use std::sync::Arc;

use aws_logs::{InputLogEvent, PutLogEventsRequest, PutLogEventsResponse, RejectedEntityInfo};
use base::{Fault, Timestamp};
use journal::{Event, Journal};
use service::{Caller, Data};
use store::Snapshot;

use crate::behaviour::accept::{self, Incoming, Put};
use crate::state::{Stream, find_group, stream_key};
use crate::{convert, faults};

pub(crate) async fn put_log_events(
    journal: Arc<Journal>,
    cx: Data,
    request: PutLogEventsRequest,
) -> Result<PutLogEventsResponse, Fault> {
    let incoming =
        |event: InputLogEvent| Incoming { timestamp_ms: event.timestamp, message: event.message, offset: 0 };
    let events: Vec<Incoming> = request.log_events.into_iter().map(incoming).collect();
    accept::check_order(&events)?;
    let to = Destination::find(
        &cx.snapshot(),
        &cx.caller,
        &request.log_group_name,
        &request.log_stream_name,
        cx.now,
    )?;
    let put = write(&journal, &to, None, cx.now, events, true).await?;
    Ok(PutLogEventsResponse {
        next_sequence_token: Some(convert::sequence_token(put.next_seq)),
        rejected_log_events_info: put.rejected,
        // The events are kept; that no entity is associated with them is said, not swallowed.
        rejected_entity_info: request
            .entity
            .map(|_| RejectedEntityInfo { error_type: String::from("UnsupportedLogGroupType") }),
    })
}

/// Where events go, and since when they count.
pub(super) struct Destination {
    pub key: String,
    pub cutoff_ms: i64,
}

impl Destination {
    pub fn find(
        records: &Snapshot,
        caller: &Caller,
        group: &str,
        stream: &str,
        now: Timestamp,
    ) -> Result<Self, Fault> {
        let group = find_group(records, caller, Some(group), None)?;
        let key = stream_key(&group.account, &group.region, &group.name, stream);
        let stream = records.get::<Stream>(&key).ok_or_else(faults::no_stream)?;
        Ok(Destination { key: stream.journal_key(), cutoff_ms: group.cutoff_ms(now) })
    }
}

/// Appends what is acceptable of `events`; durable when it answers.
pub(super) async fn write(
    journal: &Journal,
    to: &Destination,
    source: Option<&str>,
    now: Timestamp,
    events: Vec<Incoming>,
    is_one_request: bool,
) -> Result<Put, Fault> {
    accept::check_size(&events)?;
    let (taken, rejected) = accept::sift(events, now, to.cutoff_ms);
    if is_one_request {
        accept::check_span(&taken)?;
    }
    let event = |event: Incoming| Event {
        timestamp_ms: event.timestamp_ms,
        offset: event.offset,
        bytes: event.message.into_bytes(),
    };
    let events = taken.into_iter().map(event).collect();
    let appended = journal.append(&to.key, source, now.as_millis(), events).await;
    let appended = appended.map_err(|error| faults::unwritten(&error))?;
    Ok(Put { written: appended.written, next_seq: appended.next_seq, rejected })
}
