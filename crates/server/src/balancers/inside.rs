//! Sockets inside VPCs, for whoever serves balancers there.

use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::os::fd::OwnedFd;

use core_routing::Placed;
use proxy::Opening;

use crate::host::VpcNetwork;

/// Where sockets in a VPC come from.
pub trait Inside: Send + Sync {
    fn listen<'a>(
        &'a self,
        place: &'a Placed,
        at: SocketAddrV4,
        count: usize,
    ) -> Opening<'a, Vec<TcpListener>>;

    /// Unconnected, and bound to `from`.
    fn dial<'a>(&'a self, place: &'a Placed, from: Ipv4Addr) -> Opening<'a, OwnedFd>;
}

impl Inside for VpcNetwork {
    fn listen<'a>(
        &'a self,
        place: &'a Placed,
        at: SocketAddrV4,
        count: usize,
    ) -> Opening<'a, Vec<TcpListener>> {
        Box::pin(VpcNetwork::listen(self, place, at, count))
    }

    fn dial<'a>(&'a self, place: &'a Placed, from: Ipv4Addr) -> Opening<'a, OwnedFd> {
        Box::pin(async move { VpcNetwork::dial(self, place, from) })
    }
}
