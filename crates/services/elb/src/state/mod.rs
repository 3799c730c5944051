//! What is kept.
//!
//! ```text
//! elb/balancer   ACCOUNT / REGION / NAME
//!     by-alias         127.…
//! elb/listener   ACCOUNT / REGION / NAME / LISTENER
//!     by-certificate   ARN
//! elb/rule       ACCOUNT / REGION / NAME / LISTENER / RULE
//!     by-group         ARN OF A TARGET GROUP
//! elb/group      ACCOUNT / REGION / NAME
//! elb/target     ACCOUNT / REGION / GROUP'S NAME / GROUP'S ID / TARGET / PORT
//!     draining         ACCOUNT / REGION / GROUP'S NAME / GROUP'S ID
//! elb/health     the key of a target: what was seen of it
//! ```
//!
//! A balancer's name is its own within account and region, so listeners and rules lie under it.

mod balancer;
mod group;
pub mod id;
mod listener;
mod rule;
mod target;

use store::Kinds;

pub use balancer::Balancer;
pub use group::{Check, Group};
pub use id::{BalancerId, GroupId, ListenerId, RuleId};
pub use listener::Listener;
pub use rule::{Action, Does, Rule, Weighted};
pub use target::{Health, Target};

pub fn kinds(kinds: Kinds) -> Kinds {
    let kinds = kinds.with::<Balancer>().with::<Listener>().with::<Rule>();
    kinds.with::<Group>().with::<Target>().with::<Health>()
}
