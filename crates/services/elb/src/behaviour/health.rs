//! How a target stands, in AWS's states, reasons and texts.

use core_routing::{Reason, State};

/// State, reason and text of `TargetHealth`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    pub state: &'static str,
    pub reason: Option<&'static str>,
    pub text: Option<String>,
}

fn standing(state: &'static str, reason: &'static str, text: impl Into<String>) -> Standing {
    Standing { state, reason: Some(reason), text: Some(text.into()) }
}

pub fn not_registered() -> Standing {
    standing("unused", "Target.NotRegistered", "Target is not registered to the target group")
}

pub fn not_in_use() -> Standing {
    let text = "Target group is not configured to receive traffic from the load balancer";
    standing("unused", "Target.NotInUse", text)
}

pub fn zone_not_enabled() -> Standing {
    let text = "Target is in an Availability Zone that is not enabled for the load balancer";
    standing("unused", "Target.NotInUse", text)
}

pub fn address_unusable() -> Standing {
    standing("unused", "Target.IpUnusable", "Target IP address is reserved for use by a load balancer")
}

pub fn draining() -> Standing {
    standing("draining", "Target.DeregistrationInProgress", "Target deregistration is in progress")
}

/// Of a registered target in use; `None`: nothing was seen of it yet.
pub fn seen(seen: Option<(State, Option<&Reason>)>) -> Standing {
    let (state, reason) = match seen {
        None => (State::Initial, Some(&Reason::Registering)),
        Some((State::Healthy, _)) => (State::Healthy, None),
        Some((State::Initial, reason)) => (State::Initial, reason.or(Some(&Reason::FirstChecks))),
        Some((State::Unhealthy, reason)) => (State::Unhealthy, reason.or(Some(&Reason::Failed))),
    };
    Standing {
        state: state.name(),
        reason: reason.map(Reason::code),
        text: reason.map(|reason| reason.description().into_owned()),
    }
}
