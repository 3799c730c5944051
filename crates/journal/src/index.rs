//! What is where: one entry per stretch of a segment, not per event.
//!
//! A span covers a stretch of one segment file in which some frames belong to its stream; others
//! lie between them. It ends when the stream has 64 KiB in it or the stretch is 1 MiB long, so
//! reading a span is one read, and a busy segment costs little memory however small its batches.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use crate::frame::{Frame, Head, State, Trim};
use crate::segment::Segment;

/// A stream's own bytes after which a new span begins.
const SPAN_OWN: u64 = 64 << 10;
/// The file stretch after which a new span begins.
const SPAN_STRETCH: u64 = 1 << 20;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Span {
    /// The bytes of the segment file.
    pub start: u64,
    pub end: u64,
    pub first_seq: u64,
    /// One past the last event's.
    pub next_seq: u64,
    pub min_ms: i64,
    pub max_ms: i64,
    /// Of the stream's frames in the stretch.
    pub own: u64,
    /// Of the events themselves.
    pub bytes: u64,
}

impl Span {
    fn takes(&self, end: u64) -> bool {
        self.own < SPAN_OWN && end - self.start <= SPAN_STRETCH
    }

    fn is_hidden(&self, trim: &Trim) -> bool {
        self.next_seq <= trim.upto && self.max_ms < trim.cutoff_ms
    }
}

/// A stream's share of one segment, after the last deletion in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Part {
    pub spans: Vec<Span>,
    pub trim: Option<Trim>,
    /// What this segment alone says.
    pub state: State,
}

#[derive(Debug, Default)]
pub(crate) struct Stream {
    /// By segment number, hence in order.
    pub parts: Vec<(u64, Part)>,
    /// All parts' states together.
    pub state: State,
}

impl Stream {
    pub fn spans(&self) -> impl Iterator<Item = (u64, &Span)> {
        self.parts.iter().flat_map(|(segment, part)| part.spans.iter().map(move |span| (*segment, span)))
    }

    /// The latest one rules: a shorter retention that came earlier may let go of what it hid.
    pub fn trim(&self) -> Option<Trim> {
        self.parts.iter().rev().find_map(|(_, part)| part.trim)
    }

    /// Whether some span lies wholly before `cutoff_ms`.
    pub fn has_before(&self, cutoff_ms: i64) -> bool {
        self.spans().any(|(_, span)| span.max_ms < cutoff_ms)
    }

    pub fn part(&mut self, segment: u64) -> &mut Part {
        let at = match self.parts.binary_search_by_key(&segment, |(number, _)| *number) {
            Ok(at) => at,
            Err(at) => {
                self.parts.insert(at, (segment, Part::default()));
                at
            }
        };
        &mut self.parts[at].1
    }

    /// Forgets the spans that the trim in force hides.
    pub fn drop_hidden(&mut self) {
        let Some(trim) = self.trim() else { return };
        for (_, part) in &mut self.parts {
            part.spans.retain(|span| !span.is_hidden(&trim));
        }
    }

    fn note_batch(&mut self, segment: u64, at: Range<u64>, head: &Head, source: Option<(&str, u64)>) {
        let next_seq = head.first_seq + u64::from(head.count);
        let mut state = State { next_seq, last_ingestion_ms: head.ingestion_ms, ..State::default() };
        if let Some((source, offset)) = source {
            state.cover(source, offset);
        }
        self.state.absorb(&state);
        let part = self.part(segment);
        part.state.absorb(&state);
        let own = at.end - at.start;
        match part.spans.last_mut() {
            Some(span) if span.takes(at.end) => {
                span.end = at.end;
                span.next_seq = next_seq;
                span.min_ms = span.min_ms.min(head.min_ms);
                span.max_ms = span.max_ms.max(head.max_ms);
                span.own += own;
                span.bytes += head.bytes;
            }
            _ => part.spans.push(Span {
                start: at.start,
                end: at.end,
                first_seq: head.first_seq,
                next_seq,
                min_ms: head.min_ms,
                max_ms: head.max_ms,
                own,
                bytes: head.bytes,
            }),
        }
    }
}

/// Every stream and every segment.
#[derive(Debug, Default)]
pub(crate) struct Index {
    pub streams: BTreeMap<Arc<str>, Stream>,
    pub segments: BTreeMap<u64, Arc<Segment>>,
}

impl Index {
    pub fn stream(&mut self, key: &str) -> &mut Stream {
        if !self.streams.contains_key(key) {
            self.streams.insert(Arc::from(key), Stream::default());
        }
        self.streams.get_mut(key).expect("inserted above")
    }

    /// Takes note of a frame that is durable at `at` of `segment`.
    pub fn note(&mut self, segment: u64, at: Range<u64>, frame: &Frame<'_>) {
        match frame {
            Frame::Batch { key, head, source, .. } => {
                self.stream(key).note_batch(segment, at, head, *source);
            }
            Frame::Delete { key } => drop(self.streams.remove(*key)),
            Frame::Trim { key, trim } => {
                let stream = self.stream(key);
                stream.part(segment).trim = Some(*trim);
                stream.drop_hidden();
            }
            Frame::State { key, state } => {
                let stream = self.stream(key);
                stream.state.absorb(state);
                stream.part(segment).state.absorb(state);
            }
            Frame::Footer(_) => {}
        }
    }

    /// Adds a sealed segment's share of a stream, segments in order.
    pub fn add_part(&mut self, key: &str, segment: u64, part: Part) {
        let stream = self.stream(key);
        stream.state.absorb(&part.state);
        *stream.part(segment) = part;
    }
}
