//! The host's side: one table of rules, one uplink per VPC, plain routes, the forwarding setting.
//!
//! Invariant: nothing here changes what is not ours. The machine's forwarding setting is the one
//! exception; it changes only when a task or a balancer may need the outside, and the note of it is
//! written first.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use base::Chance;
use core_addresses::{Cidr, Mac};

use crate::HostRoute;
use crate::firewall;
use crate::namespace::{Namespace, without_ipv6};
use crate::net::request::{self, End};
use crate::net::{Batch, Chain, Expression, Hook, Link, Nft, Rtnl};

/// Pairs of addresses for uplinks come from here: link-local, apart from what AWS and Boxship use.
const UPLINKS: Cidr = Cidr::new(Ipv4Addr::new(169, 254, 64, 0), 18);
/// The same at every uplink: the two ends are alone on their wire.
const HOST_MAC: Mac = Mac([0x0a, 0xb0, 0x58, 0, 0, 1]);
const VPC_MAC: Mac = Mac([0x0a, 0xb0, 0x58, 0, 0, 2]);
/// The uplink's name inside every VPC.
pub const UPLINK: &str = "up0";
const TABLE_PREFIX: &str = "boxship-";
const FORWARD: &str = "forward";
const SOURCE_NAT: &str = "postrouting";
const UPLINK_SET: &str = "uplinks";
const FORWARDING: &str = "/proc/sys/net/ipv4/ip_forward";

/// One VPC's connection with the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Uplink {
    /// The link's index in the host's namespace.
    pub index: u32,
    pub number: u32,
}

impl Uplink {
    /// The address of the host's end.
    pub fn host_address(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(UPLINKS.base().to_bits() + 2 * self.number)
    }

    /// The address of the VPC's end.
    pub fn vpc_address(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(UPLINKS.base().to_bits() + 2 * self.number + 1)
    }
}

pub struct Host {
    pub rtnl: Rtnl,
    pub nft: Nft,
    /// What names of ours on this machine have in common, and no other server's.
    pub hash: String,
    /// How names of our uplinks begin.
    prefix: String,
    table: String,
    /// The bridge, whose containers may reach VPCs as the host itself does.
    bridge: Option<String>,
    /// By uplink, the host's address in its VPC.
    stands: BTreeMap<u32, Ipv4Addr>,
    /// Exists while the machine forwards packets because of us.
    note: PathBuf,
    has_table: bool,
    /// Whether the machine's firewall has been looked at.
    has_looked: bool,
}

impl Host {
    pub fn open(run_dir: &Path) -> io::Result<Self> {
        let hash = Chance::new(0).split(&run_dir.to_string_lossy()).hex(6);
        Ok(Host {
            rtnl: Rtnl::open()?,
            nft: Nft::open()?,
            prefix: format!("bx{hash}u"),
            table: format!("{TABLE_PREFIX}{hash}"),
            bridge: None,
            stands: BTreeMap::new(),
            hash,
            note: run_dir.join("forwarding"),
            has_table: false,
            has_looked: false,
        })
    }

    /// Our links on the host with the number in their name.
    pub fn uplinks(&mut self) -> io::Result<Vec<(Link, Uplink)>> {
        let ours = |link: Link| {
            let number = link.name.strip_prefix(&self.prefix)?.parse().ok()?;
            let uplink = Uplink { index: link.index, number };
            Some((link, uplink))
        };
        Ok(self.rtnl.links()?.into_iter().filter_map(ours).collect())
    }

    /// Tables of ours in the host's namespace.
    pub fn tables(&mut self) -> io::Result<Vec<String>> {
        Ok(self.nft.tables()?.into_iter().filter(|name| name.starts_with(&self.table)).collect())
    }

    pub fn changed_forwarding(&self) -> bool {
        self.note.exists()
    }

    /// Makes the table with its rules, for these VPCs.
    pub fn write_table(&mut self, uplinks: &[Uplink]) -> io::Result<()> {
        let mut batch = Batch::new(&self.table);
        batch.fresh_table();
        batch.set(UPLINK_SET);
        uplinks.iter().for_each(|uplink| batch.add_address(UPLINK_SET, uplink.vpc_address()));
        batch.chain(Chain { name: FORWARD, hook: Hook::Forward });
        if let Some(bridge) = &self.bridge {
            let containers =
                [Expression::InputIs(bridge), Expression::OutputBegins(&self.prefix), Expression::Accept];
            batch.rule(FORWARD, &containers);
        }
        let entry = [Expression::OutputBegins(&self.prefix), Expression::IsNew, Expression::Drop];
        batch.rule(FORWARD, &entry);
        batch.chain(Chain { name: SOURCE_NAT, hook: Hook::SourceNat });
        let exit = [
            Expression::OutputDoesNotBegin(&self.prefix),
            Expression::SourceIn(UPLINK_SET),
            Expression::Masquerade,
        ];
        batch.rule(SOURCE_NAT, &exit);
        self.nft.commit(batch)?;
        self.has_table = true;
        Ok(())
    }

