//! Everything that exists, and what can be asked of it. Lives on the worker's thread, which is
//! always in the host's namespace between two calls.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;

use crate::containers::Containers;
use crate::dial::{Dialers, listen_shared};
use crate::error::Doing;
use crate::faults::{self, Faults};
use crate::flows::Flows;
use crate::groups::Filter;
use crate::host::Host;
use crate::interface::{self, Interface};
use crate::namespace::{Directory, is_bound, unbind};
use crate::recover::{Found, recover};
use crate::spare::Spares;
use crate::vpc::{Vpc, file_name};
use crate::{
    Attached, BridgeShown, Bridged, BridgedSpec, Ensured, Hears, HostRoute, InterfaceSpec, Inventory,
    VpcError, VpcKey, VpcSpec, VpcsConfig,
};

pub struct World {
    run_dir: PathBuf,
    directory: Directory,
    pub(crate) host: Host,
    dialers: Arc<Dialers>,
    pub(crate) vpcs: BTreeMap<VpcKey, Vpc>,
    /// Also of VPCs that are not here yet.
    filters: BTreeMap<VpcKey, Filter>,
    interfaces: BTreeMap<String, Interface>,
    pub(crate) containers: Containers,
    spares: Option<Spares>,
    flows: Option<Flows>,
    is_down: bool,
}

impl World {
    pub fn open(config: &VpcsConfig, dialers: Arc<Dialers>) -> Result<Self, VpcError> {
        let directory = Directory::open(&config.run_dir).doing("preparing the run directory")?;
        let mut host = Host::open(&config.run_dir).doing("opening netlink")?;
        let Found { vpcs, interfaces, containers } = recover(&mut host, &directory)?;
        let mut world = World {
            run_dir: config.run_dir.clone(),
            directory,
            host,
            dialers,
            vpcs,
            filters: BTreeMap::new(),
            interfaces,
            containers,
            spares: Some(Spares::start(config.spare).doing("starting a thread")?),
            flows: Some(Flows::start().doing("starting a thread")?),
            is_down: false,
        };
        for key in world.vpcs.keys().cloned().collect::<Vec<_>>() {
            world.route(&key)?;
            world.let_dial(&key)?;
            world.lead_again(&key)?;
            world.filter_again(&key)?;
        }
        if !world.host.stands().is_empty() {
            world.containers.refresh(&mut world.host).doing("writing the bridge's rules")?;
        }
        Ok(world)
    }

    pub fn is_down(&self) -> bool {
        self.is_down
    }

    pub fn ensure(&mut self, spec: VpcSpec) -> Result<Ensured, VpcError> {
        let key = spec.key.clone();
        if let Some(vpc) = self.vpcs.get(&key) {
            if vpc.spec != spec {
                return Err(VpcError::Conflict(key.to_string()));
            }
            return Ok(Ensured { host_route: vpc.host_route.clone(), is_new: false });
        }
        [&key.account, &key.region, &key.vpc].into_iter().try_for_each(|name| check_name(name))?;
        let mut vpc = Vpc::create(&mut self.host, spec).doing("making a VPC's namespace")?;
        let filter = self.filters.entry(key.clone()).or_default();
        if let Err(error) = filter.begin(vpc.place()).doing("writing a VPC's security groups") {
            let _ = self.host.disconnect(vpc.uplink);
            return Err(error);
        }
        if let Err(error) = self.publish(&mut vpc) {
            let _ = self.host.disconnect(vpc.uplink);
            let _ = unbind(&self.directory.file(&file_name(&key)));
            return Err(error);
        }
        self.vpcs.insert(key.clone(), vpc);
        self.let_dial(&key)?;
        Ok(Ensured { host_route: self.route(&key)?, is_new: true })
    }

    /// After a restart, when it is known again whether the host has a route.
    fn lead_again(&mut self, key: &VpcKey) -> Result<(), VpcError> {
        let vpc = self.vpcs.get_mut(key).ok_or_else(|| VpcError::UnknownVpc(key.clone()))?;
        match self.host.stands_at(vpc.uplink).doing("listing addresses")? {
            Some(address) => vpc.lead_to_host(address).doing("leading an address to the host"),
            None => Ok(()),
        }
    }

