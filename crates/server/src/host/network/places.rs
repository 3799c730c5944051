//! What balancers and the instance that the host is need of a VPC: addresses, sockets, names and
//! security groups.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::os::fd::OwnedFd;
use std::sync::{PoisonError, RwLock};

use agent::NetworkError;
use core_routing::Placed;
use vpc::dns::Names;
use vpc::{AddressSpec, VpcError, VpcKey, VpcSpec};

use super::doors::Doorway;
use super::{VpcNetwork, failed};

/// Names that tasks of every VPC resolve, with their addresses: balancers' DNS names.
#[derive(Debug, Default)]
pub struct KnownNames {
    all: RwLock<BTreeMap<String, Vec<Ipv4Addr>>>,
}

impl KnownNames {
    /// `name`: lower case, without a final dot. No addresses: the name is known and leads nowhere.
    pub fn set(&self, name: &str, addresses: Vec<Ipv4Addr>) {
        self.all.write().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), addresses);
    }

    pub fn remove(&self, name: &str) {
        self.all.write().unwrap_or_else(PoisonError::into_inner).remove(name);
    }
}

impl Names for KnownNames {
    fn addresses(&self, _: &VpcKey, name: &str) -> Option<Vec<Ipv4Addr>> {
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        // `p8080.<name>` is the same balancer.
        let behind_port = || Some(name.split_once('.').filter(|(port, _)| is_port(port))?.1);
        all.get(name).or_else(|| all.get(behind_port()?)).cloned()
    }
}

/// Whether a label names a port, `p8080`.
fn is_port(label: &str) -> bool {
    label.strip_prefix('p').is_some_and(|digits| digits.parse::<u16>().is_ok())
}

/// The VPC in which a balancer stands.
pub fn vpc_of(placed: &Placed) -> VpcKey {
    VpcKey { account: placed.account.clone(), region: placed.region.clone(), vpc: placed.vpc.clone() }
}

impl VpcNetwork {
    /// Makes the VPC, with what listens in it, and the balancer's nodes. The same again changes their
    /// groups at most. Nodes that are gone from the table go with [`VpcNetwork::release`].
    ///
    /// # Errors
    /// [`NetworkError::Interface`] where the range is none, or the kernel refuses.
    pub async fn place(&self, placed: &Placed) -> Result<(), NetworkError> {
        let vpc = vpc_of(placed);
        let cidr = super::awsvpc::parsed(&placed.vpc_cidr)?;
        self.open(VpcSpec { key: vpc.clone(), cidr, on_host: placed.on_host }).await?;
        for node in &placed.nodes {
            let spec = AddressSpec {
                vpc: vpc.clone(),
                address: node.address,
                security_groups: placed.security_groups.clone(),
            };
            self.vpcs.hold(spec).await.map_err(failed)?;
        }
        Ok(())
    }

    /// Takes one node away. Close what listens there first.
    ///
    /// # Errors
    /// [`NetworkError::Interface`] where the kernel refuses.
    pub async fn release(&self, vpc: &VpcKey, address: Ipv4Addr) -> Result<(), NetworkError> {
        self.vpcs.release(vpc, address).await.map_err(failed)
    }

    /// Takes every node away that is not in `wanted`: those of balancers that went while nobody was
    /// there to see. To be called once at the start, and answers which.
    ///
    /// # Errors
    /// [`NetworkError::Interface`] where the kernel refuses.
    pub async fn retain_nodes(
        &self,
        wanted: BTreeSet<(VpcKey, Ipv4Addr)>,
    ) -> Result<Vec<(VpcKey, Ipv4Addr)>, NetworkError> {
        self.vpcs.retain_held(wanted).await.map_err(failed)
    }

    /// Puts a VPC's security groups into force, on this host or not. To be told of every VPC at the
    /// start, before tasks start, and of each that changes.
    ///
    /// # Errors
    /// [`NetworkError::Interface`] where the kernel refuses; the earlier groups stay then.
    pub async fn filter(&self, groups: core_security::Vpc) -> Result<(), NetworkError> {
        let key = VpcKey {
            account: groups.account.clone(),
            region: groups.region.clone(),
            vpc: groups.vpc.clone(),
        };
        // AWS: every VPC has a group of its own for as long as it exists.
        if groups.groups.is_empty() && groups.members.is_empty() {
            return self.forget(key).await;
        }
        self.vpcs.filter(key, groups).await.map_err(failed)
    }

    /// Removes what a deleted VPC had here, unless something is still in it.
    async fn forget(&self, key: VpcKey) -> Result<(), NetworkError> {
        let mut open = self.open.lock().await;
        if self.vpcs.forget(&key).await.map_err(failed)? && open.remove(&key) {
            self.doors.close(&Doorway::Vpc(key));
        }
        Ok(())
    }

    /// `count` listening sockets at a node's address, non-blocking, sharing it.
    ///
    /// # Errors
    /// What the kernel says.
    pub async fn listen(
        &self,
        placed: &Placed,
        at: SocketAddrV4,
        count: usize,
    ) -> io::Result<Vec<TcpListener>> {
        self.vpcs.listen_many(&vpc_of(placed), at, count).await.map_err(told)
    }

    /// An unconnected TCP socket in the balancer's VPC, non-blocking and bound to a node's address.
    /// Waits for nobody.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn dial(&self, placed: &Placed, from: Ipv4Addr) -> io::Result<OwnedFd> {
        self.vpcs.dial(&vpc_of(placed), from).map_err(told)
    }

    /// Lets the host stand in a VPC as an instance with this address; the VPC is made if need be.
    ///
    /// # Errors
    /// [`NetworkError::Interface`] where the kernel refuses.
    pub async fn stand(
        &self,
        vpc: VpcSpec,
        address: Ipv4Addr,
        security_groups: &[String],
    ) -> Result<(), NetworkError> {
        let key = vpc.key.clone();
        self.open(vpc).await?;
        let spec = AddressSpec { vpc: key, address, security_groups: security_groups.to_vec() };
        self.vpcs.host_address(spec).await.map_err(failed)
    }

    /// Undoes [`VpcNetwork::stand`], where the VPC is here at all.
    ///
    /// # Errors
    /// [`NetworkError::Interface`] where the kernel refuses.
    pub async fn leave(&self, vpc: &VpcKey) -> Result<(), NetworkError> {
        self.vpcs.no_host_address(vpc).await.map_err(failed)
    }

    /// What tasks resolve; to be filled by whoever knows balancers.
    pub fn names(&self) -> &KnownNames {
        &self.names
    }
}

/// The kernel's own error, where there is one.
pub fn told(error: VpcError) -> io::Error {
    match error {
        VpcError::Kernel { source, .. } => source,
        other => io::Error::other(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_balancers_name_is_known_with_a_port_in_front_too() {
        let names = KnownNames::default();
        let vpc = VpcKey { account: String::new(), region: String::new(), vpc: String::new() };
        let node = Ipv4Addr::new(172, 31, 0, 9);
        names.set("web-1.us-east-1.elb.localhost", vec![node]);
        let check = |name: &str, want: Option<Vec<Ipv4Addr>>| assert_eq!(names.addresses(&vpc, name), want);
        check("web-1.us-east-1.elb.localhost", Some(vec![node]));
        check("p8080.web-1.us-east-1.elb.localhost", Some(vec![node]));
        check("p99999.web-1.us-east-1.elb.localhost", None);
        check("us-east-1.elb.localhost", None);
        names.remove("web-1.us-east-1.elb.localhost");
        check("web-1.us-east-1.elb.localhost", None);
    }
}
