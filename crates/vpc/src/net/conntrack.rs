//! Connections that the kernel follows. A flow of datagrams keeps going where its first one went, so
//! it must be forgotten when its port leads elsewhere; and what an address had under way is nothing of
//! whoever has the address next.

use std::io;
use std::net::Ipv4Addr;

use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST};
use rustix::io::Errno;
use rustix::net::netlink;

use super::attributes::{Attributes, attribute};
use super::nft::{FAMILY_IPV4, HEADERS, frame};
use super::socket::{Frame, Socket};

const SUBSYSTEM: u16 = 1 << 8;
const GET: u16 = SUBSYSTEM | 1;
const DELETE: u16 = SUBSYSTEM | 2;
const ORIGINAL: u16 = 1;
const REPLY: u16 = 2;
const UDP: u8 = 17;

/// One direction of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tuple {
    pub source: Ipv4Addr,
    pub destination: Ipv4Addr,
    /// Zero where the protocol has no ports.
    pub destination_port: u16,
}

/// A flow: as its client sends, and as it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flow {
    pub original: Tuple,
    pub reply: Tuple,
    is_datagrams: bool,
}

/// Forgets flows of datagrams of the calling thread's namespace.
pub fn forget_datagrams(is_stale: impl Fn(&Flow) -> bool) -> io::Result<()> {
    forget(|flow| flow.is_datagrams && is_stale(flow))
}

/// Forgets every flow from and to these addresses in the calling thread's namespace. Looks at all
/// that the machine follows: better once for many addresses.
pub fn forget_addresses(gone: &[Ipv4Addr]) -> io::Result<()> {
    let is_of = |side: Tuple| gone.contains(&side.source) || gone.contains(&side.destination);
    forget(|flow| is_of(flow.original) || is_of(flow.reply))
}

/// One that ends meanwhile is forgotten.
fn forget(is_stale: impl Fn(&Flow) -> bool) -> io::Result<()> {
    let mut socket = Socket::open(Some(netlink::NETFILTER))?;
    let stale = stale(&mut socket, is_stale)?;
    for original in stale {
        let sequence = socket.sequence(1);
        let (mut body, mut bytes) = (Vec::new(), Vec::new());
        Attributes::new(&mut body).nest(ORIGINAL, |a| a.copy(&original));
        frame(&mut bytes, DELETE, NLM_F_REQUEST | NLM_F_ACK, sequence, FAMILY_IPV4, 0, &body);
        socket.send(&bytes)?;
        let gone = Errno::NOENT.raw_os_error();
        each(&mut socket, sequence, gone, |_| {})?;
    }
    Ok(())
}

/// The original direction of each, as the kernel has it.
fn stale(socket: &mut Socket, is_stale: impl Fn(&Flow) -> bool) -> io::Result<Vec<Vec<u8>>> {
    let sequence = socket.sequence(1);
    let mut bytes = Vec::new();
    frame(&mut bytes, GET, NLM_F_REQUEST | NLM_F_DUMP, sequence, FAMILY_IPV4, 0, &[]);
    socket.send(&bytes)?;
    let mut found = Vec::new();
    each(socket, sequence, 0, |message| {
        let (original, reply) = (attribute(message, ORIGINAL), attribute(message, REPLY));
        if let (Some(original), Some(reply)) = (original, reply)
            && let (Some((one, protocol)), Some((other, _))) = (read(original), read(reply))
            && is_stale(&Flow { original: one, reply: other, is_datagrams: protocol == UDP })
        {
            found.push(original.to_vec());
        }
    })?;
    Ok(found)
}

/// Hands the attributes of every message of an answer to `take`, up to the closing one.
fn each(socket: &mut Socket, sequence: u32, tolerated: i32, mut take: impl FnMut(&[u8])) -> io::Result<()> {
    let mut is_open = true;
    while is_open {
        socket.receive(|of, frame| {
            match frame {
                _ if of != sequence => {}
                Frame::Done => is_open = false,
                Frame::Refused(code) if code == tolerated => is_open = false,
                Frame::Refused(code) => return Err(io::Error::from_raw_os_error(code)),
                Frame::Message(message) => take(message.get(HEADERS..).unwrap_or_default()),
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// A direction of a flow, and its protocol.
fn read(tuple: &[u8]) -> Option<(Tuple, u8)> {
    let (addresses, protocol) = (attribute(tuple, 1)?, attribute(tuple, 2)?);
    let number = *attribute(protocol, 1)?.first()?;
    let address = |kind| Some(Ipv4Addr::from(<[u8; 4]>::try_from(attribute(addresses, kind)?).ok()?));
    let port = attribute(protocol, 3).and_then(|port| <[u8; 2]>::try_from(port).ok());
    let destination_port = port.map_or(0, u16::from_be_bytes);
    Some((Tuple { source: address(1)?, destination: address(2)?, destination_port }, number))
}