    /// Lets containers of the bridge begin connections with VPCs.
    pub fn admit(&mut self, bridge: &str) -> io::Result<()> {
        self.bridge = Some(bridge.to_owned());
        if !self.has_table {
            return Ok(());
        }
        let uplinks: Vec<_> = self.uplinks()?.into_iter().map(|(_, uplink)| uplink).collect();
        self.write_table(&uplinks)
    }

    /// The table of the bridge's rules.
    pub fn bridge_table(&self) -> String {
        format!("{}-bridge", self.table)
    }

    /// In whose name faults of a task on the host's network are.
    pub fn owner_of_faults(&self, task: &str) -> String {
        format!("{}-{task}", self.table)
    }

    /// Connects a VPC's namespace, both ends up and addressed, without a name yet.
    pub fn connect(&mut self, vpc: &Namespace, vpc_rtnl: &mut Rtnl) -> io::Result<Uplink> {
        let number = self.free_number()?;
        let name = format!("{}{number}", self.prefix);
        let pair = request::veth_pair(
            &End { name: &name, mac: HOST_MAC },
            &End { name: UPLINK, mac: VPC_MAC },
            std::os::fd::AsFd::as_fd(vpc),
        );
        self.rtnl.run(&[pair])?;
        let uplink = Uplink { index: self.rtnl.index_of(&name)?, number };
        let (here, there) = (uplink.host_address(), uplink.vpc_address());
        let outcome = self
            .rtnl
            .run(&[
                request::address(uplink.index, here, 32),
                request::neighbor(uplink.index, there, VPC_MAC),
                request::route_to_link(Cidr::new(there, 32), uplink.index),
            ])
            .and_then(|()| {
                let index = vpc_rtnl.index_of(UPLINK)?;
                vpc_rtnl.run(&[
                    request::link_up(index),
                    request::address(index, there, 32),
                    request::neighbor(index, here, HOST_MAC),
                    request::route_to_link(Cidr::new(here, 32), index),
                    request::route_via(Cidr::new(Ipv4Addr::UNSPECIFIED, 0), here, index, None),
                ])?;
                vpc_rtnl.await_carrier(UPLINK)
            })
            .and_then(|()| self.rtnl.await_carrier(&name))
            // Ours alone: the machine keeps its IPv6 everywhere else.
            .and_then(|()| without_ipv6(&name));
        if outcome.is_err() {
            self.disconnect(uplink)?;
        }
        outcome.map(|()| uplink)
    }

    /// Writes down whose uplink it is, and lets its traffic out.
    pub fn name(&mut self, uplink: Uplink, alias: &str, all: &[Uplink]) -> io::Result<()> {
        self.rtnl.run(&[request::set_alias(uplink.index, alias)])?;
        if !self.has_table {
            return self.write_table(all);
        }
        let mut batch = Batch::new(&self.table);
        batch.add_address(UPLINK_SET, uplink.vpc_address());
        match self.nft.commit(batch) {
            // Somebody flushed the machine's rules.
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.write_table(all),
            outcome => outcome,
        }
    }

    /// Writes the table again if somebody has deleted it. Whether that was so.
    pub fn mend(&mut self) -> io::Result<bool> {
        if !self.has_table || self.nft.tables()?.contains(&self.table) {
            return Ok(false);
        }
        let uplinks: Vec<_> = self.uplinks()?.into_iter().map(|(_, uplink)| uplink).collect();
        self.write_table(&uplinks).map(|()| true)
    }

    /// A plain route from the host, unless the machine's own network lies in the range.
    pub fn route(&mut self, uplink: Uplink, range: Cidr) -> io::Result<HostRoute> {
        let ours: Vec<u32> = self.uplinks()?.iter().map(|(link, _)| link.index).collect();
        // An address of ours in a VPC is no other network.
        let addresses = self.rtnl.addresses_beyond(&ours)?;
        let taken = addresses.iter().find(|(address, own)| range.contains(*address) || own.covers(range));
        if let Some((address, own)) = taken.filter(|(_, own)| own.prefix() > 0) {
            return Ok(HostRoute::Taken(format!("{address}/{}", own.prefix())));
        }
        let routes = self.rtnl.routes()?;
        let foreign = |route: &&crate::net::Route| {
            route.destination.prefix() > 0
                && route.destination.overlaps(range)
                && route.device != Some(uplink.index)
        };
        if let Some(route) = routes.iter().find(foreign) {
            let owner =
                if route.device.is_some_and(|index| ours.contains(&index)) { " of another VPC" } else { "" };
            return Ok(HostRoute::Taken(format!("{}{owner}", route.destination)));
        }
        let (gateway, source) = (uplink.vpc_address(), uplink.host_address());
        self.rtnl.run(&[request::route_via(range, gateway, uplink.index, Some(source))])?;
        Ok(HostRoute::Present)
    }

