//! The default VPC of an account in a region and all that belongs to it, as pure functions.
//!
//! Invariant: ids depend on the kind, the account, the region and the zone, and on nothing else,
//! ever: tasks' records hold them.

use base::{AccountId, Chance, Region, Tags};
use core_addresses::{Cidr, DEFAULT_SUBNETS, DEFAULT_VPC};
use serde::{Deserialize, Serialize};

use super::route_table::{Association, InternetGateway, Route, RouteTable};
use super::security_group::{ANYWHERE, DEFAULT, SecurityGroup};
use super::vpc::{Subnet, Vpc};

/// Where resources are at home.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Home {
    pub account: AccountId,
    pub region: Region,
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

    pub fn default_vpc(&self) -> Vpc {
        Vpc {
            home: self.clone(),
            id: self.vpc(),
            cidr: self.cidr(),
            cidr_association: self.cidr_association(),
            is_default: true,
            has_dns_hostnames: true,
            tags: Tags::new(),
        }
    }

    /// In the order of their zones.
    pub fn default_subnets(&self) -> [Subnet; 3] {
        let mut zones = self.zones().into_iter();
        DEFAULT_SUBNETS.map(|cidr| {
            let (zone, zone_id) = zones.next().expect("there are as many zones as subnets");
            Subnet {
                home: self.clone(),
                id: self.id("subnet", &zone),
                vpc: self.vpc(),
                cidr,
                zone,
                zone_id,
                is_default: true,
                maps_public_address: true,
                tags: Tags::new(),
            }
        })
    }

    pub fn default_security_group(&self) -> SecurityGroup {
        let id = self.security_group();
        SecurityGroup {
            home: self.clone(),
            vpc: self.vpc(),
            name: String::from(DEFAULT),
            description: String::from("default VPC security group"),
            rules: SecurityGroup::beginning(&id, true, |direction| self.id("sgr", direction)),
            id,
            tags: Tags::new(),
        }
    }

    pub fn default_route_table(&self) -> RouteTable {
        RouteTable {
            home: self.clone(),
            id: self.route_table(),
            vpc: self.vpc(),
            routes: vec![Route { destination: ANYWHERE, gateway: self.internet_gateway() }],
            associations: vec![Association { id: self.route_table_association(), subnet: None }],
            client_token: None,
            tags: Tags::new(),
        }
    }

    pub fn default_internet_gateway(&self) -> InternetGateway {
        InternetGateway {
            home: self.clone(),
            id: self.internet_gateway(),
            vpc: Some(self.vpc()),
            tags: Tags::new(),
        }
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
        let ids = [home.vpc(), home.security_group(), home.default_subnets()[0].id.clone()];
        assert_eq!(ids, ["vpc-76cef277c841c83fd", "sg-75dd2cd22bc97a668", "subnet-f36f8ad2323ac5abe"]);
        let other = Home { region: Region::parse("eu-west-1").unwrap(), ..home.clone() };
        assert_ne!(other.vpc(), home.vpc());
    }
}
