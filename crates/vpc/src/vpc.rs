//! One VPC's namespace, from the inside.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::Ipv4Addr;

use core_addresses::{Cidr, resolver_of};

use crate::groups::Place;
use crate::host::{Host, UPLINK, Uplink};
use crate::namespace::{Namespace, without_ipv6};
use crate::net::{Batch, Chain, Expression, Hook, Nft, Rtnl, request};
use crate::{HostRoute, PLATFORM, VpcKey, VpcSpec};

const TABLE: &str = "boxship";
const FORWARD: &str = "forward";
const SOURCE_NAT: &str = "postrouting";
/// Addresses with a way to the outside.
const PUBLIC: &str = "public";
/// Addresses in the VPC at which the host itself is reached; and those among them where it has no
/// route back.
const HOST: &str = "host";
const HIDDEN: &str = "hidden";
/// AWS: link-local addresses are the platform's; they never leave the VPC. On an EC2 machine they
/// would reach that machine's own credentials.
const LINK_LOCAL: Cidr = Cidr::new(Ipv4Addr::new(169, 254, 0, 0), 16);
/// How files of VPC namespaces begin; task ids have no `@`.
const FILE_PREFIX: &str = "vpc@";

pub struct Vpc {
    pub spec: VpcSpec,
    pub namespace: Namespace,
    pub rtnl: Rtnl,
    pub nft: Nft,
    pub uplink: Uplink,
    pub host_route: HostRoute,
    /// Addresses of balancers: local to the namespace.
    pub nodes: BTreeSet<Ipv4Addr>,
    /// At which the host itself is reached.
    pub host_address: Option<Ipv4Addr>,
}

/// The name of the VPC's namespace file: it says the whole key.
pub fn file_name(key: &VpcKey) -> String {
    format!("{FILE_PREFIX}{}@{}@{}", key.account, key.region, key.vpc)
}

/// The VPC whose namespace has this file name.
pub fn key_of(file_name: &str) -> Option<VpcKey> {
    let mut parts = file_name.strip_prefix(FILE_PREFIX)?.split('@').map(str::to_owned);
    let key = VpcKey { account: parts.next()?, region: parts.next()?, vpc: parts.next()? };
    parts.next().is_none().then_some(key)
}

/// What the uplink's alias inside the VPC says.
fn alias_of(spec: &VpcSpec) -> String {
    format!("{} {}", spec.cidr, if spec.on_host { "host" } else { "apart" })
}

fn parse_alias(alias: &str) -> Option<(Cidr, bool)> {
    let (range, reach) = alias.split_once(' ')?;
    Some((range.parse().ok()?, reach == "host"))
}

impl Vpc {
    /// Makes the namespace and connects it; it has no file yet.
    pub fn create(host: &mut Host, spec: VpcSpec) -> io::Result<Self> {
        let (namespace, (mut rtnl, mut nft)) = Namespace::create(|| {
            settings()?;
            Ok((Rtnl::open()?, Nft::open()?))
        })?;
        let lo = rtnl.index_of("lo")?;
        rtnl.run(&[
            request::link_up(lo),
            request::address(lo, PLATFORM, 32),
            request::address(lo, resolver_of(spec.cidr), 32),
            request::unreachable(spec.cidr),
            request::unreachable(LINK_LOCAL),
        ])?;
        write_table(&mut nft, &[])?;
        namespace.enter(forget_ended)?;
        let uplink = host.connect(&namespace, &mut rtnl)?;
        Ok(Vpc::new(spec, namespace, (rtnl, nft), uplink))
    }

    fn new(spec: VpcSpec, namespace: Namespace, (rtnl, nft): (Rtnl, Nft), uplink: Uplink) -> Self {
        Vpc {
            spec,
            namespace,
            rtnl,
            nft,
            uplink,
            host_route: HostRoute::NotWanted,
            nodes: BTreeSet::new(),
            host_address: None,
        }
    }

    /// The last step of making it: from here on a restart takes it up.
    pub fn complete(&mut self) -> io::Result<()> {
        let index = self.rtnl.index_of(UPLINK)?;
        self.rtnl.run(&[request::set_alias(index, &alias_of(&self.spec))])
    }

    /// Takes one up after a restart; `None` when it was never completed.
    pub fn recover(key: VpcKey, namespace: Namespace, uplink: Uplink) -> io::Result<Option<Self>> {
        let (mut rtnl, nft) = namespace.enter(|| Ok((Rtnl::open()?, Nft::open()?)))?;
        let links = rtnl.links()?;
        let alias = links.iter().find(|link| link.name == UPLINK).and_then(|link| link.alias.as_deref());
        let Some((cidr, on_host)) = alias.and_then(parse_alias) else { return Ok(None) };
        let lo = rtnl.index_of("lo")?;
        let spec = VpcSpec { key, cidr, on_host };
        let own = [Ipv4Addr::LOCALHOST, PLATFORM, resolver_of(cidr)];
        let nodes = rtnl.addresses_of(lo)?.into_iter().filter(|address| !own.contains(address)).collect();
        Ok(Some(Vpc { nodes, ..Vpc::new(spec, namespace, (rtnl, nft), uplink) }))
    }

