//! How frames look on disk, and nothing about where they are.
//!
//! ```text
//! batch   1 · key · first sequence u64 · ingestion i64 · source, offset u64 · count u32
//!           · earliest i64 · latest i64 · count × (timestamp i64 · length u32 · bytes)
//! delete  2 · key
//! trim    3 · key · cutoff i64 · upto u64
//! state   4 · key · next sequence u64 · last ingestion i64 · count u32 × (source · offset u64)
//! footer  9 · (empty key) · deleted keys · parts      see `segment`
//! ```
//! Texts are a u16 length and bytes; an absent source is an empty one.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::journal::Event;

/// Length and checksum.
pub(crate) const HEADER: usize = 8;
/// More than any frame has: a length above it is damage.
pub(crate) const MAX_PAYLOAD: usize = 64 << 20;

const BATCH: u8 = 1;
const DELETE: u8 = 2;
const TRIM: u8 = 3;
const STATE: u8 = 4;
pub(crate) const FOOTER: u8 = 9;

/// What a stream remembers beside its events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct State {
    pub next_seq: u64,
    pub last_ingestion_ms: i64,
    /// How far each source is covered.
    pub sources: BTreeMap<Arc<str>, u64>,
}

impl State {
    /// Adds what a later state knows.
    pub fn absorb(&mut self, later: &State) {
        self.next_seq = self.next_seq.max(later.next_seq);
        self.last_ingestion_ms = self.last_ingestion_ms.max(later.last_ingestion_ms);
        for (source, offset) in &later.sources {
            self.cover(source, *offset);
        }
    }

    pub fn cover(&mut self, source: &str, offset: u64) {
        match self.sources.get_mut(source) {
            Some(covered) => *covered = offset.max(*covered),
            None => drop(self.sources.insert(Arc::from(source), offset)),
        }
    }
}

/// Events with a sequence number below `upto` that are older than `cutoff_ms` are gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Trim {
    pub cutoff_ms: i64,
    pub upto: u64,
}

impl Trim {
    pub fn hides(&self, seq: u64, timestamp_ms: i64) -> bool {
        seq < self.upto && timestamp_ms < self.cutoff_ms
    }
}

/// A batch without its events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub first_seq: u64,
    pub count: u32,
    pub ingestion_ms: i64,
    pub min_ms: i64,
    pub max_ms: i64,
    /// Bytes of the events themselves.
    pub bytes: u64,
}

#[derive(Debug, PartialEq)]
pub(crate) enum Frame<'a> {
    Batch { key: &'a str, head: Head, source: Option<(&'a str, u64)>, events: &'a [u8] },
    Delete { key: &'a str },
    Trim { key: &'a str, trim: Trim },
    State { key: &'a str, state: State },
    Footer(&'a [u8]),
}

/// The bytes do not have a frame's form.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

impl Frame<'_> {
    /// Reads a payload whose checksum was right.
    pub fn parse(payload: &[u8]) -> Result<Frame<'_>, Malformed> {
        let mut cursor = Cursor(payload);
        let kind = cursor.u8()?;
        let key = cursor.text()?;
        match kind {
            BATCH => parse_batch(key, cursor),
            DELETE => Ok(Frame::Delete { key }),
            TRIM => Ok(Frame::Trim { key, trim: Trim { cutoff_ms: cursor.i64()?, upto: cursor.u64()? } }),
            STATE => Ok(Frame::State { key, state: cursor.state()? }),
            FOOTER => Ok(Frame::Footer(cursor.0)),
            _ => Err(Malformed),
        }
    }
}

fn parse_batch<'a>(key: &'a str, mut cursor: Cursor<'a>) -> Result<Frame<'a>, Malformed> {
    let first_seq = cursor.u64()?;
    let ingestion_ms = cursor.i64()?;
    let (source, offset) = (cursor.text()?, cursor.u64()?);
    let (count, min_ms, max_ms) = (cursor.u32()?, cursor.i64()?, cursor.i64()?);
    let overhead = u64::from(count).checked_mul(EVENT_OVERHEAD as u64).ok_or(Malformed)?;
    let bytes = (cursor.0.len() as u64).checked_sub(overhead).ok_or(Malformed)?;
    let head = Head { first_seq, count, ingestion_ms, min_ms, max_ms, bytes };
    let source = (!source.is_empty()).then_some((source, offset));
    Ok(Frame::Batch { key, head, source, events: cursor.0 })
}

/// The key of a payload, read without looking at the rest; `None` where it is malformed.
pub(crate) fn key_of(payload: &[u8]) -> Option<&[u8]> {
    let length = u16::from_le_bytes(payload.get(1..3)?.try_into().ok()?);
    payload.get(3..3 + usize::from(length))
}

const EVENT_OVERHEAD: usize = 12;

/// An event as it lies in a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lying<'a> {
    pub timestamp_ms: i64,
    pub bytes: &'a [u8],
}

/// The events of a batch in turn.
pub(crate) fn events(bytes: &[u8]) -> impl Iterator<Item = Result<Lying<'_>, Malformed>> {
    let mut cursor = Cursor(bytes);
    std::iter::from_fn(move || (!cursor.0.is_empty()).then(|| cursor.event()))
}

