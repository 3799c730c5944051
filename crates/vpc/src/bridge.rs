//! The host's bridge: containers with an address each, hidden behind the host's own, with ports of
//! the host led to them. As Docker's default network.
//!
//! Made when the first container needs it. Its name, its range and whose it is stand in the kernel
//! (the link's alias), as everything else does.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::Ipv4Addr;

use core_addresses::{Cidr, Mac, gateway_of, mac_of};
use rustix::io::Errno;

use crate::dns::name_servers;
use crate::error::Doing;
use crate::host::Host;
use crate::namespace::without_ipv6;
use crate::net::conntrack::{self, Flow};
use crate::net::{Batch, Chain, Expression, Hook, Link, Target, Transport, request};
use crate::ports::{Port, Ports};
use crate::{Hears, PLATFORM, VpcError};

const NAME: &str = "boxship";
/// How aliases of bridges begin; whose it is and its range follow.
const MARK: &str = "boxship-bridge";
/// How many servers on one machine can have a bridge.
const BRIDGES: u32 = 32;
const LOOPBACK: Cidr = Cidr::new(Ipv4Addr::new(127, 0, 0, 0), 8);
/// The platform's, and on a machine of a cloud that machine's own credentials.
const LINK_LOCAL: Cidr = Cidr::new(Ipv4Addr::new(169, 254, 0, 0), 16);
const PREFIX: u8 = 16;
const RAW: &str = "raw";
const FORWARD: &str = "forward";
const DESTINATION_NAT: &str = "prerouting";
const OUTPUT_NAT: &str = "output";
const SOURCE_NAT: &str = "postrouting";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bridge {
    pub index: u32,
    pub name: String,
    pub subnet: Cidr,
}

/// The map of a protocol's ports.
fn map_of(transport: Transport) -> &'static str {
    match transport {
        Transport::Tcp => "tcp",
        Transport::Udp => "udp",
    }
}

/// The map of where the platform's ports lead for those who are heard.
fn platform_map_of(hears: Hears) -> &'static str {
    match hears {
        Hears::Bridge => "platform-bridge",
        Hears::Host => "platform-host",
    }
}

/// Where the platform really listens for them.
pub fn listens_at(hears: Hears) -> Ipv4Addr {
    match hears {
        Hears::Bridge => PLATFORM,
        Hears::Host => Ipv4Addr::LOCALHOST,
    }
}

/// By port of [`PLATFORM`], the port that it leads to: programs of the machine and published ports
/// may have the number itself.
pub type Listeners = BTreeMap<(Hears, u16), u16>;

const TRANSPORTS: [Transport; 2] = [Transport::Tcp, Transport::Udp];

/// Docker's own choices, in its order. 172.31.0.0/16 is left out: default VPCs lie there.
fn candidates() -> impl Iterator<Item = Cidr> {
    let second = (17..=30).map(|n| Cidr::new(Ipv4Addr::new(172, n, 0, 0), PREFIX));
    second.chain((64..=127).map(|n| Cidr::new(Ipv4Addr::new(10, n, 0, 0), PREFIX)))
}

impl Bridge {
    /// The bridge that a link is, with the hash of its server.
    fn read(link: &Link) -> Option<(&str, Self)> {
        let mut parts = link.alias.as_deref()?.split(' ');
        let hash = parts.next().filter(|word| *word == MARK).and(parts.next())?;
        let subnet = parts.next()?.parse().ok()?;
        Some((hash, Bridge { index: link.index, name: link.name.clone(), subnet }))
    }

    /// The one that an earlier start left. One that it had not come to name goes.
    pub fn find(host: &mut Host) -> io::Result<Option<Self>> {
        let links = host.rtnl.links()?;
        let is_half = |link: &&Link| {
            let is_like_ours = link.name.starts_with(NAME) && link.mac == Some(mac_for(host, &link.name));
            is_like_ours && link.alias.is_none()
        };
        let halves: Vec<u32> = links.iter().filter(is_half).map(|link| link.index).collect();
        for index in halves {
            host.rtnl.run(&[request::delete_link(index)])?;
        }
        let mut found = links.iter().filter_map(Bridge::read);
        Ok(found.find(|(hash, _)| *hash == host.hash).map(|(_, bridge)| bridge))
    }