    /// What an earlier start left of security groups holds until others are told.
    fn filter_again(&mut self, key: &VpcKey) -> Result<(), VpcError> {
        let vpc = self.vpcs.get_mut(key).ok_or_else(|| VpcError::UnknownVpc(key.clone()))?;
        let tasks = self.interfaces.values().filter(|one| one.spec.vpc == *key).map(|one| one.spec.address);
        let own: Vec<_> = tasks.chain(vpc.nodes.iter().copied()).chain(vpc.host_address).collect();
        let filter = Filter::recover(&mut vpc.nft, &own).doing("reading a VPC's security groups")?;
        self.filters.insert(key.clone(), filter);
        Ok(())
    }

    /// A VPC that is here, with its security groups.
    pub(crate) fn filtered(&mut self, key: &VpcKey) -> Result<(&mut Vpc, &mut Filter), VpcError> {
        let vpc = self.vpcs.get_mut(key).ok_or_else(|| VpcError::UnknownVpc(key.clone()))?;
        Ok((vpc, self.filters.entry(key.clone()).or_default()))
    }

    pub fn filter(&mut self, key: VpcKey, groups: core_security::Vpc) -> Result<(), VpcError> {
        let peers = groups.groups.iter().flat_map(|group| group.ingress.iter().chain(&group.egress));
        let peers = peers.filter_map(|rule| match &rule.peer {
            core_security::Peer::Group(peer) => Some(peer),
            core_security::Peer::Range(_) => None,
        });
        let of_members = groups.members.iter().flat_map(|member| &member.groups);
        let mut names = groups.groups.iter().map(|group| &group.id).chain(of_members).chain(peers);
        names.try_for_each(|name| check_name(name))?;
        let place = self.vpcs.get_mut(&key).map(Vpc::place);
        let filter = self.filters.entry(key).or_default();
        filter.tell(place, groups).doing("writing a VPC's security groups")
    }

    fn let_dial(&self, key: &VpcKey) -> Result<(), VpcError> {
        let vpc = self.vpcs.get(key).ok_or_else(|| VpcError::UnknownVpc(key.clone()))?;
        self.dialers.open(key, vpc.namespace.share().doing("sharing a VPC's namespace")?);
        Ok(())
    }

    pub fn forget(&mut self, key: &VpcKey) -> Result<bool, VpcError> {
        let is_used = |vpc: &Vpc| {
            let has_task = self.interfaces.values().any(|one| one.spec.vpc == *key);
            has_task || !vpc.nodes.is_empty() || vpc.host_address.is_some()
        };
        if let Some(vpc) = self.vpcs.get(key) {
            if is_used(vpc) {
                return Ok(false);
            }
            let uplink = vpc.uplink;
            self.dialers.retain(|other| other != key);
            // First its connection: a restart in between removes the rest.
            self.host.disconnect(uplink).doing("deleting an uplink")?;
            self.host.forget(uplink).doing("writing the host's rules")?;
            unbind(&self.directory.file(&file_name(key))).doing("letting a VPC's namespace go")?;
            self.vpcs.remove(key);
        }
        self.filters.remove(key);
        Ok(true)
    }

    /// Makes a VPC findable; a restart before the last step removes it.
    fn publish(&mut self, vpc: &mut Vpc) -> Result<(), VpcError> {
        let file = file_name(&vpc.spec.key);
        vpc.namespace.bind(&self.directory.file(&file)).doing("binding a VPC's namespace")?;
        let uplinks: Vec<_> = self.vpcs.values().map(|other| other.uplink).chain([vpc.uplink]).collect();
        self.host.name(vpc.uplink, &file, &uplinks).doing("writing the host's rules")?;
        vpc.complete().doing("naming a VPC's uplink")
    }

