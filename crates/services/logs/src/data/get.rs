//! GetLogEvents: one stream, page by page, both ways.

use std::sync::Arc;

use aws_logs::{GetLogEventsRequest, GetLogEventsResponse, OutputLogEvent};
use base::Fault;
use journal::{Journal, Position, Query, Stored};
use service::Data;

use crate::behaviour::token::{Turn, before, behind};
use crate::data::read;
use crate::faults;
use crate::state::{Stream, find_group, stream_key};

/// AWS: a page without a limit has at most so many, and a mebibyte.
const MOST: usize = 10_000;

/// `unmask` is fulfilled as it is: no data protection policy masks anything here.
pub(crate) async fn get_log_events(
    journal: Arc<Journal>,
    cx: Data,
    request: GetLogEventsRequest,
) -> Result<GetLogEventsResponse, Fault> {
    let records = cx.snapshot();
    let (name, identifier) = (request.log_group_name.as_deref(), request.log_group_identifier.as_deref());
    let group = find_group(&records, &cx.caller, name, identifier)?;
    let key = stream_key(&group.account, &group.region, &group.name, &request.log_stream_name);
    let stream = records.get::<Stream>(&key).ok_or_else(faults::no_stream)?;
    let turn = request.next_token.as_deref().map(Turn::parse).transpose()?;
    let mut query = Query {
        from_ms: group.cutoff_ms(cx.now).max(request.start_time.unwrap_or(i64::MIN)),
        until_ms: request.end_time.unwrap_or(i64::MAX),
        is_backward: request.start_from_head != Some(true),
        limit: request.limit.map_or(MOST, |limit| limit.max(1) as usize).min(MOST),
        ..Query::default()
    };
    match turn {
        Some(Turn::Forward(position)) => (query.is_backward, query.after) = (false, position),
        Some(Turn::Backward(position)) => (query.is_backward, query.before) = (true, position),
        None => {}
    }
    let mut page = read(journal, stream.journal_key(), query).await?;
    if query.is_backward {
        page.events.reverse();
    }
    let (backward, forward) = ends(&page.events, turn);
    Ok(GetLogEventsResponse {
        events: Some(page.events.into_iter().map(shape).collect()),
        next_forward_token: Some(forward.text()),
        next_backward_token: Some(backward.text()),
    })
}

/// Where to go on from a page, down and up. AWS: at the end the token stays as it was.
fn ends(events: &[Stored], turn: Option<Turn>) -> (Turn, Turn) {
    match (events, turn) {
        ([first, .., last], _) => (Turn::Backward(first.position), Turn::Forward(last.position)),
        ([only], _) => (Turn::Backward(only.position), Turn::Forward(only.position)),
        ([], Some(Turn::Forward(at))) => (Turn::Backward(behind(at)), Turn::Forward(at)),
        ([], Some(Turn::Backward(at))) => (Turn::Backward(at), Turn::Forward(before(at))),
        ([], None) => (Turn::Backward(Position::START), Turn::Forward(Position::START)),
    }
}

fn shape(event: Stored) -> OutputLogEvent {
    OutputLogEvent {
        timestamp: Some(event.position.timestamp_ms),
        message: Some(text(event.bytes)),
        ingestion_time: Some(event.ingestion_ms),
    }
}

/// Messages were text when they came in.
pub(super) fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}
