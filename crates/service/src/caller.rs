//! Who asks.

use std::net::Ipv4Addr;

use base::{AccountId, Region};

/// Who sends a request, for which account and region. Made by the gateway from the request's
/// signature, or by a part of the platform that acts for a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    pub account: AccountId,
    pub region: Region,
    pub principal: Principal,
    pub origin: Origin,
    /// Under which name the port was reached (`localhost:4566`), where a request says so: what an
    /// answer may lead back to.
    pub host: Option<String>,
    /// Answered as `x-amzn-RequestId`; the log carries it.
    pub request_id: String,
}

/// In whose name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// The account itself: every caller in open mode.
    Root,
    /// A role's session.
    Role { arn: String, session: String },
    /// A part of the platform: `ecs.amazonaws.com`.
    Service(&'static str),
}

/// From where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The operator's side of the one port.
    Operator,
    /// Inside a VPC: known by its interface.
    Task { vpc: String, address: Ipv4Addr },
    /// Inside this process.
    Platform,
}

impl Caller {
    /// A part of the platform acting in `account` and `region` by itself.
    pub fn platform(service: &'static str, account: AccountId, region: Region) -> Self {
        Caller {
            account,
            region,
            principal: Principal::Service(service),
            origin: Origin::Platform,
            host: None,
            request_id: String::from("platform"),
        }
    }

    /// The same caller in the name of `role`.
    #[must_use]
    pub fn with_role(mut self, role: &str, session: &str) -> Self {
        self.principal = Principal::Role { arn: role.to_owned(), session: session.to_owned() };
        self
    }
}
