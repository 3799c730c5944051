//! A table as workers use it: compiled once by the control thread, shared by all workers, and what
//! each worker adds of its own.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU32};

use base::Timestamp;
use core_routing::{Balancer, Listener, TargetGroup, TargetKey};

use crate::tls::Terminator;

/// One balancer's table, compiled.
pub struct Served {
    pub balancer: Arc<Balancer>,
    /// Distinguishes balancers within the plane, also those of one name in two VPCs.
    pub number: u32,
    pub listeners: Vec<ServedListener>,
    pub groups: HashMap<Arc<str>, Arc<ServedGroup>>,
}

/// A listener with what was made of it.
pub struct ServedListener {
    /// Where in [`Balancer::listeners`].
    pub at: usize,
    /// HTTPS only.
    pub terminator: Option<Arc<Terminator>>,
}

/// A target group with its targets' live state.
pub struct ServedGroup {
    pub group: Arc<TargetGroup>,
    /// As [`TargetGroup::targets`].
    pub targets: Vec<Arc<TargetState>>,
}

/// What changes of a target between tables. Outlives them.
pub struct TargetState {
    pub key: TargetKey,
    pub registered_at: Timestamp,
    /// A number of [`core_routing::State`].
    pub health: AtomicU8,
    pub in_flight: AtomicU32,
    /// Microseconds; since when it is healthy, for slow start.
    pub healthy_at: AtomicI64,
    /// Microseconds; requests under way are cut from then on. `i64::MAX`: not draining.
    pub cut_at: AtomicI64,
}

/// A table on one worker.
pub struct Here {
    pub served: Arc<Served>,
}

impl Served {
    /// The listener on that port.
    pub fn listener(&self, port: u16) -> Option<(&Listener, &ServedListener)> {
        let mut all = self.balancer.listeners.iter().zip(&self.listeners);
        all.find(|(listener, _)| listener.port == port)
    }
}
