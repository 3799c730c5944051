//! The handle that async code holds. The work itself happens in turn on one thread, because
//! entering a namespace is a property of a thread.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use crate::dial::Dialers;
use crate::worker::Worker;
use crate::world::World;
use crate::{
    AddressSpec, Attached, BridgeShown, Bridged, BridgedSpec, Ensured, Fault, FaultKind, FaultPlace, Hears,
    InterfaceSpec, Inventory, VpcError, VpcKey, VpcSpec, VpcsConfig,
};

/// Every VPC on this host. Clones are the same; the thread ends with the last of them, and what it
/// made stays until [`Vpcs::down`].
#[derive(Clone)]
pub struct Vpcs {
    worker: Arc<Worker>,
    dialers: Arc<Dialers>,
}

impl Vpcs {
    /// Takes up what an earlier process left, and removes what it had not finished. "The host" is
    /// the network namespace of the calling thread. Blocks for the length of a few system calls
    /// per thing found.
    ///
    /// # Errors
    /// [`VpcError::Kernel`], with EPERM where the process lacks CAP_NET_ADMIN and CAP_SYS_ADMIN.
    pub fn open(config: VpcsConfig) -> Result<Self, VpcError> {
        let dialers = Arc::new(Dialers::default());
        let shared = Arc::clone(&dialers);
        let worker = Worker::start(move || World::open(&config, shared))?;
        Ok(Vpcs { worker: Arc::new(worker), dialers })
    }

    /// Makes the VPC's namespace unless it exists. Call again after a restart: only the same
    /// properties are accepted.
    ///
    /// # Errors
    /// [`VpcError::Conflict`] when it exists with another range; [`VpcError::Kernel`].
    pub async fn ensure(&self, spec: VpcSpec) -> Result<Ensured, VpcError> {
        self.worker.run(move |world| world.ensure(spec)).await
    }

    /// Makes the task's namespace with its interface. The same interface again answers the same;
    /// another one that still has the address is detached, since addresses have one owner.
    ///
    /// # Errors
    /// [`VpcError::UnknownVpc`] before [`Vpcs::ensure`]; [`VpcError::Conflict`] when the interface exists with other properties, or the task has
    /// another interface; [`VpcError::Kernel`].
    pub async fn attach(&self, spec: InterfaceSpec) -> Result<Attached, VpcError> {
        self.worker.run(move |world| world.attach(spec)).await
    }

    /// Takes an interface away: at once unreachable, its address free. The kernel removes the link
    /// afterwards. Unknown interfaces are gone already.
    ///
    /// # Errors
    /// [`VpcError::Kernel`].
    pub async fn detach(&self, eni: &str) -> Result<(), VpcError> {
        let eni = eni.to_owned();
        self.worker.run(move |world| world.detach(&eni)).await
    }

    /// Detaches every interface that is not in `wanted`, and answers which.
    ///
    /// # Errors
    /// [`VpcError::Kernel`] of the first that failed; the others were tried all the same.
    pub async fn retain(&self, wanted: BTreeSet<String>) -> Result<Vec<String>, VpcError> {
        self.worker.run(move |world| world.retain(&wanted)).await
    }

    /// Puts these security groups and members into force in their VPC, in one step, instead of those
    /// that were told before. Connections that exist go on, whatever the groups say now. A VPC that is
    /// not on this host yet has them from its first packet on.
    ///
    /// # Errors
    /// [`VpcError::Name`] where a group's id is none; [`VpcError::Kernel`]; the earlier ones stay then.
    pub async fn filter(&self, key: VpcKey, groups: core_security::Vpc) -> Result<(), VpcError> {
        self.worker.run(move |world| world.filter(key, groups)).await
    }

    /// Removes a VPC's namespace, with its groups, unless something is in it: a task's interface, a
    /// balancer's address, the host's. Answers whether it is gone. Sockets in it hear nothing any more;
    /// close them.
    ///
    /// # Errors
    /// [`VpcError::Kernel`].
    pub async fn forget(&self, vpc: &VpcKey) -> Result<bool, VpcError> {
        let vpc = vpc.clone();
        self.worker.run(move |world| world.forget(&vpc)).await
    }

    /// Makes a balancer's address in its VPC: tasks reach it as they reach each other, listeners can
    /// be opened at it and connections begin from it. The same again changes its groups at most; an
    /// interface that still has the address is detached.
    ///
    /// # Errors
    /// [`VpcError::UnknownVpc`] before [`Vpcs::ensure`]; [`VpcError::Conflict`] with an address of the
    /// platform's own; [`VpcError::Kernel`].
    pub async fn hold(&self, spec: AddressSpec) -> Result<(), VpcError> {
        self.worker.run(move |world| world.hold(spec)).await
    }

