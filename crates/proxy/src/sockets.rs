//! Where the plane gets its sockets from: the server opens them in VPCs, tests on loopback.

use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::os::fd::OwnedFd;
use std::pin::Pin;

use core_routing::Placed;
use rustix::net::sockopt;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

/// What is awaited from a [`Sockets`].
pub type Opening<'a, T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send + 'a>>;

/// Opens sockets for a balancer's place. Asked once per listener, and once per new connection to a
/// target; never for a request on a connection that exists.
pub trait Sockets: Send + Sync + 'static {
    /// `count` listening sockets at one address and port, non-blocking, sharing it by
    /// `SO_REUSEPORT`, with a backlog of at least 1024. Inside the VPC for a node's address, on the
    /// host for the alias.
    ///
    /// # Errors
    /// What the kernel says: the address is in use, or may not be bound.
    fn listen<'a>(
        &'a self,
        place: &'a Placed,
        at: SocketAddrV4,
        count: usize,
    ) -> Opening<'a, Vec<TcpListener>>;

    /// An unconnected TCP socket inside the VPC, non-blocking and bound to `from`, a node's address;
    /// its port is for the kernel to choose.
    ///
    /// # Errors
    /// What the kernel says.
    fn dial<'a>(&'a self, place: &'a Placed, from: Ipv4Addr) -> Opening<'a, OwnedFd>;
}

/// Everything on the host's loopback: nodes listen at their address if that is within 127.0.0.0/8,
/// and targets are dialed from any address. For tests and measurements.
#[derive(Debug, Clone, Copy, Default)]
pub struct Loopback;

impl Sockets for Loopback {
    fn listen<'a>(&'a self, _: &'a Placed, at: SocketAddrV4, count: usize) -> Opening<'a, Vec<TcpListener>> {
        Box::pin(async move { (0..count).map(|_| listen_shared(at)).collect() })
    }

    fn dial<'a>(&'a self, _: &'a Placed, _: Ipv4Addr) -> Opening<'a, OwnedFd> {
        Box::pin(async { tcp_socket() })
    }
}

/// A listening socket that others may share: `SO_REUSEPORT` and `SO_REUSEADDR`, backlog 4096.
///
/// # Errors
/// What the kernel says.
pub fn listen_shared(at: SocketAddrV4) -> io::Result<TcpListener> {
    let socket = tcp_socket()?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    sockopt::set_socket_reuseport(&socket, true)?;
    rustix::net::bind(&socket, &at)?;
    rustix::net::listen(&socket, 4096)?;
    Ok(TcpListener::from(socket))
}

fn tcp_socket() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?)
}
