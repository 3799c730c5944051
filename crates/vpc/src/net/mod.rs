//! The kernel's network over netlink: links, addresses and routes; packet filter tables.

mod attributes;
pub mod conntrack;
mod nft;
pub mod request;
mod rtnl;
mod socket;

pub use nft::{Batch, Chain, Expression, ForeignChain, Hook, Nft, Target, Transport};
pub use rtnl::{Link, Route, Rtnl};
