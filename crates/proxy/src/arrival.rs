//! A connection that arrived: what is known of it whatever it speaks.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;

use crate::counts::Open;
use crate::table::Here;
use crate::tls;
use crate::worker::{Slot, Worker};

/// Cheap to clone; lives on the worker that accepted the connection.
#[derive(Clone)]
pub struct Arrival {
    pub worker: Rc<Worker>,
    pub(crate) slot: Rc<Slot>,
    /// The listener's port, as the user named it.
    pub port: u16,
    /// The node whose address it came to; `None` at the alias and through the one port.
    pub node: Option<Ipv4Addr>,
    pub peer: SocketAddr,
    /// Of this connection among all, for logs.
    pub id: u64,
    /// It is counted as open until the last of these is gone.
    pub open: Rc<Open>,
    /// `None`: in the clear.
    pub tls: Option<Rc<tls::Facts>>,
}

impl Arrival {
    /// The newest table. A request keeps the one that it began with.
    pub fn table(&self) -> Rc<Here> {
        self.slot.table(self.port)
    }

    /// Nothing begins here any more: the balancer was removed, its listener was, or the worker ends.
    pub fn is_over(&self) -> bool {
        self.worker.is_leaving() || self.slot.is_gone() || !self.slot.has(self.port)
    }

    /// An IPv4 address in IPv6's clothes is an IPv4 address.
    pub fn peer_ip(&self) -> IpAddr {
        self.peer.ip().to_canonical()
    }
}
