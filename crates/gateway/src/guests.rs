//! How many connections one peer may have, so that a task that opens them without end leaves room
//! for the others.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Connections over one listener, by peer. Cheap to clone; clones count together.
#[derive(Clone)]
pub struct Guests {
    most: usize,
    counts: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// A connection that counts until it is dropped.
pub struct Guest {
    peer: IpAddr,
    counts: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Guests {
    /// At most `most` of each peer.
    pub fn new(most: usize) -> Self {
        Guests { most, counts: Arc::default() }
    }

    /// `None`: the peer has as many as it may.
    pub fn admit(&self, peer: IpAddr) -> Option<Guest> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(peer).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Guest { peer, counts: self.counts.clone() })
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.peer) {
            *count -= 1;
            // Who is gone is forgotten: tasks come with ever new addresses.
            if *count == 0 {
                counts.remove(&self.peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Guests;

    #[test]
    fn each_peer_has_its_own_number() {
        let guests = Guests::new(2);
        let (one, other) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        let first = guests.admit(one);
        let second = guests.admit(one);
        assert!(first.is_some() && second.is_some() && guests.admit(one).is_none());
        assert!(guests.admit(other).is_some());
        drop(first);
        assert!(guests.admit(one).is_some());
        drop(second);
        assert!(guests.counts.lock().unwrap().is_empty());
    }
}