    fn route(&mut self, key: &VpcKey) -> Result<HostRoute, VpcError> {
        let vpc = self.vpcs.get_mut(key).ok_or_else(|| VpcError::UnknownVpc(key.clone()))?;
        if vpc.spec.on_host {
            vpc.host_route = self.host.route(vpc.uplink, vpc.spec.cidr).doing("adding the host's route")?;
        }
        Ok(vpc.host_route.clone())
    }

    pub fn attach(&mut self, spec: InterfaceSpec) -> Result<Attached, VpcError> {
        if let Some(found) = self.interfaces.get(&spec.eni) {
            if !interface::is_same(&found.spec, &spec) {
                return Err(VpcError::Conflict(spec.eni));
            }
            if is_bound(&found.file) {
                let netns = found.file.clone();
                let (vpc, filter) = self.filtered(&spec.vpc)?;
                if !filter.knows(spec.address) {
                    let entered = filter.enter(vpc.place(), spec.address, &spec.security_groups);
                    entered.doing("filtering an interface")?;
                }
                return Ok(Attached { netns });
            }
            // Somebody unmounted it: the namespace is gone, or out of reach.
            self.detach(&spec.eni)?;
        }
        self.check_interface(&spec)?;
        if !self.vpcs.contains_key(&spec.vpc) {
            return Err(VpcError::UnknownVpc(spec.vpc));
        }
        self.evict(&spec.vpc, spec.address)?;
        self.release(&spec.vpc, spec.address)?;
        if spec.is_public {
            self.host.forward().doing("switching forwarding on")?;
        }
        self.settle_flows(&spec.vpc, spec.address);
        let spares = self.spares.as_ref().ok_or(VpcError::Closed)?;
        let spare = spares.take().doing("making a namespace")?;
        let file = self.directory.file(&spec.task);
        let (vpc, filter) = self.filtered(&spec.vpc)?;
        // Before its first packet.
        let entered = filter.enter(vpc.place(), spec.address, &spec.security_groups);
        entered.doing("filtering an interface")?;
        let interface = interface::create(vpc, spare, spec, &file).doing("making an interface")?;
        self.interfaces.insert(interface.spec.eni.clone(), interface);
        Ok(Attached { netns: file })
    }

    fn check_interface(&self, spec: &InterfaceSpec) -> Result<(), VpcError> {
        let names = [&spec.eni, &spec.task].into_iter().chain(&spec.security_groups);
        names.into_iter().try_for_each(|name| check_name(name))?;
        let has_another = self.interfaces.values().any(|one| one.spec.task == spec.task);
        if has_another { Err(VpcError::Conflict(spec.task.clone())) } else { Ok(()) }
    }

    /// The control plane gives an address to one interface at a time. Another that still has it here
    /// belongs to nobody any more, as after a reset of all records.
    pub(crate) fn evict(&mut self, vpc: &VpcKey, address: Ipv4Addr) -> Result<(), VpcError> {
        let Some((eni, task)) = self.interface_at(vpc, address) else { return Ok(()) };
        tracing::warn!(eni, task, %address, "an interface gives way to the new owner of its address");
        self.detach(&eni)
    }

    /// What an address had under way is nothing of who has it next.
    pub(crate) fn forget_flows(&self, key: &VpcKey, address: Ipv4Addr) -> Result<(), VpcError> {
        // Without them everything goes.
        let (Some(flows), Some(vpc)) = (&self.flows, self.vpcs.get(key)) else { return Ok(()) };
        flows.forget(key, &vpc.namespace, address).doing("sharing a VPC's namespace")
    }

    /// Before an address gets an owner.
    pub(crate) fn settle_flows(&self, key: &VpcKey, address: Ipv4Addr) {
        if let Some(flows) = &self.flows {
            flows.settle(key, address);
        }
    }

