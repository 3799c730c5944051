//! What is kept, and what follows from account and region alone.
//!
//! ```text
//! ec2/network-interface   ACCOUNT / REGION / eni-…
//!     by-subnet           ACCOUNT / REGION / subnet-… / ADDRESS
//!     by-token            ACCOUNT / REGION / CLIENT TOKEN
//! ```
//!
//! Default VPC, subnets, security group, gateway and routes have no records: see [`default`].

pub mod default;
mod interface;

use store::Kinds;

pub use interface::{Interface, InterfaceId, Use};

pub fn kinds(kinds: Kinds) -> Kinds {
    kinds.with::<Interface>()
}