    /// Takes a balancer's address away. One that is not held is away.
    ///
    /// # Errors
    /// [`VpcError::Kernel`].
    pub async fn release(&self, vpc: &VpcKey, address: Ipv4Addr) -> Result<(), VpcError> {
        let vpc = vpc.clone();
        self.worker.run(move |world| world.release(&vpc, address)).await
    }

    /// Releases every balancer's address that is not in `wanted`, and answers which.
    ///
    /// # Errors
    /// [`VpcError::Kernel`] of the first that failed; the others were tried all the same.
    pub async fn retain_held(
        &self,
        wanted: BTreeSet<(VpcKey, Ipv4Addr)>,
    ) -> Result<Vec<(VpcKey, Ipv4Addr)>, VpcError> {
        self.worker.run(move |world| world.retain_held(&wanted)).await
    }

    /// Lets the host stand in a VPC, at one address: what listens on the host, and its published ports,
    /// are reached there by tasks, balancers and the host itself. Instead of an earlier address.
    ///
    /// # Errors
    /// As [`Vpcs::hold`].
    pub async fn host_address(&self, spec: AddressSpec) -> Result<(), VpcError> {
        self.worker.run(move |world| world.host_address(spec)).await
    }

    /// Undoes [`Vpcs::host_address`].
    ///
    /// # Errors
    /// [`VpcError::Kernel`].
    pub async fn no_host_address(&self, vpc: &VpcKey) -> Result<(), VpcError> {
        let vpc = vpc.clone();
        self.worker.run(move |world| world.no_host_address(&vpc)).await
    }

    /// `count` listening sockets inside the VPC that share an address by `SO_REUSEPORT`, non-blocking,
    /// with room for 4096 connections that wait.
    ///
    /// # Errors
    /// As [`Vpcs::listen`].
    pub async fn listen_many(
        &self,
        vpc: &VpcKey,
        address: SocketAddrV4,
        count: usize,
    ) -> Result<Vec<TcpListener>, VpcError> {
        let vpc = vpc.clone();
        self.worker.run(move |world| world.listen_many(&vpc, address, count)).await
    }

    /// An unconnected TCP socket inside the VPC, non-blocking and bound to a held address; its port is
    /// chosen when it connects. Made ahead: a call costs two system calls and waits for nobody.
    ///
    /// # Errors
    /// [`VpcError::UnknownVpc`]; [`VpcError::Kernel`], with EADDRNOTAVAIL where `from` is not held.
    pub fn dial(&self, vpc: &VpcKey, from: Ipv4Addr) -> Result<OwnedFd, VpcError> {
        self.dialers.dial(vpc, from)
    }

    /// Makes the host's bridge unless it exists, with [`crate::PLATFORM`] on it.
    ///
    /// # Errors
    /// [`VpcError::NoAddresses`] when every range for it is the machine's own;
    /// [`VpcError::Kernel`].
    pub async fn ensure_bridge(&self) -> Result<BridgeShown, VpcError> {
        self.worker.run(World::ensure_bridge).await
    }

    /// Makes a container's namespace with an address on the bridge, and leads ports of the host to
    /// it. The same container again answers the same, dynamic ports included.
    ///
    /// # Errors
    /// [`VpcError::PortTaken`], [`VpcError::NoPorts`] and [`VpcError::NoAddresses`], after which
    /// nothing of it is left; [`VpcError::Kernel`].
    pub async fn attach_bridged(&self, spec: BridgedSpec) -> Result<Bridged, VpcError> {
        self.worker.run(move |world| world.attach_bridged(&spec)).await
    }

    /// Takes every container of a task off the bridge and gives its ports back.
    ///
    /// # Errors
    /// [`VpcError::Kernel`] of the first that failed; the others were tried all the same.
    pub async fn detach_bridged(&self, task: &str) -> Result<(), VpcError> {
        let task = task.to_owned();
        self.worker.run(move |world| world.retain_bridged(|other| other != task)).await
    }

    /// Takes every container off the bridge whose task is not in `wanted`.
    ///
    /// # Errors
    /// As [`Vpcs::detach_bridged`].
    pub async fn retain_bridged(&self, wanted: BTreeSet<String>) -> Result<(), VpcError> {
        self.worker.run(move |world| world.retain_bridged(|task| wanted.contains(task))).await
    }