    pub fn create(host: &mut Host) -> Result<Self, VpcError> {
        loop {
            let subnet = free_range(host)?.ok_or(VpcError::NoAddresses("range"))?;
            let name = make_link(host).doing("making the bridge")?.ok_or(VpcError::NoAddresses("name"))?;
            let index = host.rtnl.index_of(&name).doing("finding the bridge")?;
            let bridge = Bridge { index, name, subnet };
            let made = bridge.claim(host).doing("naming the bridge").and_then(|is_ours| {
                if is_ours {
                    bridge.complete(host, &Ports::default(), &Listeners::new())?;
                }
                Ok(is_ours)
            });
            match made {
                Ok(true) => return Ok(bridge),
                // Another server has come first, and its range is known by now.
                Ok(false) => bridge.delete(host).doing("deleting the bridge")?,
                Err(error) => {
                    let _ = bridge.delete(host);
                    return Err(error);
                }
            }
        }
    }

    /// Says whose it is, for whom its range is. Of two servers that chose the same at once, at
    /// least one sees the other, and both agree who gives way.
    fn claim(&self, host: &mut Host) -> io::Result<bool> {
        let alias = format!("{MARK} {} {}", host.hash, self.subnet);
        host.rtnl.run(&[request::set_alias(self.index, &alias)])?;
        let links = host.rtnl.links()?;
        let mut others = links.iter().filter_map(Bridge::read).map(|(_, other)| other);
        Ok(!others.any(|other| other.index < self.index && other.subnet.overlaps(self.subnet)))
    }

    /// Everything but its name; repeated after a restart, which may have come in the middle of it.
    pub fn complete(&self, host: &mut Host, ports: &Ports, listeners: &Listeners) -> Result<(), VpcError> {
        without_ipv6(&self.name).doing("switching the bridge's IPv6 off")?;
        // Lets the machine's own clients at 127.0.0.1 be sent on to containers. Containers that
        // try the other direction are stopped by a rule.
        self.write_table(host, ports, listeners).doing("writing the bridge's rules")?;
        fs::write(format!("/proc/sys/net/ipv4/conf/{}/route_localnet", self.name), "1")
            .doing("setting up the bridge")?;
        let requests = [
            request::link_up(self.index),
            request::address(self.index, self.gateway(), self.subnet.prefix()),
            request::address(self.index, PLATFORM, 32),
            request::route_to_link(self.subnet, self.index),
        ];
        host.rtnl.run(&requests).doing("setting up the bridge")?;
        host.admit(&self.name).doing("writing the host's rules")?;
        host.forward().doing("switching forwarding on")
    }

    pub fn gateway(&self) -> Ipv4Addr {
        gateway_of(self.subnet)
    }

    /// Writes all rules anew, in one step.
    pub fn write_table(&self, host: &mut Host, ports: &Ports, listeners: &Listeners) -> io::Result<()> {
        let table = host.bridge_table();
        let mut batch = Batch::new(&table);
        batch.fresh_table();
        TRANSPORTS.iter().for_each(|transport| batch.map(map_of(*transport)));
        for ((transport, number), target) in ports.all() {
            batch.add_target(map_of(transport), number, target);
        }
        [Hears::Bridge, Hears::Host].into_iter().for_each(|hears| batch.map(platform_map_of(hears)));
        for ((hears, shown), port) in listeners {
            let target = Target { address: listens_at(*hears), port: *port };
            batch.add_target(platform_map_of(*hears), *shown, target);
        }
        self.protect(&mut batch);
        self.send_on(&mut batch);
        let stands = host.stands();
        self.hide(&mut batch, &stands);
        host.nft.commit(batch)
    }

