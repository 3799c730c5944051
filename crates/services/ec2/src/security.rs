//! Security groups as whoever filters packets sees them.

use std::collections::BTreeSet;

use base::{AccountId, Region};
use core_security as seen;
use store::{Change, Record, Snapshot};

use crate::state::default::Home;
use crate::state::interface::Interface;
use crate::state::security_group::{Peer, Rule, SecurityGroup};

/// Which VPC.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VpcKey {
    pub account: String,
    pub region: String,
    /// `vpc-…`
    pub vpc: String,
}

/// Every VPC that has an interface or a group with a record. A VPC that is not named has nothing to
/// filter.
pub fn security(records: &Snapshot) -> Vec<seen::Vpc> {
    let interfaces = records.scan::<Interface>(&store::Key::all());
    let groups = records.scan::<SecurityGroup>(&store::Key::all());
    let mut keys: BTreeSet<VpcKey> = interfaces.map(|one| of_interface(&one)).collect();
    keys.extend(groups.map(|group| of_group(&group)));
    keys.iter().map(|key| security_of(records, key)).collect()
}

/// One VPC, with no groups but its own and no members if nothing is kept of it.
pub fn security_of(records: &Snapshot, key: &VpcKey) -> seen::Vpc {
    let mut vpc = seen::Vpc {
        account: key.account.clone(),
        region: key.region.clone(),
        vpc: key.vpc.clone(),
        ..Default::default()
    };
    let (Some(account), Some(region)) = (AccountId::parse(&key.account), Region::parse(&key.region)) else {
        return vpc;
    };
    let home = Home { account, region };
    vpc.groups = SecurityGroup::of_vpc(records, &home, &key.vpc).iter().map(|group| shown(group)).collect();
    vpc.groups.sort_by(|one, other| one.id.cmp(&other.id));
    vpc.members = Interface::of_vpc(records, &home, &key.vpc).map(|interface| member(&interface)).collect();
    vpc.members.sort_by_key(|member| member.address);
    vpc
}

/// The VPCs whose [`security_of`] a change may have moved.
pub fn touched(change: &Change) -> Vec<VpcKey> {
    let mut keys = BTreeSet::new();
    if change.kind == <Interface as Record>::KIND {
        let both = [change.before::<Interface>(), change.after::<Interface>()];
        keys.extend(both.iter().flatten().map(|interface| of_interface(interface)));
    }
    if change.kind == <SecurityGroup as Record>::KIND {
        let both = [change.before::<SecurityGroup>(), change.after::<SecurityGroup>()];
        keys.extend(both.iter().flatten().map(|group| of_group(group)));
    }
    keys.into_iter().collect()
}

fn of_interface(interface: &Interface) -> VpcKey {
    key(&interface.home, interface.vpc_id())
}

fn of_group(group: &SecurityGroup) -> VpcKey {
    key(&group.home, group.vpc.clone())
}

fn key(home: &Home, vpc: String) -> VpcKey {
    VpcKey { account: home.account.to_string(), region: home.region.to_string(), vpc }
}

fn member(interface: &Interface) -> seen::Member {
    seen::Member { address: interface.address, groups: interface.security_groups.clone() }
}

fn shown(group: &SecurityGroup) -> seen::Group {
    let towards = |is_egress: bool| {
        let rules = group.rules.iter().filter(move |rule| rule.is_egress == is_egress);
        rules.map(permission).collect()
    };
    seen::Group { id: group.id.clone(), ingress: towards(false), egress: towards(true) }
}

fn permission(rule: &Rule) -> seen::Rule {
    let peer = match &rule.peer {
        Peer::Range(range) => seen::Peer::Range(*range),
        Peer::Group(group) => seen::Peer::Group(group.clone()),
    };
    seen::Rule { traffic: rule.traffic, peer }
}
