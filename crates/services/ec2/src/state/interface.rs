//! Network interfaces.

use std::net::Ipv4Addr;

use base::{AccountId, Region, Tags, Timestamp};
use core_addresses::{Mac, mac_of};
use serde::{Deserialize, Serialize};
use store::{Entries, Key, Record};

use super::default::Home;

/// `eni-` and 17 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InterfaceId(pub String);

/// Who has it.
///
/// ```text
/// Free ── (a customer made it: nothing here attaches it yet)
/// Service ── (made in use by a service, deleted by that service)
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Use {
    Free,
    /// `service` is `ecs.amazonaws.com`.
    Service {
        service: String,
        attachment: String,
    },
}

/// One interface with its one private address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    pub account: AccountId,
    pub region: Region,
    pub id: InterfaceId,
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

impl Record for Interface {
    const KIND: &'static str = "ec2/network-interface";

    fn key(&self) -> Key {
        Interface::at(&self.home(), &self.id.0)
    }

    fn index(&self, entries: &mut Entries) {
        let (account, region) = (self.account.as_str(), self.region.as_str());
        entries.add(BY_SUBNET, &[account, region, &self.subnet, &self.address.to_string()]);
        if let Some(token) = &self.client_token {
            entries.add(BY_TOKEN, &[account, region, token]);
        }
    }
}

impl Interface {
    /// Of all interfaces of an account and region.
    pub fn all(home: &Home) -> Key {
        Key::of(&[home.account.as_str(), home.region.as_str()])
    }

    pub fn at(home: &Home, id: &str) -> Key {
        Interface::all(home).child(id)
    }

    /// Of the interfaces of a subnet in the index of that name.
    pub fn of_subnet(home: &Home, subnet: &str) -> (&'static str, Key) {
        (BY_SUBNET, Interface::all(home).child(subnet))
    }

    /// Of the interface with an address.
    pub fn of_address(home: &Home, subnet: &str, address: Ipv4Addr) -> (&'static str, Key) {
        (BY_SUBNET, Interface::all(home).child(subnet).child(&address.to_string()))
    }

    pub fn of_token(home: &Home, token: &str) -> (&'static str, Key) {
        (BY_TOKEN, Interface::all(home).child(token))
    }

    pub fn home(&self) -> Home {
        Home { account: self.account.clone(), region: self.region.clone() }
    }

    pub fn mac(&self) -> Mac {
        mac_of(&self.id.0)
    }
}
