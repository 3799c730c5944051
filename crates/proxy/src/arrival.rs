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
    /// It came in elsewhere, by the balancer's name: requests for anybody else are not for us.
    pub is_adopted: bool,
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

    /// Whether a request for `host` is for us: on a connection of ours, every one is; on one that was
    /// adopted, those that name the balancer, or `p<port>.` and the balancer.
    pub fn is_for_us(&self, host: Option<&[u8]>) -> bool {
        if !self.is_adopted {
            return true;
        }
        let table = self.table();
        let own = table.served.balancer.dns_name.as_bytes();
        let host = host.unwrap_or_default();
        let name = host.split(|byte| *byte == b':').next().unwrap_or_default();
        let name = name.strip_suffix(b".").unwrap_or(name);
        name.len() >= own.len() && {
            let (before, end) = name.split_at(name.len() - own.len());
            end.eq_ignore_ascii_case(own)
                && (before.is_empty() || before.starts_with(b"p") && before.ends_with(b"."))
        }
    }

    /// An IPv4 address in IPv6's clothes is an IPv4 address.
    pub fn peer_ip(&self) -> IpAddr {
        self.peer.ip().to_canonical()
    }
}