    /// Removes what is left of tasks that are not `known`, whatever their network mode.
    ///
    /// # Errors
    /// As [`Vpcs::detach_bridged`].
    pub async fn retain_tasks(&self, known: BTreeSet<String>) -> Result<(), VpcError> {
        self.worker.run(move |world| world.retain_tasks(&known)).await
    }

    /// A listening socket for `port` of [`crate::PLATFORM`] on the host, non-blocking. The last one
    /// opened for a port gets its connections. The socket itself has another port, because
    /// programs of the machine may have this one.
    ///
    /// # Errors
    /// [`VpcError::NoAddresses`] before [`Vpcs::ensure_bridge`]; [`VpcError::Kernel`].
    pub async fn listen_on_host(&self, hears: Hears, port: u16) -> Result<TcpListener, VpcError> {
        self.worker.run(move |world| world.listen_on_host(hears, port)).await
    }

    /// Starts a fault. One of the same kind that runs there is replaced.
    ///
    /// # Errors
    /// [`VpcError::UnknownInterface`]; [`VpcError::Unsupported`] for latency where the kernel or
    /// the place has none; [`VpcError::Kernel`].
    pub async fn start_fault(&self, place: FaultPlace, fault: Fault) -> Result<(), VpcError> {
        self.worker.run(move |world| world.faults().start(&place, &fault)).await
    }

    /// Stops a fault. One that does not run is stopped.
    ///
    /// # Errors
    /// [`VpcError::UnknownInterface`]; [`VpcError::Kernel`].
    pub async fn stop_fault(&self, place: FaultPlace, kind: FaultKind) -> Result<(), VpcError> {
        self.worker.run(move |world| world.faults().stop(&place, kind)).await
    }

    /// Whether a fault runs, as the kernel has it.
    ///
    /// # Errors
    /// As [`Vpcs::stop_fault`].
    pub async fn is_fault_running(&self, place: FaultPlace, kind: FaultKind) -> Result<bool, VpcError> {
        self.worker.run(move |world| world.faults().is_running(&place, kind)).await
    }

    /// Stops every fault of a task on the host's own network. Those of interfaces go with them.
    ///
    /// # Errors
    /// [`VpcError::Kernel`].
    pub async fn leave_host(&self, task: &str) -> Result<(), VpcError> {
        let task = task.to_owned();
        self.worker.run(move |world| world.leave_host(&task)).await
    }

    /// A listening socket inside the VPC, non-blocking. It belongs there whoever accepts on it.
    ///
    /// # Errors
    /// [`VpcError::UnknownVpc`]; [`VpcError::Kernel`].
    pub async fn listen(&self, vpc: &VpcKey, address: SocketAddrV4) -> Result<TcpListener, VpcError> {
        let vpc = vpc.clone();
        self.worker.run(move |world| world.listen(&vpc, address)).await
    }

    /// A UDP socket inside the VPC, non-blocking.
    ///
    /// # Errors
    /// As [`Vpcs::listen`].
    pub async fn bind_udp(&self, vpc: &VpcKey, address: SocketAddrV4) -> Result<UdpSocket, VpcError> {
        let vpc = vpc.clone();
        self.worker.run(move |world| world.bind_udp(&vpc, address)).await
    }

    /// Writes the host's rules again where somebody has deleted them, as a flush of all rules does;
    /// published ports and ways out come back. Answers whether there was anything to mend.
    ///
    /// # Errors
    /// [`VpcError::Kernel`].
    pub async fn mend(&self) -> Result<bool, VpcError> {
        self.worker.run(World::mend).await
    }

    /// What exists, read from the kernel.
    ///
    /// # Errors
    /// [`VpcError::Kernel`].
    pub async fn inventory(&self) -> Result<Inventory, VpcError> {
        self.worker.run(World::inventory).await
    }

    /// The task and VPC of an interface, for callers who know only the address they saw:
    /// `(eni, task id)`.
    ///
    /// # Errors
    /// [`VpcError::Closed`].
    pub async fn interface_at(
        &self,
        vpc: &VpcKey,
        address: std::net::Ipv4Addr,
    ) -> Result<Option<(String, String)>, VpcError> {
        let vpc = vpc.clone();
        self.worker.run(move |world| Ok(world.interface_at(&vpc, address))).await
    }

    /// Removes everything: interfaces, namespaces, links, routes, rules, the machine's setting.
    /// Close sockets inside VPCs first; they would keep a namespace (but no link) alive.
    /// Every later call answers [`VpcError::Closed`].
    ///
    /// # Errors
    /// [`VpcError::Kernel`] of the first step that failed; the others were tried all the same.
    pub async fn down(&self) -> Result<(), VpcError> {
        self.worker.run(World::down).await
    }
}
