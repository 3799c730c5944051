//! Reading a stream in the order of its events' times, forward or backward.
//!
//! Spans overlap in time only where a writer went back, so a page mostly reads one or two spans:
//! they are taken by their earliest (or latest) time until what is gathered cannot be preceded.

use std::os::unix::fs::FileExt;
use std::sync::Arc;

use crate::error::ReadError;
use crate::frame::{self, Frame, HEADER, Trim};
use crate::index::Span;
use crate::journal::Journal;
use crate::segment::Segment;

/// An event's place in its stream: time first, then arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    pub timestamp_ms: i64,
    pub seq: u64,
}

impl Position {
    pub const START: Position = Position { timestamp_ms: i64::MIN, seq: 0 };
    pub const END: Position = Position { timestamp_ms: i64::MAX, seq: u64::MAX };
}

/// Which events a page holds. Both bounds are exclusive positions; times bound them further.
#[derive(Debug, Clone, Copy)]
pub struct Query {
    pub after: Position,
    pub before: Position,
    /// Events at or after.
    pub from_ms: i64,
    /// Events before, exclusive.
    pub until_ms: i64,
    /// From the latest event down instead of from the earliest up.
    pub is_backward: bool,
    /// At most so many events.
    pub limit: usize,
    /// No further event once the events so far have this many bytes; the first always fits.
    pub limit_bytes: usize,
}

impl Default for Query {
    fn default() -> Self {
        Query {
            after: Position::START,
            before: Position::END,
            from_ms: i64::MIN,
            until_ms: i64::MAX,
            is_backward: false,
            limit: 10_000,
            limit_bytes: 1 << 20,
        }
    }
}

/// An event as it was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    pub position: Position,
    pub ingestion_ms: i64,
    pub bytes: Vec<u8>,
}

/// Events in the order of reading: latest first for a backward query.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    pub events: Vec<Stored>,
    /// Whether the query has further events behind these.
    pub has_more: bool,
}

/// A span with its file.
type Placed = (Arc<Segment>, Span);

impl Query {
    fn wants(&self, position: Position) -> bool {
        position > self.after
            && position < self.before
            && (self.from_ms..self.until_ms).contains(&position.timestamp_ms)
    }

    fn may_want(&self, span: &Span) -> bool {
        span.max_ms >= self.from_ms.max(self.after.timestamp_ms)
            && span.min_ms < self.until_ms
            && span.min_ms <= self.before.timestamp_ms
    }
}

impl Journal {
    /// One page of `stream`; empty for a stream that does not exist. Reads the disk: blocking.
    pub fn read(&self, stream: &str, query: &Query) -> Result<Page, ReadError> {
        let Some((trim, mut spans)) = self.spans(stream, query) else { return Ok(Page::default()) };
        match query.is_backward {
            false => spans.sort_by_key(|(_, span)| span.min_ms),
            true => spans.sort_by_key(|(_, span)| std::cmp::Reverse(span.max_ms)),
        }
        let mut gathered = Vec::new();
        let mut settled = 0;
        for (at, (segment, span)) in spans.iter().enumerate() {
            gather(stream, segment, span, trim, query, &mut gathered)?;
            match query.is_backward {
                false => gathered.sort_by_key(|event| event.position),
                true => gathered.sort_by_key(|event| std::cmp::Reverse(event.position)),
            }
            // An event of the next span's first instant may still come before one of this span.
            let next = spans.get(at + 1).map(|(_, span)| span);
            settled = match next {
                None => gathered.len(),
                Some(next) => gathered.partition_point(|event| match query.is_backward {
                    false => event.position.timestamp_ms < next.min_ms,
                    true => event.position.timestamp_ms > next.max_ms,
                }),
            };
            if fitting(&gathered[..settled], query) < settled {
                break;
            }
        }
        let count = fitting(&gathered[..settled], query);
        let has_more = count < gathered.len();
        gathered.truncate(count);
        Ok(Page { events: gathered, has_more })
    }

    /// The spans that may hold what `query` wants, with their files, which stay readable whatever
    /// happens to the index meanwhile.
    fn spans(&self, stream: &str, query: &Query) -> Option<(Option<Trim>, Vec<Placed>)> {
        let index = self.shared.index();
        let stream = index.streams.get(stream)?;
        let spans = stream.spans().filter(|(_, span)| query.may_want(span));
        let spans = spans.map(|(number, span)| {
            let segment = index.segments.get(&number).expect("a span's segment is in the index");
            (Arc::clone(segment), span.clone())
        });
        Some((stream.trim(), spans.collect()))
    }
}

/// How many of `events` a page takes. One more than fits tells that there are more.
fn fitting(events: &[Stored], query: &Query) -> usize {
    let mut bytes = 0;
    let fits = events.iter().take(query.limit).take_while(|event| {
        let is_first = bytes == 0;
        bytes += event.bytes.len() + 26;
        is_first || bytes <= query.limit_bytes
    });
    fits.count()
}

/// Adds the wanted events of one span to `into`.
fn gather(
    stream: &str,
    segment: &Segment,
    span: &Span,
    trim: Option<Trim>,
    query: &Query,
    into: &mut Vec<Stored>,
) -> Result<(), ReadError> {
    let damaged = |offset| ReadError::Damaged { segment: segment.number, offset };
    let mut bytes = vec![0; (span.end - span.start) as usize];
    segment
        .file
        .read_exact_at(&mut bytes, span.start)
        .map_err(|source| ReadError::Io { segment: segment.number, source })?;
    let (mut rest, mut at) = (&bytes[..], span.start);
    while let Some((header, behind)) = rest.split_first_chunk::<HEADER>() {
        let (length, checksum) = frame::header(*header).ok_or_else(|| damaged(at))?;
        let (payload, behind) = behind.split_at_checked(length).ok_or_else(|| damaged(at))?;
        if frame::key_of(payload) == Some(stream.as_bytes()) {
            if crc32fast::hash(payload) != checksum {
                return Err(damaged(at));
            }
            take(payload, trim, query, into).map_err(|_| damaged(at))?;
        }
        at += (HEADER + length) as u64;
        rest = behind;
    }
    Ok(())
}

fn take(
    payload: &[u8],
    trim: Option<Trim>,
    query: &Query,
    into: &mut Vec<Stored>,
) -> Result<(), frame::Malformed> {
    let Frame::Batch { head, events, .. } = Frame::parse(payload)? else { return Ok(()) };
    for (seq, event) in (head.first_seq..).zip(frame::events(events)) {
        let event = event?;
        let position = Position { timestamp_ms: event.timestamp_ms, seq };
        let is_gone = trim.is_some_and(|trim| trim.hides(seq, event.timestamp_ms));
        if query.wants(position) && !is_gone {
            let bytes = event.bytes.to_vec();
            into.push(Stored { position, ingestion_ms: head.ingestion_ms, bytes });
        }
    }
    Ok(())
}
