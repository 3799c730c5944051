//! One task's interface: a veth pair between its namespace and the VPC's.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use base::Chance;
use core_addresses::{Cidr, Mac, gateway_of};
use rustix::io::Errno;

use crate::faults;
use crate::namespace::unbind;
use crate::net::request::{self, End};
use crate::spare::Spare;
use crate::vpc::Vpc;
use crate::{InterfaceSpec, VpcKey};

/// The link's name in the task.
const NAME: &str = "eth0";
/// The router's hardware address, the same for every task: each is alone with it.
const ROUTER_MAC: Mac = Mac([0x0a, 0xb0, 0x58, 0, 0, 3]);
/// How names of links to tasks begin in a VPC's namespace.
const LINK_PREFIX: char = 'e';
/// Links that are about to go.
const DOOMED: u32 = 1;
const ANYWHERE: Cidr = Cidr::new(Ipv4Addr::UNSPECIFIED, 0);

#[derive(Debug, Clone)]
pub struct Interface {
    pub spec: InterfaceSpec,
    /// The VPC's end.
    pub index: u32,
    /// The task's namespace.
    pub file: PathBuf,
}

/// The name of the VPC's end; its 14 digits leave no room for chance within one VPC.
pub fn link_name(eni: &str) -> String {
    format!("{LINK_PREFIX}{}", Chance::new(0).split(eni).hex(14))
}

fn host_range(address: Ipv4Addr) -> Cidr {
    Cidr::new(address, 32)
}

/// What the alias of the VPC's end says: the whole interface, security groups left out.
fn alias_of(spec: &InterfaceSpec) -> String {
    let reach = if spec.is_public { "public" } else { "private" };
    format!("{} {} {} {} {} {reach}", spec.eni, spec.task, spec.address, spec.subnet, spec.mac)
}

/// The interface that an alias describes.
pub fn parse_alias(alias: &str, vpc: &VpcKey) -> Option<InterfaceSpec> {
    let parts: Vec<&str> = alias.split(' ').collect();
    let [eni, task, address, subnet, mac, reach] = parts[..] else { return None };
    Some(InterfaceSpec {
        eni: eni.into(),
        vpc: vpc.clone(),
        address: address.parse().ok()?,
        mac: mac.parse().ok()?,
        subnet: subnet.parse().ok()?,
        security_groups: Vec::new(),
        is_public: reach == "public",
        task: task.into(),
    })
}

/// Whether two descriptions ask for the same thing of the kernel.
pub fn is_same(one: &InterfaceSpec, other: &InterfaceSpec) -> bool {
    alias_of(one) == alias_of(other) && one.vpc == other.vpc
}

/// Makes it from an unused namespace. On error nothing of it is left.
pub fn create(vpc: &mut Vpc, spare: Spare, spec: InterfaceSpec, file: &Path) -> io::Result<Interface> {
    let outcome = spare.namespace.bind(file).and_then(|()| build(vpc, spare, &spec));
    match outcome {
        Ok(index) => Ok(Interface { spec, index, file: file.to_owned() }),
        Err(error) => {
            // The first error is the one to report; what cannot be undone now is undone at the
            // next start, since the link has no alias.
            let _ = unbind(file);
            if let Ok(index) = vpc.rtnl.index_of(&link_name(&spec.eni)) {
                let _ = vpc.rtnl.run(&[request::delete_link(index)]);
            }
            Err(error)
        }
    }
}

fn build(vpc: &mut Vpc, mut spare: Spare, spec: &InterfaceSpec) -> io::Result<u32> {
    let name = link_name(&spec.eni);
    let pair = || {
        let near = End { name: &name, mac: ROUTER_MAC };
        request::veth_pair(&near, &End { name: NAME, mac: spec.mac }, spare.namespace.as_fd())
    };
    match vpc.rtnl.run(&[pair()]) {
        // The kernel has not come to its predecessor yet, which may go at any moment.
        Err(error) if is(&error, Errno::EXIST) => {
            match vpc.rtnl.index_of(&name) {
                Ok(index) => vpc.rtnl.run(&[request::delete_link(index)])?,
                Err(error) if is(&error, Errno::NODEV) => {}
                Err(error) => return Err(error),
            }
            vpc.rtnl.run(&[pair()])?;
        }
        outcome => outcome?,
    }
    let (near, far) = (vpc.rtnl.index_of(&name)?, spare.rtnl.index_of(NAME)?);
    let gateway = gateway_of(spec.subnet);
    spare.rtnl.run(&[
        request::link_up(far),
        request::address(far, spec.address, spec.subnet.prefix()),
        request::neighbor(far, gateway, ROUTER_MAC),
        request::route_to_link(host_range(gateway), far),
        request::route_via(ANYWHERE, gateway, far, None),
    ])?;
    spare.rtnl.await_carrier(NAME)?;
    vpc.rtnl.await_carrier(&name)?;
    if spec.is_public {
        vpc.set_public(spec.address, true)?;
    }
    vpc.rtnl.run(&[
        request::neighbor(near, spec.address, spec.mac),
        request::route_to_link(host_range(spec.address), near),
        request::set_alias(near, &alias_of(spec)),
    ])?;
    Ok(near)
}

fn is(error: &io::Error, errno: Errno) -> bool {
    Errno::from_io_error(error) == Some(errno)
}

/// Deletes every interface's link of a VPC in one go: one by one the kernel waits for each.
pub fn delete_all(vpc: &mut Vpc) -> io::Result<()> {
    let links = vpc.rtnl.links()?.into_iter().filter(|link| is_interface(&link.name));
    let marks: Vec<_> = links.map(|link| request::set_group(link.index, DOOMED)).collect();
    if marks.is_empty() {
        return Ok(());
    }
    vpc.rtnl.run(&marks)?;
    vpc.rtnl.run(&[request::delete_group(DOOMED)])
}

/// Whether a link of a VPC's namespace is a task's.
pub fn is_interface(name: &str) -> bool {
    name.starts_with(LINK_PREFIX)
}

/// Nothing reaches it any more and it reaches nothing; its address is free.
pub fn disconnect(vpc: &mut Vpc, interface: &Interface) -> io::Result<()> {
    let address = interface.spec.address;
    vpc.rtnl.run(&[request::delete_route(host_range(address), interface.index)])?;
    faults::forget(vpc, &interface.spec.eni)?;
    if interface.spec.is_public { vpc.set_public(address, false) } else { Ok(()) }
}
