//! AWS Identity and Access Management: roles, as far as tasks need them.
//!
//! A role is one record with its trust policy, its inline policies and the ARNs of its managed
//! ones. IAM is global: records are keyed by account alone, whatever the region of the request.
//!
//! Invariant: every document that is kept has the shape of a policy.
//!
//! Deliberately ignores what policies permit: who may assume a role is `core/policy`'s to say, and
//! nothing else is evaluated yet, as the README says. Users, groups, customer-managed policies,
//! instance profiles and permissions boundaries come later.

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
        api: &aws_iam::API,
        operations: api::operations(),
        kinds: state::kinds,
        refuse: faults::refuse,
        observe: None,
    }
}
