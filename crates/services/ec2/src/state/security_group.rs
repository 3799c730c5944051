//! Security groups with their rules.

use std::sync::Arc;

use base::Tags;
use core_addresses::Cidr;
use core_security::Traffic;
use serde::{Deserialize, Serialize};
use store::{Entries, Key, Record, Snapshot};

use super::default::Home;
use super::resource::{self, Resource};
use crate::faults::Kind;

/// The name of every VPC's own group.
pub const DEFAULT: &str = "default";

/// A group. Its rules are kept with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SecurityGroup {
    #[serde(flatten)]
    pub home: Home,
    pub id: String,
    pub vpc: String,
    pub name: String,
    pub description: String,
    pub rules: Vec<Rule>,
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
}

/// One permission to one peer.
/// Invariant: within a group no two rules permit the same traffic to the same peer in one direction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// `sgr-…`
    pub id: String,
    pub is_egress: bool,
    pub traffic: Traffic,
    pub peer: Peer,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
}

/// Who is at the other end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Peer {
    Range(Cidr),
    /// Members of a group of the same VPC, by its id.
    Group(String),
}

impl Rule {
    /// Whether the two permit the same.
    pub fn is_same(&self, other: &Rule) -> bool {
        self.is_egress == other.is_egress && self.traffic == other.traffic && self.peer == other.peer
    }
}

const BY_VPC: &str = "by-vpc";
/// By the groups that its rules name.
const BY_PEER: &str = "by-peer";

impl Record for SecurityGroup {
    const KIND: &'static str = "ec2/security-group";

    fn key(&self) -> Key {
        resource::key_of(&self.home, &self.id)
    }

    fn index(&self, entries: &mut Entries) {
        let (account, region) = (self.home.account.as_str(), self.home.region.as_str());
        entries.add(BY_VPC, &[account, region, &self.vpc]);
        let mut peers: Vec<&str> = self.rules.iter().filter_map(|rule| rule.peer.group()).collect();
        peers.sort_unstable();
        peers.dedup();
        for peer in peers {
            entries.add(BY_PEER, &[account, region, peer]);
        }
    }
}

impl Peer {
    pub fn group(&self) -> Option<&str> {
        match self {
            Peer::Group(group) => Some(group),
            Peer::Range(_) => None,
        }
    }
}

impl Resource for SecurityGroup {
    const NAMED: Kind = Kind::SecurityGroup;

    fn id(&self) -> &str {
        &self.id
    }

    fn tags(&self) -> &Tags {
        &self.tags
    }

    fn tags_mut(&mut self) -> &mut Tags {
        &mut self.tags
    }

    fn defaults(home: &Home) -> Vec<Self> {
        vec![home.default_security_group()]
    }
}

impl SecurityGroup {
    /// Of a VPC, its own one included.
    pub fn of_vpc(records: &Snapshot, home: &Home, vpc: &str) -> Vec<Arc<SecurityGroup>> {
        let mut all: Vec<_> = records.by::<SecurityGroup>(BY_VPC, &resource::key_of(home, vpc)).collect();
        let default = home.default_security_group();
        if default.vpc == vpc && !records.contains::<SecurityGroup>(&default.key()) {
            all.push(Arc::new(default));
        }
        all
    }

    /// Those whose rules name `group`, itself left out.
    pub fn naming(records: &Snapshot, home: &Home, group: &str) -> Vec<Arc<SecurityGroup>> {
        let naming = records.by::<SecurityGroup>(BY_PEER, &resource::key_of(home, group));
        naming.filter(|other| other.id != group).collect()
    }

    /// A VPC's own group: it cannot be deleted.
    pub fn is_default(&self) -> bool {
        self.name == DEFAULT
    }

    /// AWS: a VPC's own group lets in its own members and lets out everything; any other begins
    /// with the latter alone.
    pub fn beginning(id: &str, is_default: bool, mut rule_id: impl FnMut(&str) -> String) -> Vec<Rule> {
        let everything = |id: String, is_egress: bool, peer: Peer| Rule {
            id,
            is_egress,
            traffic: Traffic::All,
            peer,
            description: None,
            tags: Tags::new(),
        };
        let mut rules = vec![everything(rule_id("egress"), true, Peer::Range(ANYWHERE))];
        if is_default {
            rules.push(everything(rule_id("ingress"), false, Peer::Group(id.to_owned())));
        }
        rules
    }
}

pub const ANYWHERE: Cidr = Cidr::new(std::net::Ipv4Addr::UNSPECIFIED, 0);
