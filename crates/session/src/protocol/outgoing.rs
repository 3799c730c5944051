//! Messages that were sent and not yet acknowledged.
//!
//! Invariant: never more than [`WINDOW`] of them, so that a fast writer waits instead of filling
//! memory. Invariant: a message is kept until it is acknowledged.

use std::collections::VecDeque;
use std::time::Duration;

use base::Timestamp;
use bytes::Bytes;

/// Unacknowledged messages at a time: a quarter MiB of output.
pub const WINDOW: usize = 256;

/// AWS: the figures of the agent. A resend comes after the smoothed round trip and four times its
/// variation.
const FIRST_TIMEOUT: Duration = Duration::from_millis(200);
const FIRST_ROUND_TRIP: Duration = Duration::from_millis(100);
const GRANULARITY: Duration = Duration::from_millis(10);
const LONGEST_TIMEOUT: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct Sent {
    frame: Bytes,
    at: Timestamp,
    is_resent: bool,
    is_acknowledged: bool,
}

/// The sending half of a stream.
#[derive(Debug)]
pub struct Outgoing {
    /// Sequence number of the first in `sent`.
    first: i64,
    sent: VecDeque<Sent>,
    round_trip: Duration,
    variation: Duration,
    timeout: Duration,
}

impl Default for Outgoing {
    fn default() -> Self {
        Outgoing {
            first: 0,
            sent: VecDeque::new(),
            round_trip: FIRST_ROUND_TRIP,
            variation: Duration::ZERO,
            timeout: FIRST_TIMEOUT,
        }
    }
}

impl Outgoing {
    /// The next message's number.
    pub fn next(&self) -> i64 {
        self.first + self.sent.len() as i64
    }

    pub fn has_room(&self) -> bool {
        self.sent.len() < WINDOW
    }

    /// Whether everything has arrived.
    pub fn is_empty(&self) -> bool {
        self.sent.is_empty()
    }

    /// Keeps the frame of the message [`Outgoing::next`], which is sent now.
    pub fn keep(&mut self, frame: Bytes, now: Timestamp) {
        self.sent.push_back(Sent { frame, at: now, is_resent: false, is_acknowledged: false });
    }

    /// Message `sequence` has arrived. Numbers that make no sense are ignored.
    pub fn acknowledged(&mut self, sequence: i64, now: Timestamp) {
        let at = sequence.checked_sub(self.first).and_then(|at| usize::try_from(at).ok());
        let Some(sent) = at.and_then(|at| self.sent.get_mut(at)) else { return };
        if sent.is_acknowledged {
            return;
        }
        sent.is_acknowledged = true;
        // Of a message that was sent twice nobody knows which one arrived.
        let sample = (!sent.is_resent).then(|| now.since(sent.at));
        if let Some(sample) = sample {
            self.measure(sample);
        }
        while self.sent.front().is_some_and(|sent| sent.is_acknowledged) {
            self.sent.pop_front();
            self.first += 1;
        }
    }

    /// The oldest message, if it is due to be sent again.
    pub fn due(&mut self, now: Timestamp) -> Option<Bytes> {
        let timeout = self.timeout;
        let oldest = self.sent.front_mut().filter(|sent| sent.at + timeout <= now)?;
        oldest.at = now;
        oldest.is_resent = true;
        // Slower and slower, until a fresh message is acknowledged.
        self.timeout = (timeout * 2).min(LONGEST_TIMEOUT);
        Some(oldest.frame.clone())
    }

    pub fn wake_at(&self) -> Option<Timestamp> {
        self.sent.front().map(|sent| sent.at + self.timeout)
    }

    fn measure(&mut self, sample: Duration) {
        self.variation = (self.variation * 3 + self.round_trip.abs_diff(sample)) / 4;
        self.round_trip = (self.round_trip * 7 + sample) / 8;
        self.timeout = (self.round_trip + (self.variation * 4).max(GRANULARITY)).min(LONGEST_TIMEOUT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn the_oldest_is_sent_again_until_it_is_acknowledged() {
        let mut outgoing = Outgoing::default();
        outgoing.keep(Bytes::from_static(b"a"), at(0));
        outgoing.keep(Bytes::from_static(b"b"), at(0));
        assert_eq!(outgoing.due(at(199)), None);
        assert_eq!(outgoing.due(at(200)).as_deref(), Some(&b"a"[..]));
        assert_eq!(outgoing.due(at(200)), None);
        assert_eq!(outgoing.wake_at(), Some(at(600)));
        outgoing.acknowledged(1, at(300));
        assert!(!outgoing.is_empty());
        outgoing.acknowledged(0, at(301));
        assert!(outgoing.is_empty());
        assert_eq!(outgoing.next(), 2);
    }

    #[test]
    fn the_timeout_follows_the_round_trip() {
        let mut outgoing = Outgoing::default();
        for nth in 0..100 {
            outgoing.keep(Bytes::new(), at(nth * 100));
            outgoing.acknowledged(nth, at(nth * 100 + 2));
        }
        outgoing.keep(Bytes::new(), at(20_000));
        let waits = outgoing.wake_at().unwrap().since(at(20_000));
        assert!(waits < Duration::from_millis(20), "{waits:?}");
    }

    #[test]
    fn senseless_numbers_are_ignored() {
        let mut outgoing = Outgoing::default();
        outgoing.keep(Bytes::new(), at(0));
        for sequence in [-1, 1, 5, i64::MIN, i64::MAX] {
            outgoing.acknowledged(sequence, at(1));
        }
        assert!(!outgoing.is_empty());
        outgoing.acknowledged(0, at(1));
        outgoing.acknowledged(0, at(1));
        outgoing.acknowledged(i64::MIN, at(1));
        assert_eq!(outgoing.next(), 1);
    }

    #[test]
    fn the_window_is_bounded() {
        let mut outgoing = Outgoing::default();
        while outgoing.has_room() {
            outgoing.keep(Bytes::new(), at(0));
        }
        assert_eq!(outgoing.next(), WINDOW as i64);
        // A gap keeps the window closed.
        outgoing.acknowledged(1, at(1));
        assert!(!outgoing.has_room());
        outgoing.acknowledged(0, at(1));
        assert!(outgoing.has_room());
    }
}
