//! The machine that a server runs on as an instance, with an interface in the default VPC.
//!
//! Invariant: at most one instance of an account and region is the machine; it keeps its id and its
//! address from one start to the next.

use std::net::Ipv4Addr;

use base::{AccountId, Fault, Region, Tags};
use core_addresses::Cidr;
use service::{Caller, Platform, Tx};
use store::{Key, Snapshot};

use crate::api::network_interface;
use crate::state::default::Home;
use crate::state::instance::{Instance, InstanceState};
use crate::state::interface::{Interface, InterfaceId, Use};
use crate::state::resource;

/// The machine, as it was registered with a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    pub account: AccountId,
    pub region: Region,
    /// `i-…`: the container instance's `ec2InstanceId`.
    pub instance_id: String,
    /// `x86_64`, `arm64`.
    pub architecture: String,
}

/// Where the machine's address is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub account: String,
    pub region: String,
    pub vpc: String,
    pub vpc_cidr: Cidr,
    /// Whether the host reaches the VPC by a plain route.
    pub on_host: bool,
    pub instance_id: String,
    pub eni: String,
    pub address: Ipv4Addr,
    /// Its interface's hardware address, as text.
    pub mac: String,
    pub subnet: String,
    pub subnet_cidr: Cidr,
    pub security_groups: Vec<String>,
}

/// The machine is `host` from now on: the instance runs, with an interface in the default VPC's
/// first subnet, and whatever else the machine was is stopped. Answers its private address.
///
/// # Errors
/// When that subnet is full, and when the records cannot be written.
pub async fn settle(platform: &Platform, host: Host) -> Result<Ipv4Addr, Fault> {
    let caller = Caller::platform("ec2.amazonaws.com", host.account.clone(), host.region.clone());
    platform.write("SettleInstance", caller, move |tx| enter(tx, &host)).await
}

/// The machine is no instance: what it was is stopped and keeps its id and its address.
///
/// # Errors
/// When the records cannot be written.
pub async fn leave(platform: &Platform) -> Result<(), Fault> {
    let caller =
        Caller::platform("ec2.amazonaws.com", AccountId::default_account(), Region::default_region());
    let work = |tx: &mut Tx<'_>| {
        stop(tx, None);
        Ok(())
    };
    platform.write("LeaveInstance", caller, work).await
}

/// As which instance the machine was last known in an account and region.
pub fn known(records: &Snapshot, account: &AccountId, region: &Region) -> Option<String> {
    let home = Home { account: account.clone(), region: region.clone() };
    let newest = records.scan::<Instance>(&resource::all_of(&home)).max_by_key(|one| one.launched_at);
    newest.map(|instance| instance.id.clone())
}

/// Where the running machine's addresses are: one at most, since it runs as one instance.
pub fn places(records: &Snapshot) -> Vec<Place> {
    in_state(records, |state| state == InstanceState::Running)
}

/// Where the machine stood as the instances that it is no more: nothing answers there.
pub fn left(records: &Snapshot) -> Vec<Place> {
    in_state(records, |state| state != InstanceState::Running)
}

fn in_state(records: &Snapshot, is_meant: impl Fn(InstanceState) -> bool) -> Vec<Place> {
    let all = records.scan::<Instance>(&Key::all()).filter(|instance| is_meant(instance.state));
    all.filter_map(|instance| place(records, &instance)).collect()
}

fn place(records: &Snapshot, instance: &Instance) -> Option<Place> {
    let home = &instance.home;
    let interface = resource::get::<Interface>(records, home, &instance.interface)?;
    let vpc = resource::get::<crate::state::vpc::Vpc>(records, home, &interface.vpc_id())?;
    let subnet = resource::get::<crate::state::vpc::Subnet>(records, home, &interface.subnet)?;
    Some(Place {
        account: home.account.to_string(),
        region: home.region.to_string(),
        vpc: vpc.id.clone(),
        vpc_cidr: vpc.cidr,
        on_host: vpc.is_default
            && home.account == AccountId::default_account()
            && home.region == Region::default_region(),
        instance_id: instance.id.clone(),
        eni: interface.id.0.clone(),
        address: interface.address,
        mac: interface.mac().to_string(),
        subnet: subnet.id.clone(),
        subnet_cidr: subnet.cidr,
        security_groups: interface.security_groups.clone(),
    })
}

fn enter(tx: &mut Tx<'_>, host: &Host) -> Result<Ipv4Addr, Fault> {
    let home = Home::of(tx.caller);
    stop(tx, Some(host));
    let before = tx.get::<Instance>(&resource::key_of(&home, &host.instance_id));
    let kept = before.as_ref().and_then(|known| resource::get::<Interface>(tx, &home, &known.interface));
    let interface = match kept {
        Some(interface) => interface,
        None => {
            let made = attach(tx, &home, &host.instance_id)?;
            tx.put(made.clone());
            made.into()
        }
    };
    let address = interface.address;
    let is_running = before.as_ref().is_some_and(|known| known.state == InstanceState::Running);
    if !is_running {
        let launched_at = tx.now;
        tx.put(Instance {
            home,
            id: host.instance_id.clone(),
            interface: interface.id.0.clone(),
            state: InstanceState::Running,
            architecture: host.architecture.clone(),
            tags: before.map_or_else(Tags::new, |known| known.tags.clone()),
            launched_at,
        });
    }
    Ok(address)
}

fn attach(tx: &mut Tx<'_>, home: &Home, instance: &str) -> Result<Interface, Fault> {
    let [subnet, ..] = home.default_subnets();
    let address = network_interface::choose(tx, &subnet, None)?;
    Ok(Interface {
        id: InterfaceId(format!("eni-{}", tx.chance.hex(17))),
        vpc: None,
        subnet: subnet.id,
        address,
        description: String::new(),
        security_groups: vec![home.security_group()],
        used_by: Use::Instance {
            instance: instance.to_owned(),
            attachment: format!("eni-attach-{}", tx.chance.hex(17)),
        },
        client_token: None,
        tags: Tags::new(),
        created_at: tx.now,
        home: home.clone(),
    })
}

/// Stops whatever the machine runs as but `keep`.
fn stop(tx: &mut Tx<'_>, keep: Option<&Host>) {
    let is_kept = |one: &Instance| {
        keep.is_some_and(|host| {
            one.id == host.instance_id && one.home.account == host.account && one.home.region == host.region
        })
    };
    let at = tx.now;
    for known in tx.scan::<Instance>(&Key::all()) {
        if known.state == InstanceState::Running && !is_kept(&known) {
            tx.put(Instance { state: InstanceState::Stopped { at }, ..(*known).clone() });
        }
    }
}