    pub fn detach(&mut self, eni: &str) -> Result<(), VpcError> {
        let Some(interface) = self.interfaces.get(eni) else { return Ok(()) };
        if let Some(vpc) = self.vpcs.get_mut(&interface.spec.vpc) {
            interface::disconnect(vpc, interface).doing("disconnecting an interface")?;
            let filter = self.filters.entry(interface.spec.vpc.clone()).or_default();
            filter.leave(vpc.place(), interface.spec.address).doing("forgetting an interface's groups")?;
        }
        // With its last name the namespace goes, and the link with it: the kernel does that later and
        // many at once. A process that is still in it keeps both, and reaches nothing.
        unbind(&interface.file).doing("letting a task's namespace go")?;
        match self.interfaces.remove(eni) {
            Some(gone) => self.forget_flows(&gone.spec.vpc, gone.spec.address),
            None => Ok(()),
        }
    }

    pub fn retain(&mut self, wanted: &BTreeSet<String>) -> Result<Vec<String>, VpcError> {
        let all = self.interfaces.keys();
        let unwanted: Vec<String> = all.filter(|eni| !wanted.contains(*eni)).cloned().collect();
        let outcomes: Vec<_> = unwanted.iter().map(|eni| self.detach(eni)).collect();
        outcomes.into_iter().collect::<Result<(), _>>()?;
        Ok(unwanted)
    }

    pub fn ensure_bridge(&mut self) -> Result<BridgeShown, VpcError> {
        self.containers.ensure(&mut self.host)
    }

    pub fn attach_bridged(&mut self, spec: &BridgedSpec) -> Result<Bridged, VpcError> {
        check_name(&spec.task)?;
        let spares = self.spares.as_ref().ok_or(VpcError::Closed)?;
        self.containers.attach(&mut self.host, &self.directory, spares, spec)
    }

    /// Every step is tried; the first failure is the answer.
    pub fn retain_tasks(&mut self, known: &BTreeSet<String>) -> Result<(), VpcError> {
        let of_known = self.interfaces.values().filter(|one| known.contains(&one.spec.task));
        let wanted: BTreeSet<String> = of_known.map(|one| one.spec.eni.clone()).collect();
        let steps = [
            self.retain(&wanted).map(drop),
            self.retain_bridged(|task| known.contains(task)),
            faults::forget_unknown(&mut self.host, known).doing("stopping faults of tasks that are gone"),
        ];
        steps.into_iter().collect()
    }

    pub fn retain_bridged(&mut self, is_wanted: impl Fn(&str) -> bool) -> Result<(), VpcError> {
        self.containers.retain(&mut self.host, is_wanted)
    }