/// Appends a batch's frame to `out`. `events` is not empty.
pub(crate) fn write_batch(
    out: &mut Vec<u8>,
    key: &str,
    head: &Head,
    source: Option<(&str, u64)>,
    events: &[Event],
) {
    framed(out, |out| {
        out.push(BATCH);
        text(out, key);
        out.extend_from_slice(&head.first_seq.to_le_bytes());
        out.extend_from_slice(&head.ingestion_ms.to_le_bytes());
        let (source, offset) = source.unwrap_or_default();
        text(out, source);
        out.extend_from_slice(&offset.to_le_bytes());
        out.extend_from_slice(&head.count.to_le_bytes());
        out.extend_from_slice(&head.min_ms.to_le_bytes());
        out.extend_from_slice(&head.max_ms.to_le_bytes());
        for event in events {
            out.extend_from_slice(&event.timestamp_ms.to_le_bytes());
            out.extend_from_slice(&(event.bytes.len() as u32).to_le_bytes());
            out.extend_from_slice(&event.bytes);
        }
    });
}

pub(crate) fn write_delete(out: &mut Vec<u8>, key: &str) {
    framed(out, |out| {
        out.push(DELETE);
        text(out, key);
    });
}

pub(crate) fn write_trim(out: &mut Vec<u8>, key: &str, trim: Trim) {
    framed(out, |out| {
        out.push(TRIM);
        text(out, key);
        put_trim(out, trim);
    });
}

pub(crate) fn write_state(out: &mut Vec<u8>, key: &str, state: &State) {
    framed(out, |out| {
        out.push(STATE);
        text(out, key);
        put_state(out, state);
    });
}

/// Appends a frame around what `payload` writes.
pub(crate) fn framed(out: &mut Vec<u8>, payload: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER]);
    payload(out);
    let length = (out.len() - start - HEADER) as u32;
    let checksum = crc32fast::hash(&out[start + HEADER..]);
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
    out[start + 4..start + HEADER].copy_from_slice(&checksum.to_le_bytes());
}

pub(crate) fn text(out: &mut Vec<u8>, text: &str) {
    // Names are checked on their way in: none is longer than a u16 says.
    out.extend_from_slice(&(text.len() as u16).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

pub(crate) fn put_trim(out: &mut Vec<u8>, trim: Trim) {
    out.extend_from_slice(&trim.cutoff_ms.to_le_bytes());
    out.extend_from_slice(&trim.upto.to_le_bytes());
}

pub(crate) fn put_state(out: &mut Vec<u8>, state: &State) {
    out.extend_from_slice(&state.next_seq.to_le_bytes());
    out.extend_from_slice(&state.last_ingestion_ms.to_le_bytes());
    out.extend_from_slice(&(state.sources.len() as u32).to_le_bytes());
    for (source, offset) in &state.sources {
        text(out, source);
        out.extend_from_slice(&offset.to_le_bytes());
    }
}

/// Length and checksum of a frame, if the length can be one.
pub(crate) fn header(bytes: [u8; HEADER]) -> Option<(usize, u32)> {
    let [a, b, c, d, e, f, g, h] = bytes;
    let length = u32::from_le_bytes([a, b, c, d]) as usize;
    (1..=MAX_PAYLOAD).contains(&length).then(|| (length, u32::from_le_bytes([e, f, g, h])))
}

/// Reads from the front of a slice.
pub(crate) struct Cursor<'a>(pub &'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (front, rest) = self.0.split_at_checked(count).ok_or(Malformed)?;
        self.0 = rest;
        Ok(front)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.take(N)?.try_into().map_err(|_| Malformed)
    }

    pub fn u8(&mut self) -> Result<u8, Malformed> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_le_bytes)
    }

    pub fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_le_bytes)
    }

    pub fn i64(&mut self) -> Result<i64, Malformed> {
        self.array().map(i64::from_le_bytes)
    }

    pub fn text(&mut self) -> Result<&'a str, Malformed> {
        let length = u16::from_le_bytes(self.array()?);
        std::str::from_utf8(self.take(usize::from(length))?).map_err(|_| Malformed)
    }

    pub fn trim(&mut self) -> Result<Trim, Malformed> {
        Ok(Trim { cutoff_ms: self.i64()?, upto: self.u64()? })
    }

    pub fn state(&mut self) -> Result<State, Malformed> {
        let (next_seq, last_ingestion_ms, count) = (self.u64()?, self.i64()?, self.u32()?);
        let mut state = State { next_seq, last_ingestion_ms, ..State::default() };
        for _ in 0..count {
            let source = self.text()?;
            state.cover(source, self.u64()?);
        }
        Ok(state)
    }

    fn event(&mut self) -> Result<Lying<'a>, Malformed> {
        let timestamp_ms = self.i64()?;
        let length = self.u32()? as usize;
        match self.take(length) {
            Ok(bytes) => Ok(Lying { timestamp_ms, bytes }),
            Err(malformed) => {
                self.0 = &[]; // the iterator ends after reporting this
                Err(malformed)
            }
        }
    }
}
