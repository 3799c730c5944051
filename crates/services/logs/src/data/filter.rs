//! FilterLogEvents: a group's streams as one, in the order of time.
//!
//! Streams are opened only when the merge reaches their first event, so that following the end of
//! a group with a thousand streams reads the few that still write.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;

use aws_logs::{FilterLogEventsRequest, FilterLogEventsResponse, FilteredLogEvent};
use base::Fault;
use journal::{Journal, Position, Query, ReadError, Stored};
use service::Data;
use store::{Record, Snapshot};

use crate::behaviour::pattern::Pattern;
use crate::behaviour::token::Bookmark;
use crate::data::{blocking, get};
use crate::faults;
use crate::state::{Group, Stream, find_group, stream_key};

const MOST: usize = 10_000;
const MOST_BYTES: usize = 1 << 20;
/// What one call looks at before it answers what it has, with a token.
const LOOKED_AT: usize = 200_000;
const LOOKED_AT_BYTES: usize = 32 << 20;
/// Events read from a stream at once.
const CHUNK: usize = 1_000;

pub(crate) async fn filter_log_events(
    journal: Arc<Journal>,
    cx: Data,
    request: FilterLogEventsRequest,
) -> Result<FilterLogEventsResponse, Fault> {
    let records = cx.snapshot();
    let (name, identifier) = (request.log_group_name.as_deref(), request.log_group_identifier.as_deref());
    let group = find_group(&records, &cx.caller, name, identifier)?;
    let pattern = Pattern::parse(request.filter_pattern.as_deref().unwrap_or_default())
        .map_err(|unreadable| faults::invalid(unreadable.0))?;
    let bookmark = request.next_token.as_deref().map(Bookmark::parse).transpose()?;
    let is_backward = match &bookmark {
        Some(bookmark) => bookmark.is_backward,
        None => request.start_from_head == Some(false),
    };
    let search = Search {
        from_ms: group.cutoff_ms(cx.now).max(request.start_time.unwrap_or(i64::MIN)),
        // AWS: an event at the end time belongs to the answer here.
        until_ms: request.end_time.map_or(i64::MAX, |end| end.saturating_add(1)),
        is_backward,
        limit: request.limit.map_or(MOST, |limit| limit.max(1) as usize).min(MOST),
        pattern,
        bookmark,
    };
    let streams = pick(&records, &group, &request)?;
    let found = blocking(move || search.run(&journal, &streams)).await?;
    Ok(FilterLogEventsResponse {
        events: Some(found.events),
        // AWS: empty since 2020.
        searched_log_streams: Some(Vec::new()),
        next_token: found.bookmark.map(|bookmark| bookmark.text()),
    })
}

/// The streams that the request names, or whose names begin as it says.
fn pick(
    records: &Snapshot,
    group: &Group,
    request: &FilterLogEventsRequest,
) -> Result<Vec<Arc<Stream>>, Fault> {
    match (&request.log_stream_names, &request.log_stream_name_prefix) {
        (Some(_), Some(_)) => {
            Err(faults::invalid("Only one of logStreamNames and logStreamNamePrefix can be specified."))
        }
        (Some(names), None) => {
            let find = |name: &String| {
                let key = stream_key(&group.account, &group.region, &group.name, name);
                records.get::<Stream>(&key).ok_or_else(faults::no_stream)
            };
            let mut streams = names.iter().map(find).collect::<Result<Vec<_>, Fault>>()?;
            streams.sort_by(|a, b| a.id.cmp(&b.id));
            streams.dedup_by(|a, b| a.id == b.id);
            Ok(streams)
        }
        (None, prefix) => {
            let prefix = prefix.as_deref().unwrap_or_default();
            Ok(records
                .scan::<Stream>(&group.key())
                .filter(|stream| stream.name.starts_with(prefix))
                .collect())
        }
    }
}

struct Search {
    from_ms: i64,
    until_ms: i64,
    is_backward: bool,
    limit: usize,
    pattern: Pattern,
    bookmark: Option<Bookmark>,
}

#[derive(Default)]
struct Found {
    events: Vec<FilteredLogEvent>,
    bookmark: Option<Bookmark>,
}

/// A stream that may still have events for the search.
struct Lane<'a> {
    stream: &'a Stream,
    key: String,
    query: Query,
    /// No event of the lane comes before this time in the search's direction.
    bound_ms: i64,
    chunk: VecDeque<Stored>,
    has_more: bool,
}

impl Search {
    fn run(&self, journal: &Journal, streams: &[Arc<Stream>]) -> Result<Found, ReadError> {
        let lanes = streams.iter().filter_map(|stream| self.lane(journal, stream)).collect();
        let mut merge = Merge::new(journal, lanes, self.is_backward);
        let mut found = Found::default();
        let (mut looked_at, mut looked_at_bytes, mut bytes) = (0, 0, 0);
        while let Some((stream, event)) = merge.next()? {
            let bookmark = Bookmark {
                is_backward: self.is_backward,
                timestamp_ms: event.position.timestamp_ms,
                stream: stream.id.clone(),
                seq: event.position.seq,
            };
            let size = event.bytes.len() + 26;
            looked_at += 1;
            looked_at_bytes += size;
            let message = get::text(event.bytes);
            if self.pattern.matches(&message) {
                bytes += size;
                found.events.push(shape(stream, event.position, event.ingestion_ms, message));
            }
            let is_full = found.events.len() >= self.limit || bytes >= MOST_BYTES;
            if is_full || looked_at >= LOOKED_AT || looked_at_bytes >= LOOKED_AT_BYTES {
                found.bookmark = merge.has_next()?.then_some(bookmark);
                break;
            }
        }
        Ok(found)
    }