    /// Where its security groups are.
    pub fn place(&mut self) -> Place<'_> {
        Place { nft: &mut self.nft, range: self.spec.cidr, host: self.uplink.host_address() }
    }

    /// Writes the rules of ways out anew, in one step: an earlier version may have left others.
    pub fn write_table(&mut self, public: &[Ipv4Addr]) -> io::Result<()> {
        write_table(&mut self.nft, public)
    }

    /// Makes an address of its own, for balancers.
    pub fn hold(&mut self, address: Ipv4Addr) -> io::Result<()> {
        let lo = self.rtnl.index_of("lo")?;
        self.set_public(address, true)?;
        self.rtnl.run(&[request::address(lo, address, 32)])?;
        self.nodes.insert(address);
        Ok(())
    }

    pub fn release(&mut self, address: Ipv4Addr) -> io::Result<()> {
        if !self.nodes.contains(&address) {
            return Ok(());
        }
        let lo = self.rtnl.index_of("lo")?;
        self.rtnl.run(&[request::delete_address(lo, address, 32)])?;
        self.nodes.remove(&address);
        self.set_public(address, false)
    }

    /// Leads an address to the host. Where the host has no route back, whoever asks is hidden behind
    /// the uplink.
    pub fn lead_to_host(&mut self, address: Ipv4Addr) -> io::Result<()> {
        let index = self.rtnl.index_of(UPLINK)?;
        let mut batch = Batch::new(TABLE);
        batch.add_address(HOST, address);
        batch.add_address(HIDDEN, address);
        if self.host_route == HostRoute::Present {
            batch.remove_address(HIDDEN, address);
        }
        self.nft.commit(batch)?;
        let there = self.uplink.host_address();
        self.rtnl.run(&[request::route_via(Cidr::new(address, 32), there, index, None)])?;
        self.host_address = Some(address);
        Ok(())
    }

    pub fn lead_nowhere(&mut self, address: Ipv4Addr) -> io::Result<()> {
        let index = self.rtnl.index_of(UPLINK)?;
        self.rtnl.run(&[request::delete_route(Cidr::new(address, 32), index)])?;
        let mut batch = Batch::new(TABLE);
        for set in [HOST, HIDDEN] {
            batch.add_address(set, address);
            batch.remove_address(set, address);
        }
        self.nft.commit(batch)?;
        self.host_address = None;
        Ok(())
    }

    /// Lets an address out, or no longer.
    pub fn set_public(&mut self, address: Ipv4Addr, is_public: bool) -> io::Result<()> {
        let mut batch = Batch::new(TABLE);
        // Adding before removing makes the removal succeed whether or not it was in.
        batch.add_address(PUBLIC, address);
        if !is_public {
            batch.remove_address(PUBLIC, address);
        }
        self.nft.commit(batch)
    }
}

/// What a new namespace must not take over from the machine's own settings: `all` and `default`
/// of each, where the larger or stricter of `all` and the link's counts.
const SETTINGS: &[(&str, &str)] = &[
    // The strict check of the reverse path is what keeps a task to its own address; distributions
    // set 2, which only looks whether there is any path.
    ("rp_filter", "1"),
    ("accept_local", "0"),
    ("accept_redirects", "0"),
    ("accept_source_route", "0"),
    ("proxy_arp", "0"),
    ("route_localnet", "0"),
    ("send_redirects", "0"),
];

/// Runs inside the new namespace, before it has links.
fn settings() -> io::Result<()> {
    // First: it resets some of the others.
    fs::write("/proc/sys/net/ipv4/ip_forward", "1")?;
    // A balancer that ends many connections with one target needs their ports again.
    fs::write("/proc/sys/net/ipv4/tcp_tw_reuse", "1")?;
    for (name, value) in SETTINGS {
        for scope in ["all", "default"] {
            fs::write(format!("/proc/sys/net/ipv4/conf/{scope}/{name}"), value)?;
        }
    }
    without_ipv6("default")
}

/// Connections that have ended are followed for a moment only: the machine follows so many in all, and
/// those of a busy balancer would fill that within two minutes. Runs inside the namespace, once it has
/// rules about connections.
fn forget_ended() -> io::Result<()> {
    match fs::write("/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_time_wait", "10") {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn write_table(nft: &mut Nft, public: &[Ipv4Addr]) -> io::Result<()> {
    let mut batch = Batch::new(TABLE);
    batch.fresh_table();
    [PUBLIC, HOST, HIDDEN].into_iter().for_each(|set| batch.set(set));
    public.iter().for_each(|address| batch.add_address(PUBLIC, *address));
    batch.chain(Chain { name: FORWARD, hook: Hook::Forward });
    let to_host = [Expression::OutputBegins(UPLINK), Expression::DestinationIn(HOST), Expression::Accept];
    batch.rule(FORWARD, &to_host);
    // Answers to the host pass; only what begins here needs a way out.
    let private = [
        Expression::OutputBegins(UPLINK),
        Expression::IsNew,
        Expression::SourceNotIn(PUBLIC),
        Expression::Drop,
    ];
    batch.rule(FORWARD, &private);
    batch.chain(Chain { name: SOURCE_NAT, hook: Hook::SourceNat });
    let hidden =
        [Expression::OutputBegins(UPLINK), Expression::DestinationIn(HIDDEN), Expression::Masquerade];
    batch.rule(SOURCE_NAT, &hidden);
    batch.rule(SOURCE_NAT, &to_host);
    // The host cannot tell equal addresses of two VPCs apart, so they leave as the uplink's.
    let exit = [Expression::OutputBegins(UPLINK), Expression::SourceIn(PUBLIC), Expression::Masquerade];
    batch.rule(SOURCE_NAT, &exit);
    nft.commit(batch)
}
