//! One container's interface on the bridge: a veth pair between its namespace and the host's.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::path::PathBuf;

use base::Chance;
use core_addresses::{Cidr, Mac, mac_of};
use rustix::io::Errno;

use crate::bridge::Bridge;
use crate::host::Host;
use crate::namespace::{Directory, is_bound, unbind, without_ipv6};
use crate::net::request::{self, End};
use crate::net::{Link, Rtnl};
use crate::spare::Spare;

/// The link's name in the container.
const NAME: &str = "eth0";
/// How files of containers' namespaces begin; task ids have no `@`.
const FILE_PREFIX: &str = "c@";
/// The network, the host and what comes before them is not given out.
const FIRST: u64 = 2;
const ANYWHERE: Cidr = Cidr::new(Ipv4Addr::UNSPECIFIED, 0);

/// A container on the bridge.
#[derive(Debug, Clone)]
pub struct Container {
    pub task: String,
    /// Stands for the container's name, which may be too long for a file and an alias.
    pub digest: String,
    pub address: Ipv4Addr,
    /// The host's end.
    pub index: u32,
    /// Its namespace.
    pub file: PathBuf,
}

pub fn digest_of(container: &str) -> String {
    Chance::new(0).split(container).hex(12)
}

pub fn file_name(task: &str, digest: &str) -> String {
    format!("{FILE_PREFIX}{task}@{digest}")
}

/// How names of the host's ends begin.
fn link_prefix(host: &Host) -> String {
    format!("bx{}c", host.hash)
}

/// The host's ends of containers' pairs, whole or not.
pub fn links(host: &mut Host) -> io::Result<Vec<Link>> {
    let prefix = link_prefix(host);
    Ok(host.rtnl.links()?.into_iter().filter(|link| link.name.starts_with(&prefix)).collect())
}

/// The container that a link's alias describes, if its namespace is still there.
pub fn read(link: &Link, directory: &Directory) -> Option<Container> {
    let parts: Vec<&str> = link.alias.as_deref()?.split(' ').collect();
    let [task, digest, address] = parts[..] else { return None };
    let file = directory.file(&file_name(task, digest));
    is_bound(&file).then_some(())?;
    Some(Container {
        task: task.into(),
        digest: digest.into(),
        address: address.parse().ok()?,
        index: link.index,
        file,
    })
}

/// The next address after the `after`th that nobody has; from the front again at the end.
pub fn free_address(subnet: Cidr, after: u64, is_used: impl Fn(Ipv4Addr) -> bool) -> Option<(u64, Ipv4Addr)> {
    let count = subnet.size() - FIRST - 1;
    let numbers = (0..count).map(|step| FIRST + (after.saturating_sub(FIRST - 1) + step) % count);
    numbers.filter_map(|number| Some((number, subnet.nth(number)?))).find(|(_, address)| !is_used(*address))
}

/// The number of an address in the bridge's range.
pub fn number_of(subnet: Cidr, address: Ipv4Addr) -> u64 {
    u64::from(address.to_bits().wrapping_sub(subnet.base().to_bits()))
}

/// Connects an unused namespace with the bridge. A restart before [`complete`] removes it.
pub fn connect(
    host: &mut Host,
    bridge: &Bridge,
    mut spare: Spare,
    mut container: Container,
) -> io::Result<Container> {
    spare.namespace.bind(&container.file)?;
    let name = format!("{}{}", link_prefix(host), number_of(bridge.subnet, container.address));
    match build(host, bridge, &mut spare, &name, container.address) {
        Ok(index) => {
            container.index = index;
            Ok(container)
        }
        Err(error) => {
            let _ = unbind(&container.file);
            if let Ok(index) = host.rtnl.index_of(&name) {
                let _ = host.rtnl.run(&[request::delete_link(index)]);
            }
            Err(error)
        }
    }
}

fn build(
    host: &mut Host,
    bridge: &Bridge,
    spare: &mut Spare,
    name: &str,
    address: Ipv4Addr,
) -> io::Result<u32> {
    let [a, b, c, d] = address.octets();
    // As Docker makes them: an address says the hardware address.
    let mac = Mac([0x02, 0x42, a, b, c, d]);
    let pair = || {
        let near = End { name, mac: mac_of(name) };
        request::veth_pair(&near, &End { name: NAME, mac }, spare.namespace.as_fd())
    };
    match host.rtnl.run(&[pair()]) {
        // The address's last owner; the kernel has not come to it yet.
        Err(error) if Errno::from_io_error(&error) == Some(Errno::EXIST) => {
            delete_named(&mut host.rtnl, name)?;
            host.rtnl.run(&[pair()])?;
        }
        outcome => outcome?,
    }
    without_ipv6(name)?;
    let (near, far) = (host.rtnl.index_of(name)?, spare.rtnl.index_of(NAME)?);
    host.rtnl.run(&[request::set_bridge(near, bridge.index), request::set_hairpin(near)])?;
    spare.rtnl.run(&[
        request::link_up(far),
        request::address(far, address, bridge.subnet.prefix()),
        request::route_to_link(bridge.subnet, far),
        request::route_via(ANYWHERE, bridge.gateway(), far, None),
    ])?;
    spare.rtnl.await_carrier(NAME)?;
    host.rtnl.await_carrier(name)?;
    Ok(near)
}

fn delete_named(rtnl: &mut Rtnl, name: &str) -> io::Result<()> {
    match rtnl.index_of(name) {
        Ok(index) => rtnl.run(&[request::delete_link(index)]),
        Err(error) if Errno::from_io_error(&error) == Some(Errno::NODEV) => Ok(()),
        Err(error) => Err(error),
    }
}

/// The last step of making it: from here on a restart takes it up.
pub fn complete(host: &mut Host, container: &Container) -> io::Result<()> {
    let alias = format!("{} {} {}", container.task, container.digest, container.address);
    host.rtnl.run(&[request::set_alias(container.index, &alias)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_go_out_in_turn() {
        let range = Cidr::new(Ipv4Addr::new(10, 0, 0, 0), 29);
        let check = |after, used: &[u8], want: Option<u8>| {
            let found = free_address(range, after, |a| used.contains(&a.octets()[3]));
            assert_eq!(found.map(|(_, a)| a.octets()[3]), want, "after {after}, used {used:?}");
        };
        check(0, &[], Some(2));
        check(2, &[2], Some(3));
        check(2, &[2, 3], Some(4));
        check(6, &[6], Some(2));
        check(6, &[2, 6], Some(3));
        check(3, &[2, 3, 4, 5, 6], None);
    }
}
