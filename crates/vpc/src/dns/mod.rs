//! The resolver of a VPC: what it knows by itself, what a table gives, and the rest forwarded to
//! the machine's name servers.
//!
//! Owns no cache: the servers that it forwards to have one, and local answers cost nothing.
//! Ignores DNSSEC validation and zone transfers; forwarded answers pass through unread.

mod answer;
mod forward;
mod resolver;

pub use answer::Names;
pub use forward::name_servers;
pub use resolver::{Resolver, Zone};