    /// Gives the host an address in a VPC.
    pub fn stand(&mut self, uplink: Uplink, address: Ipv4Addr) -> io::Result<()> {
        self.stands.insert(uplink.number, address);
        self.rtnl.run(&[request::address(uplink.index, address, 32)])
    }

    pub fn leave(&mut self, uplink: Uplink, address: Ipv4Addr) -> io::Result<()> {
        self.stands.remove(&uplink.number);
        self.rtnl.run(&[request::delete_address(uplink.index, address, 32)])
    }

    /// The host's address in a VPC, as the kernel has it.
    pub fn stands_at(&mut self, uplink: Uplink) -> io::Result<Option<Ipv4Addr>> {
        let all = self.rtnl.addresses_of(uplink.index)?;
        let found = all.into_iter().find(|address| *address != uplink.host_address());
        self.stands.extend(found.map(|address| (uplink.number, address)));
        Ok(found)
    }

    /// Links to VPCs in which the host has an address, with it.
    pub fn stands(&self) -> Vec<(String, Ipv4Addr)> {
        self.stands.iter().map(|(number, address)| (format!("{}{number}", self.prefix), *address)).collect()
    }

    pub fn disconnect(&mut self, uplink: Uplink) -> io::Result<()> {
        self.rtnl.run(&[request::delete_link(uplink.index)])
    }

    /// Lets nothing out any more that seems to come from an uplink which is gone.
    pub fn forget(&mut self, uplink: Uplink) -> io::Result<()> {
        let mut batch = Batch::new(&self.table);
        batch.add_address(UPLINK_SET, uplink.vpc_address());
        batch.remove_address(UPLINK_SET, uplink.vpc_address());
        match self.nft.commit(batch) {
            // Somebody flushed the machine's rules; they come back without it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            outcome => outcome,
        }
    }

    /// The lowest number that no link of ours has, with a pair of addresses that the host has not.
    fn free_number(&mut self) -> io::Result<u32> {
        let taken = self.uplinks()?;
        let addresses = self.rtnl.addresses()?;
        let is_free = |number: &u32| {
            let range = Cidr::new(Uplink { index: 0, number: *number }.host_address(), 31);
            !taken.iter().any(|(_, uplink)| uplink.number == *number)
                && !addresses.iter().any(|(address, _)| range.contains(*address))
        };
        let count = (UPLINKS.size() / 2) as u32;
        (0..count).find(is_free).ok_or_else(|| io::Error::from(io::ErrorKind::AddrNotAvailable))
    }

    /// Packets of VPCs reach the outside. Switches the machine's forwarding on if it was off.
    pub fn forward(&mut self) -> io::Result<()> {
        if fs::read_to_string(FORWARDING)?.trim() == "0" {
            fs::write(&self.note, "ip_forward was 0\n")?;
            fs::write(FORWARDING, "1")?;
        }
        if !self.has_looked {
            self.has_looked = true;
            for wall in firewall::in_the_way(&mut self.nft)? {
                // What others drop we cannot let pass; they must be told to.
                tracing::warn!(
                    chain = wall.chain,
                    mend = wall.mend,
                    "a firewall of this machine keeps tasks from the outside"
                );
            }
        }
        Ok(())
    }

    /// Every table of ours.
    pub fn remove_tables(&mut self) -> io::Result<()> {
        for table in self.tables()? {
            let mut batch = Batch::new(&table);
            batch.delete_table();
            self.nft.commit(batch)?;
        }
        self.has_table = false;
        Ok(())
    }

    /// Forwarding as it was, unless another Boxship on this machine relies on it by now.
    pub fn restore_forwarding(&mut self) -> io::Result<()> {
        if !self.note.exists() {
            return Ok(());
        }
        let is_needed = self
            .nft
            .tables()?
            .iter()
            .any(|name| name.starts_with(TABLE_PREFIX) && !name.starts_with(&self.table));
        if !is_needed {
            fs::write(FORWARDING, "0")?;
        }
        fs::remove_file(&self.note)
    }
}