    fn protect(&self, batch: &mut Batch<'_>) {
        let name = &self.name;
        batch.chain(Chain { name: RAW, hook: Hook::Raw });
        let loopback = [Expression::InputIs(name), Expression::DestinationWithin(LOOPBACK), Expression::Drop];
        batch.rule(RAW, &loopback);
        batch.chain(Chain { name: FORWARD, hook: Hook::Forward });
        // Answers pass: a VPC to which the host has no route asks from its uplink's address.
        let link_local = [
            Expression::InputIs(name),
            Expression::DestinationWithin(LINK_LOCAL),
            Expression::IsNew,
            Expression::Drop,
        ];
        batch.rule(FORWARD, &link_local);
        // Neighbors of the machine reach published ports, not containers themselves.
        let redirected = [Expression::OutputIs(name), Expression::IsRedirected, Expression::Accept];
        batch.rule(FORWARD, &redirected);
        let stranger =
            [Expression::OutputIs(name), Expression::InputIsNot(name), Expression::IsNew, Expression::Drop];
        batch.rule(FORWARD, &stranger);
    }

    /// What comes to a published port of this machine, from outside, from itself or from a
    /// container. 169.254.170.2 is the platform's, whatever is published.
    fn send_on(&self, batch: &mut Batch<'_>) {
        let platform = |hears| {
            [
                Expression::DestinationWithin(Cidr::new(PLATFORM, 32)),
                Expression::Protocol(Transport::Tcp),
                Expression::SendTo(platform_map_of(hears)),
            ]
        };
        let [on_bridge, on_host] = [platform(Hears::Bridge), platform(Hears::Host)];
        let on_bridge: Vec<_> = std::iter::once(Expression::InputIs(&self.name)).chain(on_bridge).collect();
        let chains = [
            (DESTINATION_NAT, Hook::DestinationNat, &on_bridge[..]),
            (OUTPUT_NAT, Hook::OutputNat, &on_host[..]),
        ];
        for (name, hook, platform) in chains {
            batch.chain(Chain { name, hook });
            batch.rule(name, platform);
            for transport in TRANSPORTS {
                let rule = [
                    Expression::DestinationIsLocal,
                    Expression::DestinationOutside(LINK_LOCAL),
                    Expression::Protocol(transport),
                    Expression::SendTo(map_of(transport)),
                ];
                batch.rule(name, &rule);
            }
        }
    }

    /// Whoever would answer past us must think that we asked. `stands`: links to VPCs where the host has
    /// an address.
    fn hide(&self, batch: &mut Batch<'_>, stands: &[(String, Ipv4Addr)]) {
        let name = &self.name;
        batch.chain(Chain { name: SOURCE_NAT, hook: Hook::SourceNat });
        // AWS: containers on an instance's bridge have its address, and its security groups.
        for (link, address) in stands {
            let instance = [
                Expression::SourceWithin(self.subnet),
                Expression::OutputIs(link),
                Expression::SendAs(*address),
            ];
            batch.rule(SOURCE_NAT, &instance);
        }
        let out =
            [Expression::SourceWithin(self.subnet), Expression::OutputIsNot(name), Expression::Masquerade];
        batch.rule(SOURCE_NAT, &out);
        let back = [
            Expression::OutputIs(name),
            Expression::SourceWithin(self.subnet),
            Expression::IsRedirected,
            Expression::Masquerade,
        ];
        batch.rule(SOURCE_NAT, &back);
        let own = [Expression::OutputIs(name), Expression::SourceWithin(LOOPBACK), Expression::Masquerade];
        batch.rule(SOURCE_NAT, &own);
    }

    /// Leads ports to a container, all or none.
    pub fn publish(&self, host: &mut Host, targets: &[(Port, Target)]) -> io::Result<()> {
        if targets.is_empty() {
            return Ok(());
        }
        let table = host.bridge_table();
        let mut batch = Batch::new(&table);
        for ((transport, number), target) in targets {
            batch.add_target(map_of(*transport), *number, *target);
        }
        host.nft.commit(batch)?;
        let datagrams: Vec<u16> = datagrams(targets.iter().map(|(port, _)| *port));
        if datagrams.is_empty() {
            return Ok(());
        }
        // Clients that asked too early must not go on asking nobody.
        let own: Vec<Ipv4Addr> = host.rtnl.addresses()?.into_iter().map(|(address, _)| address).collect();
        let is_early = |flow: &Flow| {
            let asked = flow.original;
            datagrams.contains(&asked.destination_port) && own.contains(&asked.destination)
        };
        conntrack::forget_datagrams(is_early)
    }