    /// `None` for a stream that has nothing in the search's window.
    fn lane<'a>(&self, journal: &Journal, stream: &'a Stream) -> Option<Lane<'a>> {
        let key = stream.journal_key();
        let (first, last) = journal.summary(&key)?.span_ms?;
        let mut query = Query {
            from_ms: self.from_ms,
            until_ms: self.until_ms,
            is_backward: self.is_backward,
            limit: CHUNK,
            ..Query::default()
        };
        if let Some(bookmark) = &self.bookmark {
            let timestamp_ms = bookmark.timestamp_ms;
            // All of the bookmark's instant is done for streams before its own, nothing behind it.
            let (is_done, seq) = match stream.id.cmp(&bookmark.stream) {
                std::cmp::Ordering::Equal => (true, bookmark.seq),
                order => (order.is_lt() != self.is_backward, if self.is_backward { 0 } else { u64::MAX }),
            };
            let edge = match (is_done, self.is_backward) {
                (true, _) => Position { timestamp_ms, seq },
                (false, false) => Position { timestamp_ms: timestamp_ms.saturating_sub(1), seq: u64::MAX },
                (false, true) => Position { timestamp_ms: timestamp_ms.saturating_add(1), seq: 0 },
            };
            match self.is_backward {
                false => query.after = edge,
                true => query.before = edge,
            }
        }
        let (low, high) = (first.max(self.from_ms), last.min(self.until_ms.saturating_sub(1)));
        let low = low.max(query.after.timestamp_ms);
        let high = high.min(query.before.timestamp_ms);
        let bound_ms = if self.is_backward { high } else { low };
        let chunk = VecDeque::new();
        (low <= high).then_some(Lane { stream, key, query, bound_ms, chunk, has_more: true })
    }
}

/// All lanes as one. The heap holds each lane that may have more, by the time of its next event.
struct Merge<'a> {
    journal: &'a Journal,
    lanes: Vec<Lane<'a>>,
    /// Time; whether that is known to be an event's and not just a bound, which is looked at first;
    /// the lane. Times are complemented to run backward.
    heap: BinaryHeap<Reverse<(i64, bool, usize)>>,
    is_backward: bool,
}

impl<'a> Merge<'a> {
    fn new(journal: &'a Journal, mut lanes: Vec<Lane<'a>>, is_backward: bool) -> Self {
        lanes.sort_by(|a, b| a.stream.id.cmp(&b.stream.id));
        if is_backward {
            lanes.reverse();
        }
        let mut merge = Merge { journal, lanes, heap: BinaryHeap::new(), is_backward };
        (0..merge.lanes.len()).for_each(|at| merge.enter(at));
        merge
    }

    fn enter(&mut self, at: usize) {
        let lane = &self.lanes[at];
        let (time, is_event) = match lane.chunk.front() {
            Some(event) => (event.position.timestamp_ms, true),
            None if lane.has_more => (lane.bound_ms, false),
            None => return,
        };
        self.heap.push(Reverse((if self.is_backward { !time } else { time }, is_event, at)));
    }

    /// Reads as far as needed to be sure which event is next.
    fn has_next(&mut self) -> Result<bool, ReadError> {
        while let Some(&Reverse((_, is_event, at))) = self.heap.peek() {
            if is_event {
                return Ok(true);
            }
            self.heap.pop();
            self.lanes[at].fill(self.journal)?;
            self.enter(at);
        }
        Ok(false)
    }

    fn next(&mut self) -> Result<Option<(&'a Stream, Stored)>, ReadError> {
        if !self.has_next()? {
            return Ok(None);
        }
        let Some(Reverse((_, _, at))) = self.heap.pop() else { return Ok(None) };
        let event = self.lanes[at].chunk.pop_front().expect("a lane entered with an event has it");
        self.enter(at);
        Ok(Some((self.lanes[at].stream, event)))
    }
}

impl Lane<'_> {
    fn fill(&mut self, journal: &Journal) -> Result<(), ReadError> {
        let page = journal.read(&self.key, &self.query)?;
        self.has_more = page.has_more;
        if let Some(last) = page.events.last() {
            match self.query.is_backward {
                false => self.query.after = last.position,
                true => self.query.before = last.position,
            }
            self.bound_ms = last.position.timestamp_ms;
        }
        self.chunk = page.events.into();
        Ok(())
    }
}

fn shape(stream: &Stream, position: Position, ingestion_ms: i64, message: String) -> FilteredLogEvent {
    let id = u64::from_str_radix(&stream.id, 16).unwrap_or_default();
    FilteredLogEvent {
        log_stream_name: Some(stream.name.clone()),
        timestamp: Some(position.timestamp_ms),
        message: Some(message),
        ingestion_time: Some(ingestion_ms),
        event_id: Some(format!("{:016}{id:020}{:020}", position.timestamp_ms.max(0), position.seq)),
    }
}
