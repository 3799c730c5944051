//! The changes that we ask of the kernel, one function each.

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsRawFd, BorrowedFd};

use netlink_packet_core::{DefaultNla, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage, AddressScope};
use netlink_packet_route::link::{
    InfoBridgePort, InfoData, InfoKind, InfoPortData, InfoPortKind, InfoVeth, LinkAttribute, LinkFlags,
    LinkInfo, LinkMessage,
};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::tc::{TcAttribute, TcHandle, TcMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use rustix::io::Errno;

use core_addresses::{Cidr, Mac};

use super::rtnl::Request;

fn change(message: RouteNetlinkMessage, flags: u16, tolerates: &'static [Errno]) -> Request {
    Request { message, flags, tolerates }
}

pub fn link_up(index: u32) -> Request {
    let mut link = LinkMessage::default();
    link.header.index = index;
    link.header.flags = LinkFlags::Up;
    link.header.change_mask = LinkFlags::Up;
    change(RouteNetlinkMessage::SetLink(link), 0, &[])
}

/// A bridge, down, with no ports.
pub fn bridge(name: &str, mac: Mac) -> Request {
    let mut link = end_message(&End { name, mac });
    link.attributes.push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Bridge)]));
    change(RouteNetlinkMessage::NewLink(link), NLM_F_CREATE | NLM_F_EXCL, &[])
}

/// Makes a link a port of a bridge.
pub fn set_bridge(index: u32, bridge: u32) -> Request {
    let mut link = LinkMessage::default();
    link.header.index = index;
    link.attributes.push(LinkAttribute::Controller(bridge));
    change(RouteNetlinkMessage::SetLink(link), 0, &[])
}

/// A bridge sends back through this port what came in through it: a client may have been led back
/// to itself.
pub fn set_hairpin(index: u32) -> Request {
    let mut link = LinkMessage::default();
    link.header.index = index;
    link.attributes.push(LinkAttribute::LinkInfo(vec![
        LinkInfo::PortKind(InfoPortKind::Bridge),
        LinkInfo::PortData(InfoPortData::BridgePort(vec![InfoBridgePort::HairpinMode(true)])),
    ]));
    change(RouteNetlinkMessage::NewLink(link), 0, &[])
}

/// The alias is how a link says after a restart what it is for; at most 255 bytes.
pub fn set_alias(index: u32, alias: &str) -> Request {
    let mut link = LinkMessage::default();
    link.header.index = index;
    link.attributes.push(LinkAttribute::IfAlias(alias.into()));
    change(RouteNetlinkMessage::SetLink(link), 0, &[])
}

/// Deletes a link and, being a pair, its other end.
pub fn delete_link(index: u32) -> Request {
    let mut link = LinkMessage::default();
    link.header.index = index;
    change(RouteNetlinkMessage::DelLink(link), 0, &[Errno::NODEV])
}

/// Puts a link into a group, by which many can be deleted at once.
pub fn set_group(index: u32, group: u32) -> Request {
    let mut link = LinkMessage::default();
    link.header.index = index;
    link.attributes.push(LinkAttribute::Group(group));
    change(RouteNetlinkMessage::SetLink(link), 0, &[Errno::NODEV])
}

pub fn delete_group(group: u32) -> Request {
    let mut link = LinkMessage::default();
    link.attributes.push(LinkAttribute::Group(group));
    change(RouteNetlinkMessage::DelLink(link), 0, &[Errno::NODEV])
}

/// One end of a pair.
pub struct End<'a> {
    pub name: &'a str,
    pub mac: Mac,
}

/// A veth pair: `near`, up, in the socket's namespace, and `far` in the one of `far_namespace`.
/// The kernel opens no end before it has the other, so `far` must be raised afterwards.
pub fn veth_pair(near: &End<'_>, far: &End<'_>, far_namespace: BorrowedFd<'_>) -> Request {
    let mut peer = end_message(far);
    peer.attributes.push(LinkAttribute::NetNsFd(far_namespace.as_raw_fd()));
    let mut link = end_message(near);
    link.header.flags = LinkFlags::Up;
    link.header.change_mask = LinkFlags::Up;
    link.attributes.push(LinkAttribute::LinkInfo(vec![
        LinkInfo::Kind(InfoKind::Veth),
        LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
    ]));
    change(RouteNetlinkMessage::NewLink(link), NLM_F_CREATE | NLM_F_EXCL, &[])
}

fn end_message(end: &End<'_>) -> LinkMessage {
    let mut link = LinkMessage::default();
    link.attributes.push(LinkAttribute::IfName(end.name.into()));
    link.attributes.push(LinkAttribute::Address(end.mac.0.to_vec()));
    link
}

/// An address with `prefix` bits; the kernel adds no route to its range.
pub fn address(index: u32, address: Ipv4Addr, prefix: u8) -> Request {
    let message = address_message(index, address, prefix);
    change(RouteNetlinkMessage::NewAddress(message), NLM_F_CREATE | NLM_F_EXCL, &[Errno::EXIST])
}

