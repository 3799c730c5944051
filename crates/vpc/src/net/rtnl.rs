//! Links, addresses, neighbors and routes.

use std::io;
use std::net::Ipv4Addr;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkHeader, LinkMessage};
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteType};
use rustix::event::{Timespec, poll};
use rustix::io::Errno;

use core_addresses::{Cidr, Mac};

use super::socket::{Frame, Socket};

/// About three seconds.
const CARRIER_TURNS: u32 = 3000;

/// One change for the kernel, with the refusals that mean "already so".
pub struct Request {
    pub message: RouteNetlinkMessage,
    pub flags: u16,
    pub tolerates: &'static [Errno],
}

/// A link as the kernel shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    pub index: u32,
    pub name: String,
    pub alias: Option<String>,
    pub mac: Option<Mac>,
}

/// A unicast route of the main table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    pub destination: Cidr,
    pub device: Option<u32>,
}

/// A routing socket of one network namespace.
pub struct Rtnl {
    socket: Socket,
}

impl Rtnl {
    /// Opens it in the calling thread's namespace.
    pub fn open() -> io::Result<Self> {
        // NETLINK_ROUTE is 0, which is what no protocol means.
        Ok(Rtnl { socket: Socket::open(None)? })
    }

    /// Sends all requests at once and waits for every answer. Every request is tried; the first
    /// refusal that is not tolerated is the error.
    pub fn run(&mut self, requests: &[Request]) -> io::Result<()> {
        if requests.is_empty() {
            return Ok(());
        }
        let first = self.socket.sequence(requests.len() as u32);
        let mut bytes = Vec::with_capacity(256 * requests.len());
        for (offset, request) in requests.iter().enumerate() {
            let flags = NLM_F_REQUEST | NLM_F_ACK | request.flags;
            write(&mut bytes, request.message.clone(), flags, first.wrapping_add(offset as u32));
        }
        self.socket.send(&bytes)?;
        let mut missing = requests.len();
        let mut failure = None;
        while missing > 0 {
            self.socket.receive(|sequence, frame| {
                let Some(request) = requests.get(sequence.wrapping_sub(first) as usize) else {
                    return Ok(());
                };
                match frame {
                    Frame::Message(_) => return Ok(()),
                    Frame::Done => {}
                    Frame::Refused(code) if request.tolerates.contains(&Errno::from_raw_os_error(code)) => {}
                    Frame::Refused(code) => {
                        failure.get_or_insert_with(|| io::Error::from_raw_os_error(code));
                    }
                }
                missing -= 1;
                Ok(())
            })?;
        }
        failure.map_or(Ok(()), Err)
    }

    fn dump(&mut self, message: RouteNetlinkMessage) -> io::Result<Vec<RouteNetlinkMessage>> {
        self.ask(message, NLM_F_REQUEST | NLM_F_DUMP)
    }

    /// Sends a question and collects answers up to the closing one.
    fn ask(&mut self, message: RouteNetlinkMessage, flags: u16) -> io::Result<Vec<RouteNetlinkMessage>> {
        let sequence = self.socket.sequence(1);
        let mut bytes = Vec::with_capacity(128);
        write(&mut bytes, message, flags, sequence);
        self.socket.send(&bytes)?;
        let mut answers = Vec::new();
        let mut is_open = true;
        while is_open {
            self.socket.receive(|of, frame| {
                match frame {
                    _ if of != sequence => {}
                    Frame::Done => is_open = false,
                    Frame::Refused(code) => return Err(io::Error::from_raw_os_error(code)),
                    Frame::Message(bytes) => answers.extend(parse(bytes)?),
                }
                Ok(())
            })?;
        }
        Ok(answers)
    }

    /// The index of a link by name; ENODEV when there is none.
    pub fn index_of(&mut self, name: &str) -> io::Result<u32> {
        Ok(self.header_of(name)?.index)
    }

    /// Waits until a link of a pair that is up at both ends carries packets. The kernel says "up" a
    /// moment earlier, and drops what is sent in between: a first packet lost costs its sender a
    /// second.
    pub fn await_carrier(&mut self, name: &str) -> io::Result<()> {
        // Kernels from 6.8 on finish the step when asked; older ones within a few turns.
        for turn in 0..CARRIER_TURNS {
            if self.header_of(name)?.flags.contains(LinkFlags::Running) {
                return Ok(());
            }
            let pause = Timespec { tv_sec: 0, tv_nsec: if turn < 10 { 0 } else { 1_000_000 } };
            poll(&mut [], Some(&pause))?;
        }
        Err(Errno::TIMEDOUT.into())
    }

