//! Where a request comes in, and whose it may be.

use std::net::IpAddr;

use core_lifecycle::NetworkMode;

use crate::known::Subject;

/// What a listener at 169.254.170.2:80 belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Door {
    /// The VPC `account/region/vpc-id`: every peer is one of its tasks.
    Vpc(String),
    /// The host's bridge: every peer is one of its containers.
    Bridge,
    /// The host's own namespace: tasks of network mode `host`, and whatever else runs there.
    Host,
}

impl Door {
    /// Whether a request from `peer` through this door can be the task's own.
    pub(crate) fn admits(&self, subject: &Subject, peer: IpAddr) -> bool {
        let IpAddr::V4(peer) = peer.to_canonical() else { return false };
        let task = &subject.task;
        match (task.network_mode, self) {
            (NetworkMode::Awsvpc, Door::Vpc(vpc)) => task.interface.as_ref().is_some_and(|interface| {
                let own = format!("{}/{}/{}", task.account, task.region, interface.vpc);
                interface.address == peer && own == *vpc
            }),
            (NetworkMode::Bridge, Door::Bridge) => subject.addresses.values().any(|own| *own == peer),
            (NetworkMode::Host, Door::Host) => true,
            (NetworkMode::Awsvpc, Door::Bridge | Door::Host)
            | (NetworkMode::Bridge, Door::Vpc(_) | Door::Host)
            | (NetworkMode::Host, Door::Vpc(_) | Door::Bridge)
            | (NetworkMode::None, _) => false,
        }
    }
}
