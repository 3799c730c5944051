//! What an exchange was like, for logs and counts.

use std::net::SocketAddrV4;
use std::rc::Rc;

use core_routing::logs::Tried;
use tokio::time::Instant;

use crate::table::HereGroup;
use crate::worker::Worker;

/// Gathered on the way, told at the end.
#[derive(Default)]
pub struct Story {
    /// Its priority.
    pub rule: Option<u32>,
    pub action: Action,
    pub redirect_url: Option<Vec<u8>>,
    /// There was a location, and it was too long to be sent.
    pub is_redirect_too_long: bool,
    /// What the client was told.
    pub status: Option<u16>,
    /// Where that was the balancer's own doing; 460 is told to nobody.
    pub own_status: Option<u16>,
    pub targets: Vec<Tried>,
    /// Of the last target that was tried, with its place in it.
    pub group: Option<Rc<HereGroup>>,
    pub place: usize,
    /// A cookie chose the target.
    pub is_bound: bool,
    /// To targets, newly made.
    pub connections: u32,
    pub connection_errors: u32,
    /// Those of them that were no more than TLS.
    pub handshake_errors: u32,
    pub sent_at: Option<Instant>,
    pub answered_at: Option<Instant>,
    pub is_tunnel: bool,
    pub is_incomplete: bool,
    pub up_bytes: u64,
    pub down_bytes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Action {
    #[default]
    None,
    Forward,
    Redirect,
    Fixed,
}

impl Story {
    pub fn tried(&mut self, address: SocketAddrV4, status: Option<u16>) {
        self.targets.push(Tried { address, status });
    }

    /// About to be sent to that target.
    pub fn at(&mut self, group: &Rc<HereGroup>, place: usize, is_bound: bool) {
        self.group = Some(group.clone());
        (self.place, self.is_bound) = (place, is_bound);
    }

    pub fn sent(&mut self, _worker: &Worker) {
        self.sent_at = Some(Instant::now());
    }

    pub fn answered(&mut self, _worker: &Worker, address: SocketAddrV4, status: u16) {
        self.answered_at = Some(Instant::now());
        self.status = Some(status);
        self.tried(address, Some(status));
    }

    pub fn bodies(&mut self, up: u64, down: u64) {
        (self.up_bytes, self.down_bytes) = (up, down);
    }
}
