//! Log streams.

use std::sync::Arc;

use aws_logs::{
    CreateLogStreamRequest, DeleteLogStreamRequest, DescribeLogStreamsRequest, DescribeLogStreamsResponse,
};
use base::Fault;
use journal::{Journal, Summary};
use service::{Tx, View};
use store::Record;
use wire::Empty;

use crate::api::group::PAGE;
use crate::state::{Stream, find_group, stream_key};
use crate::{convert, faults};

pub(super) fn create(tx: &mut Tx<'_>, request: CreateLogStreamRequest) -> Result<Empty, Fault> {
    let group = find_group(tx, tx.caller, Some(&request.log_group_name), None)?;
    let stream = Stream {
        account: group.account.clone(),
        region: group.region.clone(),
        group: group.name.clone(),
        group_id: group.id.clone(),
        name: request.log_stream_name,
        id: tx.chance.hex(16),
        created_at: tx.now,
    };
    if tx.contains::<Stream>(&stream.key()) {
        return Err(faults::stream_exists());
    }
    tx.put(stream);
    Ok(Empty::default())
}

pub(super) fn delete(tx: &mut Tx<'_>, request: DeleteLogStreamRequest) -> Result<Empty, Fault> {
    let group = find_group(tx, tx.caller, Some(&request.log_group_name), None)?;
    let key = stream_key(&group.account, &group.region, &group.name, &request.log_stream_name);
    match tx.delete::<Stream>(&key) {
        true => Ok(Empty::default()),
        false => Err(faults::no_stream()),
    }
}

pub(super) fn describe(
    journal: &Journal,
    view: &View<'_>,
    request: DescribeLogStreamsRequest,
) -> Result<DescribeLogStreamsResponse, Fault> {
    let by_time = request.order_by.as_deref() == Some("LastEventTime");
    if by_time && request.log_stream_name_prefix.is_some() {
        return Err(faults::invalid("Cannot order by LastEventTime with a logStreamNamePrefix."));
    }
    let group = find_group(
        view,
        view.caller,
        request.log_group_name.as_deref(),
        request.log_group_identifier.as_deref(),
    )?;
    let prefix = request.log_stream_name_prefix.unwrap_or_default();
    let named = view.scan::<Stream>(&group.key()).filter(|stream| stream.name.starts_with(&prefix));
    let mut places: Vec<Place> = named.map(|stream| Place::of(stream, journal, by_time)).collect();
    places.sort_by(|a, b| a.order().cmp(&b.order()));
    if request.descending == Some(true) {
        places.reverse();
    }
    let from = match request.next_token.as_deref() {
        None => 0,
        Some(token) => {
            let (time, name) = token.split_once('/').ok_or_else(faults::bad_token)?;
            let last = (time.parse().map_err(|_| faults::bad_token())?, name);
            places.partition_point(|place| match request.descending {
                Some(true) => place.order() >= last,
                _ => place.order() <= last,
            })
        }
    };
    let page = &places[from..];
    let limit = request.limit.unwrap_or(PAGE).max(1) as usize;
    let next_token = (page.len() > limit).then(|| {
        let (time, name) = page[limit - 1].order();
        format!("{time}/{name}")
    });
    let shapes = page.iter().take(limit).map(|place| convert::stream(&place.stream, place.summary));
    Ok(DescribeLogStreamsResponse { log_streams: Some(shapes.collect()), next_token })
}

/// A stream with what it is ordered by.
struct Place {
    stream: Arc<Stream>,
    summary: Option<Summary>,
    /// The same for all when the order is by name alone.
    time_ms: i64,
}

impl Place {
    fn of(stream: Arc<Stream>, journal: &Journal, by_time: bool) -> Self {
        let summary = journal.summary(&stream.journal_key());
        let last = summary.and_then(|summary| summary.span_ms).map_or(0, |(_, last)| last);
        Place { stream, summary, time_ms: if by_time { last } else { 0 } }
    }

    fn order(&self) -> (i64, &str) {
        (self.time_ms, &self.stream.name)
    }
}
