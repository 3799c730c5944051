//! Amazon EC2, as far as tasks and load balancers need it: VPCs with their subnets, routes and
//! gateways, security groups, network interfaces, and the machine itself as an instance.
//!
//! Owns which addresses are in use and who may reach them. Invariants:
//! - Default resources exist without a record: their ids and properties follow from account and
//!   region alone, so every account has them from its first request on.
//! - Two interfaces of one subnet never have the same address.
//! - Nothing that something else stands on is deleted.
//!
//! Deliberately ignores what a host does about an interface (`vpc`), and everything else of EC2:
//! refused by name.

mod api;
mod behaviour;
mod convert;
mod faults;
pub mod instances;
mod security;
mod state;

use service::Service;

pub use faults::refuse;
pub use security::{VpcKey, security, security_of, touched};

/// The service with its operations.
pub fn service() -> Service {
    Service {
        api: &aws_ec2::API,
        operations: api::operations(),
        kinds: state::kinds,
        refuse: faults::refuse,
        observe: None,
    }
}