    fn header_of(&mut self, name: &str) -> io::Result<LinkHeader> {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName(name.into()));
        let question = RouteNetlinkMessage::GetLink(message);
        let answers = self.ask(question, NLM_F_REQUEST | NLM_F_ACK)?;
        let header = answers.into_iter().find_map(|answer| match answer {
            RouteNetlinkMessage::NewLink(link) => Some(link.header),
            _ => None,
        });
        header.ok_or_else(|| io::Error::from(Errno::NODEV))
    }

    pub fn links(&mut self) -> io::Result<Vec<Link>> {
        let answers = self.dump(RouteNetlinkMessage::GetLink(LinkMessage::default()))?;
        Ok(answers.into_iter().filter_map(link_of).collect())
    }

    /// Every IPv4 address with its range.
    pub fn addresses(&mut self) -> io::Result<Vec<(Ipv4Addr, Cidr)>> {
        Ok(self.placed_addresses()?.into_iter().map(|(_, address, range)| (address, range)).collect())
    }

    /// Those of one link.
    pub fn addresses_of(&mut self, index: u32) -> io::Result<Vec<Ipv4Addr>> {
        let all = self.placed_addresses()?;
        Ok(all.into_iter().filter(|(link, ..)| *link == index).map(|(_, address, _)| address).collect())
    }

    /// Those of other links than these.
    pub fn addresses_beyond(&mut self, links: &[u32]) -> io::Result<Vec<(Ipv4Addr, Cidr)>> {
        let all = self.placed_addresses()?.into_iter().filter(|(link, ..)| !links.contains(link));
        Ok(all.map(|(_, address, range)| (address, range)).collect())
    }

    fn placed_addresses(&mut self) -> io::Result<Vec<(u32, Ipv4Addr, Cidr)>> {
        let answers = self.dump(RouteNetlinkMessage::GetAddress(AddressMessage::default()))?;
        Ok(answers.into_iter().filter_map(address_of).collect())
    }

    /// Unicast IPv4 routes of the main table, the default route left out.
    pub fn routes(&mut self) -> io::Result<Vec<Route>> {
        let answers = self.dump(RouteNetlinkMessage::GetRoute(RouteMessage::default()))?;
        Ok(answers.into_iter().filter_map(route_of).collect())
    }
}

fn write(bytes: &mut Vec<u8>, message: RouteNetlinkMessage, flags: u16, sequence: u32) {
    let mut header = NetlinkHeader::default();
    header.flags = flags;
    header.sequence_number = sequence;
    let mut message = NetlinkMessage::new(header, NetlinkPayload::from(message));
    message.finalize();
    let at = bytes.len();
    bytes.resize(at + message.buffer_len().next_multiple_of(4), 0);
    message.serialize(&mut bytes[at..]);
}

fn parse(bytes: &[u8]) -> io::Result<Option<RouteNetlinkMessage>> {
    let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(bytes)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    Ok(match message.payload {
        NetlinkPayload::InnerMessage(inner) => Some(inner),
        _ => None,
    })
}

fn link_of(message: RouteNetlinkMessage) -> Option<Link> {
    let RouteNetlinkMessage::NewLink(link) = message else { return None };
    let mut found = Link { index: link.header.index, name: String::new(), alias: None, mac: None };
    for attribute in link.attributes {
        match attribute {
            LinkAttribute::IfName(name) => found.name = name,
            LinkAttribute::IfAlias(alias) => found.alias = Some(alias),
            LinkAttribute::Address(bytes) => found.mac = bytes.try_into().ok().map(Mac),
            _ => {}
        }
    }
    Some(found)
}

fn address_of(message: RouteNetlinkMessage) -> Option<(u32, Ipv4Addr, Cidr)> {
    let RouteNetlinkMessage::NewAddress(message) = message else { return None };
    message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Local(std::net::IpAddr::V4(address)) => {
            Some((message.header.index, *address, Cidr::new(*address, message.header.prefix_len)))
        }
        _ => None,
    })
}

fn route_of(message: RouteNetlinkMessage) -> Option<Route> {
    let RouteNetlinkMessage::NewRoute(message) = message else { return None };
    let header = &message.header;
    if header.table != RouteHeader::RT_TABLE_MAIN || header.kind != RouteType::Unicast {
        return None;
    }
    let prefix = header.destination_prefix_length;
    let destination = message.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Destination(RouteAddress::Inet(address)) => Some(Cidr::new(*address, prefix)),
        _ => None,
    })?;
    let device = message.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Oif(index) => Some(*index),
        _ => None,
    });
    Some(Route { destination, device })
}
