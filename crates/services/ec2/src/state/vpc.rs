//! VPCs and their subnets.

use base::Tags;
use core_addresses::Cidr;
use serde::{Deserialize, Serialize};
use store::{Entries, Key, Record, Snapshot};

use super::default::Home;
use super::resource::{self, Resource};
use crate::faults::Kind;

/// A VPC with its one range.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vpc {
    #[serde(flatten)]
    pub home: Home,
    pub id: String,
    pub cidr: Cidr,
    /// `vpc-cidr-assoc-…`
    pub cidr_association: String,
    pub is_default: bool,
    pub has_dns_hostnames: bool,
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
}

impl Record for Vpc {
    const KIND: &'static str = "ec2/vpc";

    fn key(&self) -> Key {
        resource::key_of(&self.home, &self.id)
    }
}

impl Resource for Vpc {
    const NAMED: Kind = Kind::Vpc;

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
        vec![home.default_vpc()]
    }
}

/// A part of a VPC's range, in one zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subnet {
    #[serde(flatten)]
    pub home: Home,
    pub id: String,
    pub vpc: String,
    pub cidr: Cidr,
    /// `us-east-1a`.
    pub zone: String,
    /// `use1-az1`.
    pub zone_id: String,
    pub is_default: bool,
    pub maps_public_address: bool,
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
}

const BY_VPC: &str = "by-vpc";

impl Record for Subnet {
    const KIND: &'static str = "ec2/subnet";

    fn key(&self) -> Key {
        resource::key_of(&self.home, &self.id)
    }

    fn index(&self, entries: &mut Entries) {
        entries.add(BY_VPC, &[self.home.account.as_str(), self.home.region.as_str(), &self.vpc]);
    }
}

impl Resource for Subnet {
    const NAMED: Kind = Kind::Subnet;

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
        home.default_subnets().into()
    }
}

/// The subnets of a VPC that a customer made in it: the default ones of a default VPC are left out.
pub fn made_subnets(records: &Snapshot, home: &Home, vpc: &str) -> Vec<std::sync::Arc<Subnet>> {
    records.by::<Subnet>(BY_VPC, &resource::key_of(home, vpc)).collect()
}
