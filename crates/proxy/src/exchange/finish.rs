//! What an exchange was like, for logs and counts.

use std::net::SocketAddrV4;

use core_routing::logs::Tried;
use tokio::time::Instant;

use super::Desk;
use crate::arrival::Arrival;
use crate::table::Here;
use crate::worker::Worker;

/// Gathered on the way, told at the end.
#[derive(Default)]
pub struct Story {
    /// Its priority.
    pub rule: Option<u32>,
    pub action: Action,
    pub redirect_url: Option<Vec<u8>>,
    /// What the client was told.
    pub status: Option<u16>,
    /// Where that was the balancer's own doing; 460 is told to nobody.
    pub own_status: Option<u16>,
    pub targets: Vec<Tried>,
    pub connection_errors: u32,
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

    pub fn sent(&mut self, _worker: &Worker) {
        self.sent_at = Some(Instant::now());
    }

    pub fn answered(&mut self, _worker: &Worker, address: SocketAddrV4, status: u16) {
        self.answered_at = Some(Instant::now());
        self.status = Some(status);
        let _ = address;
    }

    pub fn bodies(&mut self, up: u64, down: u64) {
        (self.up_bytes, self.down_bytes) = (up, down);
    }
}

/// Hands a finished exchange to whoever counts and logs.
pub fn tell(_story: &Story, _desk: &Desk, _arrival: &Arrival, _here: &Here) {}