    /// `address`: of the container that they lead to.
    pub fn unpublish(&self, host: &mut Host, ports: &[(Port, u16)], address: Ipv4Addr) -> io::Result<()> {
        if ports.is_empty() {
            return Ok(());
        }
        let table = host.bridge_table();
        let mut batch = Batch::new(&table);
        for ((transport, number), _) in ports {
            batch.remove_target(map_of(*transport), *number);
        }
        host.nft.commit(batch)?;
        if datagrams(ports.iter().map(|(port, _)| *port)).is_empty() {
            return Ok(());
        }
        conntrack::forget_datagrams(|flow| flow.reply.source == address)
    }

    /// Every port that leads somewhere, as the kernel has it.
    pub fn published(host: &mut Host) -> io::Result<Vec<(Port, Target)>> {
        let table = host.bridge_table();
        let mut found = Vec::new();
        for transport in TRANSPORTS {
            let targets = host.nft.targets(&table, map_of(transport))?;
            found.extend(targets.into_iter().map(|(number, target)| ((transport, number), target)));
        }
        Ok(found)
    }

    pub fn delete(&self, host: &mut Host) -> io::Result<()> {
        host.rtnl.run(&[request::delete_link(self.index)])?;
        delete_table(host)
    }
}

/// The numbers of UDP ports.
fn datagrams(ports: impl Iterator<Item = Port>) -> Vec<u16> {
    ports.filter(|(transport, _)| *transport == Transport::Udp).map(|(_, number)| number).collect()
}

/// Also where there is no bridge any more.
pub fn delete_table(host: &mut Host) -> io::Result<()> {
    let table = host.bridge_table();
    let mut batch = Batch::new(&table);
    batch.delete_table();
    host.nft.commit(batch)
}

/// A range that neither the machine's own network nor its name servers lie in.
fn free_range(host: &mut Host) -> Result<Option<Cidr>, VpcError> {
    let addresses = host.rtnl.addresses().doing("listing addresses")?;
    let routes = host.rtnl.routes().doing("listing routes")?;
    let servers = name_servers(&fs::read_to_string("/etc/resolv.conf").unwrap_or_default());
    let links = host.rtnl.links().doing("listing links")?;
    let others: Vec<Bridge> = links.iter().filter_map(Bridge::read).map(|(_, other)| other).collect();
    let is_free = |range: &Cidr| {
        let is_others = others.iter().any(|other| other.subnet.overlaps(*range));
        let is_routed = routes.iter().any(|route| {
            // A route to everything, or half of it, is a default route in another coat.
            route.destination.prefix() > 1 && route.destination.overlaps(*range)
        });
        let has_address = addresses
            .iter()
            .any(|(address, own)| range.contains(*address) || (own.prefix() > 1 && own.overlaps(*range)));
        let has_server = servers.iter().any(|server| match server.ip() {
            std::net::IpAddr::V4(address) => range.contains(address),
            std::net::IpAddr::V6(_) => false,
        });
        !is_others && !is_routed && !has_address && !has_server
    };
    Ok(candidates().find(is_free))
}

/// The hardware address of a bridge of ours, which says so while it has no alias.
fn mac_for(host: &Host, name: &str) -> Mac {
    mac_of(&format!("{}/{name}", host.hash))
}

/// The first name that nobody has.
fn make_link(host: &mut Host) -> io::Result<Option<String>> {
    for number in 0..BRIDGES {
        let name = format!("{NAME}{number}");
        let mac = mac_for(host, &name);
        match host.rtnl.run(&[request::bridge(&name, mac)]) {
            Ok(()) => return Ok(Some(name)),
            Err(error) if Errno::from_io_error(&error) == Some(Errno::EXIST) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}
