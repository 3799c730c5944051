//! Messages that have arrived, put in order.
//!
//! Invariant: what is taken is each message once, by its number. Invariant: what waits is bounded;
//! a message beyond the bound is not acknowledged, and comes again.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use crate::protocol::message::PayloadType;

/// How far ahead of its turn a message may come. AWS: the plugin has at most 10,000 under way.
const AHEAD: i64 = 10_000;
/// Payload that may wait for its turn, and payload that may wait to be taken, in bytes.
const EARLY_BYTES: usize = 4 << 20;
const READY_BYTES: usize = 4 << 20;
/// What a message costs beside its payload.
const COST: usize = 64;

/// The receiving half of a stream.
#[derive(Debug, Default)]
pub struct Incoming {
    expected: i64,
    early: BTreeMap<i64, (PayloadType, Bytes)>,
    early_bytes: usize,
    ready: VecDeque<(PayloadType, Bytes)>,
    ready_bytes: usize,
}

impl Incoming {
    /// Takes a message in. Answers whether to acknowledge it: one that came before is, again.
    pub fn receive(&mut self, sequence: i64, payload_type: PayloadType, payload: Bytes) -> bool {
        if sequence < self.expected {
            return sequence >= 0;
        }
        let cost = payload.len() + COST;
        if sequence == self.expected {
            if self.ready_bytes > READY_BYTES {
                return false;
            }
            self.push(payload_type, payload);
            while let Some((payload_type, payload)) = self.early.remove(&self.expected) {
                self.early_bytes -= payload.len() + COST;
                self.push(payload_type, payload);
            }
            return true;
        }
        if sequence - self.expected > AHEAD || self.early_bytes + cost > EARLY_BYTES {
            return false;
        }
        if let std::collections::btree_map::Entry::Vacant(place) = self.early.entry(sequence) {
            place.insert((payload_type, payload));
            self.early_bytes += cost;
        }
        true
    }

    /// The next payload in order.
    pub fn take(&mut self) -> Option<(PayloadType, Bytes)> {
        let (payload_type, payload) = self.ready.pop_front()?;
        self.ready_bytes -= payload.len() + COST;
        Some((payload_type, payload))
    }

    fn push(&mut self, payload_type: PayloadType, payload: Bytes) {
        self.ready_bytes += payload.len() + COST;
        self.ready.push_back((payload_type, payload));
        self.expected += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receive(incoming: &mut Incoming, sequence: i64) -> bool {
        incoming.receive(sequence, PayloadType::Output, Bytes::from(sequence.to_string()))
    }

    fn taken(incoming: &mut Incoming) -> Vec<String> {
        std::iter::from_fn(|| incoming.take())
            .map(|(_, payload)| String::from_utf8(payload.to_vec()).unwrap())
            .collect()
    }

    #[test]
    fn order_is_made_and_doubles_are_dropped() {
        let mut incoming = Incoming::default();
        for sequence in [1, 2, 1] {
            assert!(receive(&mut incoming, sequence));
        }
        assert!(taken(&mut incoming).is_empty());
        assert!(receive(&mut incoming, 0));
        assert!(receive(&mut incoming, 0));
        assert_eq!(taken(&mut incoming), ["0", "1", "2"]);
    }

    #[test]
    fn what_is_out_of_bounds_is_not_acknowledged() {
        let mut incoming = Incoming::default();
        for sequence in [-1, i64::MIN, AHEAD + 1, i64::MAX] {
            assert!(!receive(&mut incoming, sequence), "{sequence}");
        }
        assert!(receive(&mut incoming, AHEAD));
    }

    #[test]
    fn a_reader_that_does_not_take_stops_its_writer() {
        let mut incoming = Incoming::default();
        let block = Bytes::from(vec![0; 1 << 20]);
        let mut kept = 0;
        while incoming.receive(kept, PayloadType::Output, block.clone()) {
            kept += 1;
        }
        assert!((4..8).contains(&kept), "{kept}");
        // Early ones have their own bound, and never keep the expected one out.
        let mut early = kept + 1;
        while incoming.receive(early, PayloadType::Output, block.clone()) {
            early += 1;
        }
        assert!(incoming.take().is_some());
        assert!(incoming.receive(kept, PayloadType::Output, block));
    }
}
