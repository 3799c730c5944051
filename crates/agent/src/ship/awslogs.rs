//! The `awslogs` driver: lines as events, in batches that one call takes.

use base::Timestamp;
use runtime::spool::Entry;

use crate::seams::LogEvent;

/// AWS: the limits of one PutLogEvents.
pub(super) const MAX_EVENTS: usize = 10_000;
pub(super) const MAX_BYTES: usize = 1_048_576;
const EVENT_OVERHEAD: usize = 26;

/// Lines as events, their times never falling.
pub(super) fn events(entries: &[Entry]) -> Vec<LogEvent> {
    let mut latest = Timestamp::EPOCH;
    let mut events = Vec::with_capacity(entries.len());
    for entry in entries {
        // AWS: an event has at least one character; the awslogs driver sends nothing for an
        // empty line.
        if entry.text.is_empty() {
            continue;
        }
        latest = latest.max(entry.time);
        let message = String::from_utf8_lossy(&entry.text).into_owned();
        events.push(LogEvent { at: latest, message });
    }
    events
}

/// How many of the first lines one call takes, newlines between the lines of an event included.
pub(super) fn fitting(entries: &[Entry]) -> usize {
    let mut bytes = 0;
    let fitting = entries.iter().take_while(|entry| {
        bytes += EVENT_OVERHEAD + text_bytes(&entry.text) + 1;
        bytes <= MAX_BYTES
    });
    fitting.count()
}

/// Bytes as text: what is not UTF-8 grows by its replacement characters.
fn text_bytes(bytes: &[u8]) -> usize {
    bytes
        .utf8_chunks()
        .map(|chunk| chunk.valid().len() + if chunk.invalid().is_empty() { 0 } else { 3 })
        .sum()
}
