//! The default VPC of an account in a region and all that belongs to it, as pure functions.
//!
//! Invariant: ids depend on the kind, the account, the region and the zone, and on nothing else,
//! ever: tasks' records hold them.

use base::{AccountId, Chance, Region};
use core_addresses::{Cidr, DEFAULT_SUBNETS, DEFAULT_VPC};

/// Where resources are at home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    pub account: AccountId,
    pub region: Region,
}

/// One of the three default subnets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subnet {
    pub id: String,
    pub cidr: Cidr,
    /// `us-east-1a`.
    pub zone: String,
    /// `use1-az1`.
    pub zone_id: String,
}

impl Home {
    pub fn of(caller: &service::Caller) -> Self {
        Home { account: caller.account.clone(), region: caller.region.clone() }
    }

    /// Prefix, hyphen, 17 hexadecimal digits.
    fn id(&self, prefix: &str, name: &str) -> String {
        let mut chance = Chance::new(0).split(&format!("{prefix}/{}/{}/{name}", self.account, self.region));
        format!("{prefix}-{}", chance.hex(17))
    }

    pub fn vpc(&self) -> String {
        self.id("vpc", "default")
    }

    pub fn cidr(&self) -> Cidr {
        DEFAULT_VPC
    }

    pub fn cidr_association(&self) -> String {
        self.id("vpc-cidr-assoc", "default")
    }

    pub fn dhcp_options(&self) -> String {
        self.id("dopt", "default")
    }

    pub fn security_group(&self) -> String {
        self.id("sg", "default")
    }

    pub fn internet_gateway(&self) -> String {
        self.id("igw", "default")
    }

    pub fn route_table(&self) -> String {
        self.id("rtb", "default")
    }

    pub fn route_table_association(&self) -> String {
        self.id("rtbassoc", "default")
    }

    /// In the order of their zones.
    pub fn subnets(&self) -> [Subnet; 3] {
        let mut zones = self.zones().into_iter();
        DEFAULT_SUBNETS.map(|cidr| {
            let (zone, zone_id) = zones.next().expect("there are as many zones as subnets");
            Subnet { id: self.id("subnet", &zone), cidr, zone, zone_id }
        })
    }

    pub fn subnet(&self, id: &str) -> Option<Subnet> {
        self.subnets().into_iter().find(|subnet| subnet.id == id)
    }

    /// Names and ids of the zones.
    pub fn zones(&self) -> [(String, String); 3] {
        let short = short_name(&self.region);
        let mut number = 0;
        self.region.zones().map(|name| {
            number += 1;
            (name, format!("{short}-az{number}"))
        })
    }
}

/// AWS: zone ids abbreviate the region, `us-east-1` to `use1`, `ap-southeast-2` to `apse2`.
fn short_name(region: &Region) -> String {
    let mut parts = region.as_str().split('-');
    let mut short = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part {
            "northeast" => short.push_str("ne"),
            "northwest" => short.push_str("nw"),
            "southeast" => short.push_str("se"),
            "southwest" => short.push_str("sw"),
            _ if part.bytes().all(|byte| byte.is_ascii_digit()) => short.push_str(part),
            _ => short.extend(part.chars().next()),
        }
    }
    short
}

#[cfg(test)]
mod tests {
    use base::{AccountId, Region};

    use super::{Home, short_name};

    #[test]
    fn zone_ids_abbreviate_the_region() {
        for (region, short) in [
            ("us-east-1", "use1"),
            ("eu-central-1", "euc1"),
            ("ap-southeast-2", "apse2"),
            ("ap-northeast-1", "apne1"),
            ("us-gov-west-1", "usgw1"),
        ] {
            assert_eq!(short_name(&Region::parse(region).unwrap()), short);
        }
    }

    /// These ids are in databases: a change of the rule is a migration.
    #[test]
    fn ids_never_change() {
        let home = Home { account: AccountId::default_account(), region: Region::default_region() };
        let ids = [home.vpc(), home.security_group(), home.subnets()[0].id.clone()];
        assert_eq!(ids, ["vpc-76cef277c841c83fd", "sg-75dd2cd22bc97a668", "subnet-f36f8ad2323ac5abe"]);
        let other = Home { region: Region::parse("eu-west-1").unwrap(), ..home.clone() };
        assert_ne!(other.vpc(), home.vpc());
    }
}
