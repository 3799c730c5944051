//! Route tables and internet gateways: which subnets have a way out.

use std::sync::Arc;

use base::Tags;
use core_addresses::Cidr;
use serde::{Deserialize, Serialize};
use store::{Entries, Key, Record, Snapshot};

use super::default::Home;
use super::resource::{self, Resource};
use crate::faults::Kind;

/// A table of a VPC. The route within the VPC is not kept: every table has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteTable {
    #[serde(flatten)]
    pub home: Home,
    pub id: String,
    pub vpc: String,
    pub routes: Vec<Route>,
    pub associations: Vec<Association>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_token: Option<String>,
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
}

/// Invariant: a table has one route for a destination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    pub destination: Cidr,
    /// An internet gateway's id.
    pub gateway: String,
}

/// Invariant: a subnet has at most one, and a VPC exactly one without a subnet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Association {
    /// `rtbassoc-…`
    pub id: String,
    /// `None`: the table is the main one, for every subnet without a table of its own.
    pub subnet: Option<String>,
}

const BY_VPC: &str = "by-vpc";
const BY_TOKEN: &str = "by-token";

impl Record for RouteTable {
    const KIND: &'static str = "ec2/route-table";

    fn key(&self) -> Key {
        resource::key_of(&self.home, &self.id)
    }

    fn index(&self, entries: &mut Entries) {
        let (account, region) = (self.home.account.as_str(), self.home.region.as_str());
        entries.add(BY_VPC, &[account, region, &self.vpc]);
        if let Some(token) = &self.client_token {
            entries.add(BY_TOKEN, &[account, region, token]);
        }
    }
}

impl Resource for RouteTable {
    const NAMED: Kind = Kind::RouteTable;

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
        vec![home.default_route_table()]
    }
}

impl RouteTable {
    /// Of a VPC, its default one included.
    pub fn of_vpc(records: &Snapshot, home: &Home, vpc: &str) -> Vec<Arc<RouteTable>> {
        let mut all: Vec<_> = records.by::<RouteTable>(BY_VPC, &resource::key_of(home, vpc)).collect();
        let default = home.default_route_table();
        if default.vpc == vpc && !records.contains::<RouteTable>(&default.key()) {
            all.push(Arc::new(default));
        }
        all
    }

    pub fn of_token(records: &Snapshot, home: &Home, token: &str) -> Option<Arc<RouteTable>> {
        records.by::<RouteTable>(BY_TOKEN, &resource::key_of(home, token)).next()
    }

    pub fn is_main(&self) -> bool {
        self.associations.iter().any(|one| one.subnet.is_none())
    }
}

/// A gateway of an account, attached to one VPC or none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InternetGateway {
    #[serde(flatten)]
    pub home: Home,
    pub id: String,
    pub vpc: Option<String>,
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
}

impl Record for InternetGateway {
    const KIND: &'static str = "ec2/internet-gateway";

    fn key(&self) -> Key {
        resource::key_of(&self.home, &self.id)
    }
}

impl Resource for InternetGateway {
    const NAMED: Kind = Kind::InternetGateway;

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
        vec![home.default_internet_gateway()]
    }
}
