//! Control plane ↔ a proxy in a process of its own: tables, certificates and sockets down, health up.
//!
//! Invariant: the control plane begins every connection with everything that is wanted, then says
//! [`Down::Synced`]; what the proxy has beyond that is wanted no more. Until the next connection
//! the proxy goes on with what it was told last.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use base::Secret;
use core_routing::{Balancer, Certificate, HealthReport};
use serde::{Deserialize, Serialize};

/// Of the messages below. Ends that differ part again.
pub const PROXY_VERSION: u32 = 3;

/// Where a listening socket is open.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Spot {
    /// `account/region/vpc-id`; `None`: on the host.
    pub vpc: Option<Arc<str>>,
    pub address: Ipv4Addr,
    pub port: u16,
}

/// To a proxy.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Down {
    /// First of all.
    Hello {
        version: u32,
        pid: u32,
    },
    /// The listening sockets of a spot, which come with it.
    Sockets(Spot),
    /// Nobody listens there any more.
    Closed(Spot),
    /// What is known of the targets of the table that follows: for those that the proxy has not checked.
    Known(Vec<HealthReport>),
    /// A balancer's table. Its sockets have come before.
    Table(Box<Balancer>),
    /// A balancer that is gone, by its ARN.
    Gone(Arc<str>),
    Certificate {
        arn: Arc<str>,
        chain: String,
        key: Secret,
    },
    /// A certificate that no listener uses any more, by its ARN.
    Forget(Arc<str>),
    /// What is wanted has been told.
    Synced,
    /// A client's connection, which comes with it, and what was read of it.
    Adopt {
        balancer: Arc<str>,
        port: u16,
        read: Vec<u8>,
    },
    /// Asks for what was counted: one [`Up::Counts`].
    Count,
}

/// From a proxy.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Up {
    /// First of all.
    Hello {
        version: u32,
        pid: u32,
    },
    /// Sockets that it was given before, which come with it: the server holds them again.
    Holding(Spot),
    /// It holds no others, and waits for what is wanted.
    Ready,
    Health(Vec<HealthReport>),
    /// Target groups, by ARN, that hold requests and have some, or had since they were told last.
    Asked(Vec<Arc<str>>),
    Lines(Lines),
    /// Everything that it has counted since it started.
    Counts(Vec<Counted>),
}

/// What was counted of one balancer, target group and zone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Counted {
    /// ARNs.
    pub balancer: Arc<str>,
    /// `None`: what concerns the balancer as a whole.
    pub group: Option<Arc<str>>,
    pub zone: Option<Arc<str>>,
    /// By CloudWatch's names. All are counters but for levels, which go down again: connections that
    /// are open (`ActiveConnectionCount`), and how targets stand (`HealthyHostCount` and its like).
    pub metrics: BTreeMap<String, u64>,
    /// `TargetResponseTime`; `None` where no target has answered.
    pub response_time: Option<Times>,
}

/// Durations in seconds, to one part in 32.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Times {
    pub count: u64,
    pub average: f64,
    pub minimum: f64,
    pub maximum: f64,
    /// From `p50` to `p99.9`.
    pub percentiles: BTreeMap<String, f64>,
}

impl From<Certificate> for Down {
    fn from(one: Certificate) -> Self {
        Down::Certificate { arn: one.arn, chain: one.chain, key: one.key }
    }
}

/// Lines of one balancer's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lines {
    pub account: String,
    pub region: String,
    /// `app/<name>/<16 hexadecimal digits>`.
    pub balancer: Arc<str>,
    /// `access`, `connection` or `health_check`.
    pub kind: String,
    /// `bucket/prefix`, as the balancer's attributes name it.
    pub destination: String,
    /// Each with a line feed at its end.
    pub lines: String,
}
