//! What is kept, and what follows from account and region alone.
//!
//! ```text
//! ec2/vpc                 ACCOUNT / REGION / vpc-…
//! ec2/subnet              ACCOUNT / REGION / subnet-…
//!     by-vpc              ACCOUNT / REGION / vpc-…
//! ec2/security-group      ACCOUNT / REGION / sg-…
//!     by-vpc              ACCOUNT / REGION / vpc-…
//!     by-peer             ACCOUNT / REGION / sg-… that one of its rules names
//! ec2/route-table         ACCOUNT / REGION / rtb-…
//!     by-vpc              ACCOUNT / REGION / vpc-…
//!     by-token            ACCOUNT / REGION / CLIENT TOKEN
//! ec2/internet-gateway    ACCOUNT / REGION / igw-…
//! ec2/network-interface   ACCOUNT / REGION / eni-…
//!     by-subnet           ACCOUNT / REGION / subnet-… / ADDRESS
//!     by-vpc              ACCOUNT / REGION / vpc-…
//!     by-group            ACCOUNT / REGION / sg-…
//!     by-token            ACCOUNT / REGION / CLIENT TOKEN
//! ec2/instance            ACCOUNT / REGION / i-…
//! ```
//!
//! Default VPC, subnets, security group, gateway and routes have no records (see [`default`]) until
//! a customer changes one: then it is kept whole, under the id that it had.

pub mod default;
pub mod instance;
pub mod interface;
pub mod resource;
pub mod route_table;
pub mod security_group;
pub mod vpc;

use store::Kinds;

use instance::Instance;
use interface::Interface;
use route_table::{InternetGateway, RouteTable};
use security_group::SecurityGroup;
use vpc::{Subnet, Vpc};

pub fn kinds(kinds: Kinds) -> Kinds {
    kinds
        .with::<Vpc>()
        .with::<Subnet>()
        .with::<SecurityGroup>()
        .with::<RouteTable>()
        .with::<InternetGateway>()
        .with::<Interface>()
        .with::<Instance>()
}