pub fn delete_address(index: u32, address: Ipv4Addr, prefix: u8) -> Request {
    let message = address_message(index, address, prefix);
    change(RouteNetlinkMessage::DelAddress(message), 0, &[Errno::ADDRNOTAVAIL, Errno::NODEV])
}

fn address_message(index: u32, address: Ipv4Addr, prefix: u8) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = AddressFamily::Inet;
    message.header.prefix_len = prefix;
    message.header.index = index;
    message.header.scope = AddressScope::Universe;
    message.attributes.push(AddressAttribute::Local(IpAddr::V4(address)));
    message.attributes.push(AddressAttribute::Address(IpAddr::V4(address)));
    message.attributes.push(AddressAttribute::Flags(AddressFlags::Noprefixroute));
    message
}

/// Fixes who answers to `address` on a link, so that nobody needs to be asked, nor can lie.
pub fn neighbor(index: u32, address: Ipv4Addr, mac: Mac) -> Request {
    let mut message = NeighbourMessage::default();
    message.header.family = AddressFamily::Inet;
    message.header.ifindex = index;
    message.header.state = NeighbourState::Permanent;
    message.attributes.push(NeighbourAttribute::Destination(NeighbourAddress::Inet(address)));
    message.attributes.push(NeighbourAttribute::LinkLayerAddress(mac.0.to_vec()));
    change(RouteNetlinkMessage::NewNeighbour(message), NLM_F_CREATE | NLM_F_REPLACE, &[])
}

fn route(destination: Cidr, kind: RouteType) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = AddressFamily::Inet;
    message.header.destination_prefix_length = destination.prefix();
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.header.protocol = RouteProtocol::Static;
    message.header.kind = kind;
    if destination.prefix() > 0 {
        message.attributes.push(RouteAttribute::Destination(RouteAddress::Inet(destination.base())));
    }
    message
}

/// Replaces whatever route the destination had.
fn put(message: RouteMessage) -> Request {
    change(RouteNetlinkMessage::NewRoute(message), NLM_F_CREATE | NLM_F_REPLACE, &[])
}

/// `destination` lies directly behind a link.
pub fn route_to_link(destination: Cidr, index: u32) -> Request {
    let mut message = route(destination, RouteType::Unicast);
    message.header.scope = RouteScope::Link;
    message.attributes.push(RouteAttribute::Oif(index));
    put(message)
}

/// `destination` lies behind `gateway`, which need not be in any range of the link.
pub fn route_via(destination: Cidr, gateway: Ipv4Addr, index: u32, source: Option<Ipv4Addr>) -> Request {
    let mut message = route(destination, RouteType::Unicast);
    message.header.flags = RouteFlags::Onlink;
    message.attributes.push(RouteAttribute::Gateway(RouteAddress::Inet(gateway)));
    message.attributes.push(RouteAttribute::Oif(index));
    message.attributes.extend(source.map(|address| RouteAttribute::PrefSource(RouteAddress::Inet(address))));
    put(message)
}

/// Nothing in `destination` is reached unless a longer prefix says otherwise.
pub fn unreachable(destination: Cidr) -> Request {
    put(route(destination, RouteType::Unreachable))
}

pub fn delete_route(destination: Cidr, index: u32) -> Request {
    let mut message = route(destination, RouteType::Unicast);
    message.header.scope = RouteScope::NoWhere;
    message.attributes.push(RouteAttribute::Oif(index));
    change(RouteNetlinkMessage::DelRoute(message), 0, &[Errno::SRCH, Errno::NODEV])
}

/// The name of a queue or of a class in it: two numbers.
#[derive(Debug, Clone, Copy)]
pub struct Handle(pub u16, pub u16);

impl Handle {
    pub const ROOT: Handle = Handle(u16::MAX, u16::MAX);

    fn written(self) -> TcHandle {
        TcHandle { major: self.0, minor: self.1 }
    }
}

fn queue_message(index: u32, parent: Handle) -> TcMessage {
    let mut message = TcMessage::default();
    message.header.index = index as i32;
    message.header.parent = parent.written();
    message
}

/// How a link's packets wait to leave. `options` are bytes as its kind takes them.
pub fn queue(index: u32, parent: Handle, handle: Handle, kind: &str, options: Vec<u8>) -> Request {
    const OPTIONS: u16 = 2;
    let mut message = queue_message(index, parent);
    message.header.handle = handle.written();
    message.attributes.push(TcAttribute::Kind(kind.into()));
    message.attributes.push(TcAttribute::Other(DefaultNla::new(OPTIONS, options)));
    change(RouteNetlinkMessage::NewQueueDiscipline(message), NLM_F_CREATE | NLM_F_REPLACE, &[])
}

/// As before anything was set.
pub fn delete_queue(index: u32) -> Request {
    let message = queue_message(index, Handle::ROOT);
    change(RouteNetlinkMessage::DelQueueDiscipline(message), 0, &[Errno::NOENT, Errno::INVAL])
}
