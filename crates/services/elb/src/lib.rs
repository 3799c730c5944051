//! Elastic Load Balancing (version 2): application load balancers, their listeners and rules,
//! target groups and targets.
//!
//! Owns what is wanted of every balancer, and what was last seen of every target. What a proxy does
//! about it is `core_routing`'s tables, which [`table`] makes from a snapshot; what it sees comes
//! back by [`take_in`].
//!
//! Invariants:
//! - Every listener has one default rule, of priority 0, and every rule's groups exist.
//! - A target group serves one balancer.
//! - What was seen of an earlier registration of a target says nothing about a later one.
//!
//! Deliberately ignores sockets, certificates' keys, and everything of network, gateway and classic
//! balancers: refused by name.

mod api;
mod behaviour;
mod certificates;
mod controllers;
mod convert;
mod faults;
mod forwards;
mod observe;
mod state;
mod table;

use service::Service;

pub use api::target::published as target_standing;
pub use certificates::users_of_certificate;
pub use controllers::{Draining, Provisioning, Simulated, UnhealthyAt};
pub use faults::refuse;
pub use forwards::{forwarding, has_group};
pub use observe::{is_healthy, known, take_in, touched_by_health, touched_target, users_of_group};
pub use table::{balancers, table, touched};

/// In whose name interfaces are made: the service-linked role's service.
pub const PRINCIPAL: &str = "elasticloadbalancing.amazonaws.com";

/// The service with its operations and record kinds.
pub fn service() -> Service {
    Service {
        api: &aws_elbv2::API,
        operations: api::operations(),
        kinds: state::kinds,
        refuse: faults::refuse,
        observe: None,
    }
}

/// Adds every loop of the service.
pub fn controllers(to: control::Controllers) -> control::Controllers {
    to.with(Provisioning).with(Draining)
}

/// Adds what stands in for proxies where none runs: every target in use counts as healthy until
/// `unhealthy_at` says otherwise.
pub fn simulated(to: control::Controllers, unhealthy_at: UnhealthyAt) -> control::Controllers {
    to.with(Simulated { unhealthy_at })
}
