//! Network interfaces.

use std::net::Ipv4Addr;
use std::sync::Arc;

use base::{Tags, Timestamp};
use core_addresses::{Mac, mac_of};
use serde::{Deserialize, Serialize};
use store::{Entries, Key, Record, Snapshot};

use super::default::Home;
use super::resource::{self, Resource};
use crate::faults::Kind;

/// `eni-` and 17 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InterfaceId(pub String);

/// Who has it.
///
/// ```text
/// Free ── (a customer made it: nothing here attaches it yet)
/// Service ── (made in use by a service, deleted by that service)
/// Instance ── (made with an instance, kept as long as it)
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Use {
    Free,
    /// `service` is `ecs.amazonaws.com`.
    Service {
        service: String,
        attachment: String,
    },
    Instance {
        instance: String,
        attachment: String,
    },
}

/// One interface with its one private address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    #[serde(flatten)]
    pub home: Home,
    pub id: InterfaceId,
    /// `None`: the default VPC, as all were before there were others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vpc: Option<String>,
    pub subnet: String,
    pub address: Ipv4Addr,
    pub description: String,
    pub security_groups: Vec<String>,
    pub used_by: Use,
    pub client_token: Option<String>,
    pub tags: Tags,
    pub created_at: Timestamp,
}

const BY_SUBNET: &str = "by-subnet";
const BY_TOKEN: &str = "by-token";
const BY_VPC: &str = "by-vpc";
const BY_GROUP: &str = "by-group";

impl Record for Interface {
    const KIND: &'static str = "ec2/network-interface";

    fn key(&self) -> Key {
        resource::key_of(&self.home, &self.id.0)
    }

    fn index(&self, entries: &mut Entries) {
        let (account, region) = (self.home.account.as_str(), self.home.region.as_str());
        entries.add(BY_SUBNET, &[account, region, &self.subnet, &self.address.to_string()]);
        entries.add(BY_VPC, &[account, region, &self.vpc_id()]);
        for group in &self.security_groups {
            entries.add(BY_GROUP, &[account, region, group]);
        }
        if let Some(token) = &self.client_token {
            entries.add(BY_TOKEN, &[account, region, token]);
        }
    }
}

impl Resource for Interface {
    const NAMED: Kind = Kind::NetworkInterface;

    fn id(&self) -> &str {
        &self.id.0
    }

    fn tags(&self) -> &Tags {
        &self.tags
    }

    fn tags_mut(&mut self) -> &mut Tags {
        &mut self.tags
    }
}

impl Interface {
    pub fn of_vpc(records: &Snapshot, home: &Home, vpc: &str) -> impl Iterator<Item = Arc<Interface>> {
        records.by::<Interface>(BY_VPC, &resource::key_of(home, vpc))
    }

    pub fn of_group(records: &Snapshot, home: &Home, group: &str) -> impl Iterator<Item = Arc<Interface>> {
        records.by::<Interface>(BY_GROUP, &resource::key_of(home, group))
    }

    pub fn count_of_subnet(records: &Snapshot, home: &Home, subnet: &str) -> u64 {
        records.count_by::<Interface>(BY_SUBNET, &resource::key_of(home, subnet)) as u64
    }

    pub fn has_address(records: &Snapshot, home: &Home, subnet: &str, address: Ipv4Addr) -> bool {
        let at = resource::key_of(home, subnet).child(&address.to_string());
        records.count_by::<Interface>(BY_SUBNET, &at) > 0
    }

    pub fn of_token(records: &Snapshot, home: &Home, token: &str) -> Option<Arc<Interface>> {
        records.by::<Interface>(BY_TOKEN, &resource::key_of(home, token)).next()
    }

    pub fn vpc_id(&self) -> String {
        self.vpc.clone().unwrap_or_else(|| self.home.vpc())
    }

    pub fn mac(&self) -> Mac {
        mac_of(&self.id.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Interface;

    /// As it was written while there were default VPCs alone.
    #[test]
    fn older_records_are_of_the_default_vpc() {
        let text = r#"{"account":"000000000000","region":"us-east-1","id":"eni-1","subnet":"subnet-1",
            "address":"172.31.0.9","description":"d","security_groups":["sg-1"],
            "used_by":{"Service":{"service":"ecs.amazonaws.com","attachment":"eni-attach-1"}},
            "client_token":null,"tags":{},"created_at":1767225600000}"#;
        let interface: Interface = serde_json::from_str(text).unwrap();
        assert_eq!(interface.vpc_id(), interface.home.vpc());
    }
}
