//! Faults of the network that a task asks for, as whoever owns networks makes them.
//!
//! AWS: "Amazon ECS fault injection endpoints".

use std::time::Duration;

use core_addresses::Cidr;
use core_lifecycle::Assignment;
use runtime::Pending;

/// A fault to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NetworkFault {
    /// Packets to a port vanish.
    BlackholePort {
        port: u16,
        /// `tcp` or `udp`.
        protocol: String,
        traffic: Traffic,
        /// Peers that it does not touch.
        spared: Vec<Cidr>,
    },
    /// What the task sends to `sources` is late.
    Latency { delay: Duration, jitter: Duration, sources: Vec<Cidr>, spared: Vec<Cidr> },
    /// Of what the task sends to `sources`, so many of a hundred packets are lost.
    PacketLoss { percent: u8, sources: Vec<Cidr>, spared: Vec<Cidr> },
}

/// Which fault is meant, to stop it or to ask for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FaultKind {
    BlackholePort { port: u16, protocol: String, traffic: Traffic },
    Latency,
    PacketLoss,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Traffic {
    /// To the port of the task.
    Ingress,
    /// To the port of others.
    Egress,
}

impl NetworkFault {
    pub fn kind(&self) -> FaultKind {
        match self {
            NetworkFault::BlackholePort { port, protocol, traffic, .. } => {
                FaultKind::BlackholePort { port: *port, protocol: protocol.clone(), traffic: *traffic }
            }
            NetworkFault::Latency { .. } => FaultKind::Latency,
            NetworkFault::PacketLoss { .. } => FaultKind::PacketLoss,
        }
    }
}

/// Makes faults in the network namespace of a task (`awsvpc`) or of the host (`host`).
pub trait Faults: Send + Sync {
    /// Starts a fault that does not run.
    fn start<'a>(
        &'a self,
        task: &'a Assignment,
        fault: &'a NetworkFault,
    ) -> Pending<'a, Result<(), FaultError>>;

    /// Stops a fault. One that does not run is stopped.
    fn stop<'a>(&'a self, task: &'a Assignment, fault: &'a FaultKind) -> Pending<'a, Result<(), FaultError>>;

    /// Whether it runs.
    fn is_running<'a>(
        &'a self,
        task: &'a Assignment,
        fault: &'a FaultKind,
    ) -> Pending<'a, Result<bool, FaultError>>;
}

#[derive(Debug, Clone, thiserror::Error)]
pub enum FaultError {
    /// This host cannot make it (its kernel has no netem), whoever asks.
    #[error("{0}")]
    Unsupported(String),
    /// The host failed.
    #[error("{0}")]
    Host(String),
}

/// A host that makes none.
pub struct NoFaults;

impl NoFaults {
    fn refuse<'a, T: Send + 'a>() -> Pending<'a, Result<T, FaultError>> {
        Box::pin(async { Err(FaultError::Unsupported(String::from("This host cannot inject faults."))) })
    }
}

impl Faults for NoFaults {
    fn start<'a>(&'a self, _: &'a Assignment, _: &'a NetworkFault) -> Pending<'a, Result<(), FaultError>> {
        NoFaults::refuse()
    }

    fn stop<'a>(&'a self, _: &'a Assignment, _: &'a FaultKind) -> Pending<'a, Result<(), FaultError>> {
        NoFaults::refuse()
    }

    fn is_running<'a>(
        &'a self,
        _: &'a Assignment,
        _: &'a FaultKind,
    ) -> Pending<'a, Result<bool, FaultError>> {
        NoFaults::refuse()
    }
}