    pub fn faults(&mut self) -> Faults<'_> {
        Faults { host: &mut self.host, vpcs: &mut self.vpcs, interfaces: &self.interfaces }
    }

    /// What a task on the host's own network leaves there.
    pub fn leave_host(&mut self, task: &str) -> Result<(), VpcError> {
        faults::forget_on_host(&mut self.host, task).doing("stopping a task's faults")
    }

    pub fn mend(&mut self) -> Result<bool, VpcError> {
        let has_host = self.host.mend().doing("writing the host's rules")?;
        let has_bridge = self.containers.mend(&mut self.host).doing("writing the bridge's rules")?;
        let mut has_groups = false;
        for (key, vpc) in &mut self.vpcs {
            let filter = self.filters.entry(key.clone()).or_default();
            has_groups |= filter.mend(vpc.place()).doing("writing a VPC's security groups")?;
        }
        Ok(has_host || has_bridge || has_groups)
    }

    pub fn listen_on_host(&mut self, hears: Hears, port: u16) -> Result<TcpListener, VpcError> {
        self.containers.listen(&mut self.host, hears, port)
    }

    pub fn listen(&mut self, key: &VpcKey, address: SocketAddrV4) -> Result<TcpListener, VpcError> {
        self.inside(key, || {
            let listener = TcpListener::bind(address)?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        })
    }

    pub fn listen_many(
        &mut self,
        key: &VpcKey,
        address: SocketAddrV4,
        count: usize,
    ) -> Result<Vec<TcpListener>, VpcError> {
        self.inside(key, || listen_shared(address, count))
    }

    pub fn bind_udp(&mut self, key: &VpcKey, address: SocketAddrV4) -> Result<UdpSocket, VpcError> {
        self.inside(key, || {
            let socket = UdpSocket::bind(address)?;
            socket.set_nonblocking(true)?;
            Ok(socket)
        })
    }

    fn inside<T>(&self, key: &VpcKey, open: impl FnOnce() -> io::Result<T>) -> Result<T, VpcError> {
        let vpc = self.vpcs.get(key).ok_or_else(|| VpcError::UnknownVpc(key.clone()))?;
        vpc.namespace.enter(open).doing("opening a socket in a VPC")
    }

    pub fn interface_at(&self, vpc: &VpcKey, address: Ipv4Addr) -> Option<(String, String)> {
        let mut specs = self.interfaces.values().map(|one| &one.spec);
        let spec = specs.find(|spec| spec.address == address && spec.vpc == *vpc)?;
        Some((spec.eni.clone(), spec.task.clone()))
    }

    pub fn inventory(&mut self) -> Result<Inventory, VpcError> {
        let mut interfaces = Vec::new();
        for vpc in self.vpcs.values_mut() {
            let links = vpc.rtnl.links().doing("listing links")?;
            let aliases = links.iter().filter_map(|link| link.alias.as_deref());
            let specs = aliases.filter_map(|alias| interface::parse_alias(alias, &vpc.spec.key));
            interfaces.extend(specs.map(|spec| (spec.eni, spec.task)));
        }
        let uplinks = self.host.uplinks().doing("listing links")?;
        Ok(Inventory {
            vpcs: self.vpcs.keys().cloned().collect(),
            interfaces,
            nodes: self.nodes(),
            bridged: self.containers.tasks(),
            ports: self.containers.ports(),
            links: uplinks.into_iter().map(|(link, _)| link.name).collect(),
            namespaces: self.directory.names().doing("listing namespaces")?,
            tables: self.host.tables().doing("listing tables")?,
            changed_forwarding: self.host.changed_forwarding(),
        })
    }

    /// Every step is tried; the first failure is the answer.
    pub fn down(&mut self) -> Result<(), VpcError> {
        self.is_down = true;
        self.spares = None;
        self.flows = None;
        self.dialers.retain(|_| false);
        let detached = self.retain(&BTreeSet::new()).map(drop);
        let links = self.delete_links().doing("deleting interfaces");
        self.vpcs.clear();
        let steps = [
            detached,
            links,
            self.containers.down(&mut self.host).doing("deleting the bridge"),
            self.disconnect_all().doing("deleting uplinks"),
            self.unbind_all().doing("letting namespaces go"),
            self.host.remove_tables().doing("deleting the host's rules"),
            self.host.restore_forwarding().doing("restoring the forwarding setting"),
            self.directory.close().doing("removing the run directory"),
        ];
        // Others may keep files in it.
        let _ = std::fs::remove_dir(&self.run_dir);
        steps.into_iter().collect()
    }

    /// Those whose namespaces a process or the kernel still holds.
    fn delete_links(&mut self) -> io::Result<()> {
        self.vpcs.values_mut().try_for_each(interface::delete_all)
    }

    fn disconnect_all(&mut self) -> io::Result<()> {
        let uplinks = self.host.uplinks()?;
        uplinks.into_iter().try_for_each(|(_, uplink)| self.host.disconnect(uplink))
    }

    fn unbind_all(&self) -> io::Result<()> {
        self.directory.names()?.iter().try_for_each(|name| unbind(&self.directory.file(name)))
    }
}

/// Ids become file names and parts of aliases, so only letters, digits, `-` and `_` may occur.
pub(crate) fn check_name(name: &str) -> Result<(), VpcError> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let is_usable = (1..=64).contains(&name.len()) && name.bytes().all(is_plain);
    if is_usable { Ok(()) } else { Err(VpcError::Name(name.into())) }
}
