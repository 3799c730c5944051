//! Load balancers.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use base::{Tags, Timestamp};
use core_routing::{Node, Scheme};
use serde::{Deserialize, Serialize};
use store::{Entries, Key, Record};

use super::id::BalancerId;

/// By its alias, of every account and region.
const BY_ALIAS: &str = "by-alias";

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Balancer {
    pub at: BalancerId,
    pub scheme: Scheme,
    pub vpc: String,
    pub vpc_cidr: String,
    /// Whether the host reaches the VPC by a plain route.
    pub on_host: bool,
    /// One per subnet, in the order of the zones.
    pub nodes: Vec<Node>,
    pub alias: Ipv4Addr,
    pub security_groups: Vec<String>,
    pub is_active: bool,
    /// What was set, by AWS's keys; the others have their defaults.
    pub attributes: BTreeMap<String, String>,
    pub tags: Tags,
    pub created_at: Timestamp,
}

impl Record for Balancer {
    const KIND: &'static str = "elb/balancer";

    fn key(&self) -> Key {
        self.at.key()
    }

    fn index(&self, entries: &mut Entries) {
        entries.add(BY_ALIAS, &[&self.alias.to_string()]);
    }
}

impl Balancer {
    pub fn of_alias(alias: Ipv4Addr) -> (&'static str, Key) {
        (BY_ALIAS, Key::of(&[&alias.to_string()]))
    }

    /// AWS: an internal balancer's name says so.
    pub fn dns_name(&self) -> String {
        let prefix = match self.scheme {
            Scheme::InternetFacing => "",
            Scheme::Internal => "internal-",
        };
        let number = number_of(&self.at);
        format!("{prefix}{}-{number}.{}.elb.localhost", self.at.name, self.at.region)
    }
}

/// AWS: a name carries a decimal number of its own, not the ARN's id. It follows from the id here.
fn number_of(at: &BalancerId) -> u64 {
    let id = u64::from_str_radix(&at.id, 16).unwrap_or_default();
    1_000_000_000 + (id ^ (id >> 31)) % 1_147_483_647
}
