//! Ports of the host: chosen, and held against other programs while this process lives.
//!
//! The rules that lead packets on are the kernel's and outlive us; what is held is a socket that
//! listens without ever accepting, because packets for the port are sent on before they reach it.
//! It makes other programs fail as they would with Docker, instead of never hearing a client.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::OwnedFd;

use base::Chance;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with, sockopt};

use crate::error::Doing;
use crate::net::{Target, Transport};
use crate::{DYNAMIC_PORTS, Publish, VpcError};

/// Ports by protocol and number.
pub type Port = (Transport, u16);

#[derive(Default)]
pub struct Ports {
    held: BTreeMap<Port, Held>,
}

struct Held {
    target: Target,
    /// `None` where another program has taken the port while we were away.
    _socket: Option<OwnedFd>,
}

/// Ports that are ours to give, until this is dropped.
pub struct Reserved {
    /// As asked for, with every host port chosen.
    pub ports: Vec<Publish>,
    sockets: Vec<(Port, u16, OwnedFd)>,
}

impl Ports {
    /// Takes up what led somewhere before a restart.
    pub fn recover(&mut self, port: Port, target: Target) {
        let socket = open(port).map_err(|error| {
            tracing::warn!(port = port.1, %error, "another program has a published port while its packets go to a container");
        });
        self.held.insert(port, Held { target, _socket: socket.ok() });
    }

    pub fn all(&self) -> impl Iterator<Item = (Port, Target)> {
        self.held.iter().map(|(port, held)| (*port, held.target))
    }

    /// Chooses and takes every port, or none of them.
    pub fn reserve(&self, wanted: &[Publish], seed: &str) -> Result<Reserved, VpcError> {
        let mut reserved = Reserved { ports: Vec::new(), sockets: Vec::new() };
        for publish in wanted {
            let first = match publish.host_port {
                0 => self.reserve_free(publish, seed, &mut reserved.sockets)?,
                port => {
                    self.reserve_at(publish, port, &mut reserved.sockets)?;
                    port
                }
            };
            reserved.ports.push(Publish { host_port: first, ..*publish });
        }
        Ok(reserved)
    }

    fn reserve_free(
        &self,
        publish: &Publish,
        seed: &str,
        sockets: &mut Vec<(Port, u16, OwnedFd)>,
    ) -> Result<u16, VpcError> {
        let none = VpcError::NoPorts { count: publish.count };
        let Some(choices) = (DYNAMIC_PORTS.len() as u64 + 1).checked_sub(u64::from(publish.count)) else {
            return Err(none);
        };
        // Spread, so that a port that was given back is not the next to go out.
        let place = format!("{seed}/{}/{:?}", publish.container_port, publish.transport);
        let start = Chance::new(0).split(&place).below(choices);
        for step in 0..choices {
            let first = DYNAMIC_PORTS.start() + ((start + step) % choices) as u16;
            match self.reserve_at(publish, first, sockets) {
                Ok(()) => return Ok(first),
                Err(VpcError::PortTaken { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Err(none)
    }

    /// Takes all ports in a row, or none.
    fn reserve_at(
        &self,
        publish: &Publish,
        first: u16,
        sockets: &mut Vec<(Port, u16, OwnedFd)>,
    ) -> Result<(), VpcError> {
        let before = sockets.len();
        for offset in 0..publish.count {
            let outcome = first
                .checked_add(offset)
                .ok_or(VpcError::NoPorts { count: publish.count })
                .and_then(|number| self.take((publish.transport, number)).map(|socket| (number, socket)));
            match outcome {
                Ok((number, socket)) => {
                    let inside = publish.container_port.saturating_add(offset);
                    sockets.push(((publish.transport, number), inside, socket));
                }
                Err(error) => {
                    sockets.truncate(before);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn take(&self, port: Port) -> Result<OwnedFd, VpcError> {
        if self.held.contains_key(&port) {
            return Err(VpcError::PortTaken { port: port.1, is_ours: true });
        }
        match open(port) {
            Err(error) if Errno::from_io_error(&error) == Some(Errno::ADDRINUSE) => {
                Err(VpcError::PortTaken { port: port.1, is_ours: false })
            }
            outcome => outcome.doing("taking a port of the host"),
        }
    }

    /// Keeps what was reserved, for a container at `address`.
    pub fn keep(&mut self, reserved: Reserved, address: Ipv4Addr) {
        for (port, inside, socket) in reserved.sockets {
            self.held.insert(port, Held { target: Target { address, port: inside }, _socket: Some(socket) });
        }
    }

    /// Gives back what led to `address`.
    pub fn release(&mut self, address: Ipv4Addr) {
        self.held.retain(|_, held| held.target.address != address);
    }

    /// Ports that lead to `address`, with the port there.
    pub fn of(&self, address: Ipv4Addr) -> Vec<(Port, u16)> {
        let leads_there = self.all().filter(|(_, target)| target.address == address);
        leads_there.map(|(port, target)| (port, target.port)).collect()
    }
}

impl Reserved {
    pub fn targets(&self, address: Ipv4Addr) -> Vec<(Port, Target)> {
        let target = |inside| Target { address, port: inside };
        self.sockets.iter().map(|(port, inside, _)| (*port, target(*inside))).collect()
    }
}

fn open((transport, port): Port) -> io::Result<OwnedFd> {
    let address = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port);
    match transport {
        Transport::Tcp => {
            let socket = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
            // Connections that have ended keep a port for a minute; they are no obstacle.
            sockopt::set_socket_reuseaddr(&socket, true)?;
            bind(&socket, &address)?;
            listen(&socket, 1)?;
            Ok(socket)
        }
        Transport::Udp => Ok(UdpSocket::bind(address)?.into()),
    }
}
