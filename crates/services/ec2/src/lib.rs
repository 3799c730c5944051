//! Amazon EC2, as far as tasks need it: the default VPC of every account and region, and network
//! interfaces.
//!
//! Owns which addresses are in use. Invariants:
//! - Default resources exist without a record: their ids and properties follow from account and
//!   region alone, so every account has them from its first request on.
//! - Two interfaces of one subnet never have the same address.
//!
//! Deliberately ignores what a host does about an interface (`vpc`), and everything else of EC2:
//! refused by name.

mod api;
mod behaviour;
mod convert;
mod faults;
mod state;

use service::Service;

pub use faults::refuse;

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
