//! Faults that tasks ask their endpoint for.

use core_lifecycle::{Assignment, NetworkMode};
use endpoint::{FaultError, Faults, NetworkFault, Traffic};
use runtime::Pending;
use vpc::{BlackHole, Direction, Fault, FaultKind, FaultPlace, Transport, VpcError};

use super::VpcNetwork;

/// AWS: faults are for tasks in mode `awsvpc`, where they are the task's, and `host`, where they are
/// the instance's.
fn place(task: &Assignment) -> Result<FaultPlace, FaultError> {
    match (task.network_mode, &task.interface) {
        (NetworkMode::Awsvpc, Some(interface)) => Ok(FaultPlace::Interface(interface.eni.clone())),
        (NetworkMode::Host, _) => Ok(FaultPlace::Host { task: task.task_id.clone() }),
        (NetworkMode::Awsvpc | NetworkMode::Bridge | NetworkMode::None, _) => {
            Err(FaultError::Unsupported("faults need network mode awsvpc or host".to_owned()))
        }
    }
}

fn hole(port: u16, protocol: &str, traffic: Traffic) -> BlackHole {
    BlackHole {
        transport: if protocol == "udp" { Transport::Udp } else { Transport::Tcp },
        port,
        direction: match traffic {
            Traffic::Ingress => Direction::Ingress,
            Traffic::Egress => Direction::Egress,
        },
    }
}

fn fault(asked: &NetworkFault) -> Fault {
    match asked {
        NetworkFault::BlackholePort { port, protocol, traffic, spared } => {
            Fault::BlackHole { hole: hole(*port, protocol, *traffic), spared: spared.clone() }
        }
        NetworkFault::Latency { delay, jitter, sources, spared } => Fault::Latency {
            delay: *delay,
            jitter: *jitter,
            sources: sources.clone(),
            spared: spared.clone(),
        },
        NetworkFault::PacketLoss { percent, sources, spared } => {
            Fault::Loss { percent: *percent, sources: sources.clone(), spared: spared.clone() }
        }
    }
}

fn kind(asked: &endpoint::FaultKind) -> FaultKind {
    match asked {
        endpoint::FaultKind::BlackholePort { port, protocol, traffic } => {
            FaultKind::BlackHole(hole(*port, protocol, *traffic))
        }
        endpoint::FaultKind::Latency => FaultKind::Latency,
        endpoint::FaultKind::PacketLoss => FaultKind::Loss,
    }
}

fn failed(error: VpcError) -> FaultError {
    match error {
        VpcError::Unsupported(_) => FaultError::Unsupported(error.to_string()),
        _ => FaultError::Host(format!("{:#}", anyhow::Error::new(error))),
    }
}

impl Faults for VpcNetwork {
    fn start<'a>(
        &'a self,
        task: &'a Assignment,
        asked: &'a NetworkFault,
    ) -> Pending<'a, Result<(), FaultError>> {
        Box::pin(async move { self.vpcs.start_fault(place(task)?, fault(asked)).await.map_err(failed) })
    }

    fn stop<'a>(
        &'a self,
        task: &'a Assignment,
        asked: &'a endpoint::FaultKind,
    ) -> Pending<'a, Result<(), FaultError>> {
        Box::pin(async move { self.vpcs.stop_fault(place(task)?, kind(asked)).await.map_err(failed) })
    }

    fn is_running<'a>(
        &'a self,
        task: &'a Assignment,
        asked: &'a endpoint::FaultKind,
    ) -> Pending<'a, Result<bool, FaultError>> {
        Box::pin(async move { self.vpcs.is_fault_running(place(task)?, kind(asked)).await.map_err(failed) })
    }
}
