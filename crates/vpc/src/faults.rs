//! Starting, stopping and finding faults, wherever they lie.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use crate::error::Doing;
use crate::fault::{self, Fault, FaultKind, FaultPlace, Lossy};
use crate::host::Host;
use crate::interface::{self, Interface};
use crate::namespace::Namespace;
use crate::net::{Nft, Rtnl};
use crate::vpc::Vpc;
use crate::{VpcError, VpcKey};

/// What faults are made in.
pub struct Faults<'a> {
    pub host: &'a mut Host,
    pub vpcs: &'a mut BTreeMap<VpcKey, Vpc>,
    pub interfaces: &'a BTreeMap<String, Interface>,
}

/// In a task's own namespace there are no others' tables.
const OWN: &str = "boxship";

impl Faults<'_> {
    pub fn start(&mut self, place: &FaultPlace, fault: &Fault) -> Result<(), VpcError> {
        match place {
            FaultPlace::Host { task } => self.start_on_host(task, fault),
            FaultPlace::Interface(eni) => self.start_at(eni, fault),
        }
    }

    fn start_on_host(&mut self, task: &str, fault: &Fault) -> Result<(), VpcError> {
        let table = fault.kind().table(&self.host.owner_of_faults(task));
        let nft = &mut self.host.nft;
        match fault {
            Fault::BlackHole { hole, spared } => fault::write_black_hole(nft, &table, *hole, spared),
            Fault::Loss { percent, sources, spared } => {
                fault::write_loss(nft, &table, Lossy::Host, *percent, [sources, spared])
            }
            Fault::Latency { .. } => {
                return Err(VpcError::Unsupported("latency on the network of the host itself"));
            }
        }
        .doing("starting a fault")
    }

    fn start_at(&mut self, eni: &str, fault: &Fault) -> Result<(), VpcError> {
        let table = table_of(eni, fault.kind());
        match fault {
            Fault::BlackHole { hole, spared } => {
                let (mut nft, _) = self.inside(eni)?;
                fault::write_black_hole(&mut nft, &table, *hole, spared)
            }
            Fault::Loss { percent, sources, spared } => {
                let link = interface::link_name(eni);
                let vpc = self.vpc_of(eni)?;
                fault::write_loss(&mut vpc.nft, &table, Lossy::From(&link), *percent, [sources, spared])
            }
            Fault::Latency { delay, jitter, sources, spared } => {
                let (mut nft, mut rtnl) = self.inside(eni)?;
                let times = [*delay, *jitter];
                match fault::write_latency(&mut nft, &mut rtnl, &table, times, [sources, spared]) {
                    Ok(true) => Ok(()),
                    Ok(false) => return Err(VpcError::Unsupported("latency: the kernel has no sch_netem")),
                    Err(error) => Err(error),
                }
            }
        }
        .doing("starting a fault")
    }

    pub fn stop(&mut self, place: &FaultPlace, kind: FaultKind) -> Result<(), VpcError> {
        match (place, kind) {
            (FaultPlace::Host { task }, _) => {
                let table = kind.table(&self.host.owner_of_faults(task));
                fault::delete(&mut self.host.nft, &table)
            }
            (FaultPlace::Interface(eni), FaultKind::Loss) => {
                fault::delete(&mut self.vpc_of(eni)?.nft, &table_of(eni, kind))
            }
            (FaultPlace::Interface(eni), FaultKind::BlackHole(_)) => {
                fault::delete(&mut self.inside(eni)?.0, &table_of(eni, kind))
            }
            (FaultPlace::Interface(eni), FaultKind::Latency) => {
                let (mut nft, mut rtnl) = self.inside(eni)?;
                fault::delete(&mut nft, &table_of(eni, kind)).and_then(|()| fault::delete_queues(&mut rtnl))
            }
        }
        .doing("stopping a fault")
    }

    pub fn is_running(&mut self, place: &FaultPlace, kind: FaultKind) -> Result<bool, VpcError> {
        let (table, tables) = match (place, kind) {
            (FaultPlace::Host { task }, _) => {
                (kind.table(&self.host.owner_of_faults(task)), self.host.nft.tables())
            }
            (FaultPlace::Interface(eni), FaultKind::Loss) => {
                (table_of(eni, kind), self.vpc_of(eni)?.nft.tables())
            }
            (FaultPlace::Interface(eni), FaultKind::BlackHole(_) | FaultKind::Latency) => {
                (table_of(eni, kind), self.inside(eni)?.0.tables())
            }
        };
        Ok(tables.doing("listing tables")?.contains(&table))
    }

    fn vpc_of(&mut self, eni: &str) -> Result<&mut Vpc, VpcError> {
        let unknown = || VpcError::UnknownInterface(eni.to_owned());
        let key = &self.interfaces.get(eni).ok_or_else(unknown)?.spec.vpc;
        self.vpcs.get_mut(key).ok_or_else(unknown)
    }

    /// Sockets in the task's own namespace.
    fn inside(&self, eni: &str) -> Result<(Nft, Rtnl), VpcError> {
        let unknown = || VpcError::UnknownInterface(eni.to_owned());
        let file = &self.interfaces.get(eni).ok_or_else(unknown)?.file;
        Namespace::open(file)
            .and_then(|namespace| namespace.enter(|| Ok((Nft::open()?, Rtnl::open()?))))
            .doing("entering a task's namespace")
    }
}

/// Loss lies among that of other tasks, so its table says whose it is.
fn table_of(eni: &str, kind: FaultKind) -> String {
    match kind {
        FaultKind::Loss => kind.table(&interface::link_name(eni)),
        FaultKind::BlackHole(_) | FaultKind::Latency => kind.table(OWN),
    }
}

/// What an interface leaves in its VPC.
pub fn forget(vpc: &mut Vpc, eni: &str) -> io::Result<()> {
    fault::delete(&mut vpc.nft, &table_of(eni, FaultKind::Loss))
}

/// Every fault of a task on the host's network.
pub fn forget_on_host(host: &mut Host, task: &str) -> io::Result<()> {
    let prefix = fault::prefix_of(&host.owner_of_faults(task));
    for table in host.nft.tables()?.into_iter().filter(|table| table.starts_with(&prefix)) {
        fault::delete(&mut host.nft, &table)?;
    }
    Ok(())
}

/// Every fault on the host's network of tasks that are not `known`.
pub fn forget_unknown(host: &mut Host, known: &BTreeSet<String>) -> io::Result<()> {
    let (first, last) = (host.owner_of_faults(""), fault::prefix_of(""));
    for table in host.nft.tables()? {
        let task = table.strip_prefix(&first).and_then(|rest| rest.split_once(&last)).map(|(task, _)| task);
        if task.is_some_and(|task| !known.contains(task)) {
            fault::delete(&mut host.nft, &table)?;
        }
    }
    Ok(())
}
