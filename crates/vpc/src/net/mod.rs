//! The kernel's network over netlink: links, addresses and routes; packet filter tables.

mod attributes;
pub mod conntrack;
mod nft;
pub mod request;
mod rtnl;
mod socket;

pub use nft::{
    Batch, Chain, Element, Expression, ForeignChain, Hook, Keyed, NamedSet, Nft, Side, Target, Transport, Way,
};
pub use rtnl::{Link, Route, Rtnl};
