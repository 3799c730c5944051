//! Faults of the network that a task asks for: packets that vanish or are late.
//!
//! Every fault is a table of rules of its own, and its name says which fault it is; so the kernel
//! knows what runs, and stopping is deleting. A port's black hole lies in the namespace whose port it
//! is, as on AWS, and is felt on its loopback, too. Loss lies at the other end of the task's link: a
//! packet that is dropped where it is sent is an error to its sender, a lost one is not.
//!
//! Faults of a task on the host's own network are the host's, as on AWS; they go with the task.

use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use core_addresses::Cidr;
use rustix::io::Errno;

use crate::PLATFORM;
use crate::net::request::{self, Handle};
use crate::net::{Batch, Chain, Expression, Hook, Nft, Rtnl, Transport};

/// A fault to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Packets to a port vanish.
    BlackHole { hole: BlackHole, spared: Vec<Cidr> },
    /// Of what the task sends to `sources`, so many of a hundred packets are lost.
    Loss { percent: u8, sources: Vec<Cidr>, spared: Vec<Cidr> },
    /// What the task sends to `sources` is late.
    Latency { delay: Duration, jitter: Duration, sources: Vec<Cidr>, spared: Vec<Cidr> },
}

/// Which fault is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    BlackHole(BlackHole),
    Loss,
    Latency,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlackHole {
    pub transport: Transport,
    pub port: u16,
    pub direction: Direction,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// To the task's own port.
    Ingress,
    /// To that port of others.
    Egress,
}

/// Where a fault is to be felt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FaultPlace {
    /// By the task that has this interface.
    Interface(String),
    /// By the whole host, for as long as this task is on its network.
    Host { task: String },
}

impl Fault {
    pub fn kind(&self) -> FaultKind {
        match self {
            Fault::BlackHole { hole, .. } => FaultKind::BlackHole(*hole),
            Fault::Loss { .. } => FaultKind::Loss,
            Fault::Latency { .. } => FaultKind::Latency,
        }
    }
}

impl FaultKind {
    fn name(self) -> String {
        match self {
            FaultKind::BlackHole(BlackHole { transport, port, direction }) => {
                format!("blackhole-{transport:?}-{port}-{direction:?}").to_ascii_lowercase()
            }
            FaultKind::Loss => "loss".into(),
            FaultKind::Latency => "latency".into(),
        }
    }

    /// The name of its table. `owner`: of whom faults lie in the same namespace.
    pub fn table(self, owner: &str) -> String {
        format!("{}{}", prefix_of(owner), self.name())
    }
}

/// How names of an owner's faults begin.
pub fn prefix_of(owner: &str) -> String {
    format!("{owner}-fault-")
}

const CHAIN: &str = "fault";
/// The link of a task in its own namespace.
const LINK: &str = "eth0";
/// The queue of those that wait, among three of which the first is for all others.
const LATE: u32 = 0x0001_0002;
/// Packets that wait at most.
const LATE_LIMIT: u32 = 100_000;

/// AWS: the tasks' endpoint itself is always spared, or nobody could stop a fault.
fn spared_with_platform(spared: &[Cidr]) -> impl Iterator<Item = Cidr> {
    std::iter::once(Cidr::new(PLATFORM, 32)).chain(spared.iter().copied())
}

/// Into the namespace whose port it is.
pub fn write_black_hole(nft: &mut Nft, table: &str, hole: BlackHole, spared: &[Cidr]) -> io::Result<()> {
    let (hook, peer): (_, fn(Cidr) -> Expression<'static>) = match hole.direction {
        Direction::Ingress => (Hook::Input, Expression::SourceWithin),
        Direction::Egress => (Hook::Output, Expression::DestinationWithin),
    };
    let mut batch = Batch::new(table);
    batch.fresh_table();
    batch.chain(Chain { name: CHAIN, hook });
    for range in spared_with_platform(spared) {
        batch.rule(CHAIN, &[peer(range), Expression::Accept]);
    }
    let port =
        [Expression::Protocol(hole.transport), Expression::DestinationPort(hole.port), Expression::Drop];
    batch.rule(CHAIN, &port);
    nft.commit(batch)
}

/// Where a task's packets are lost.
#[derive(Debug, Clone, Copy)]
pub enum Lossy<'a> {
    /// Where they come in from its link.
    From(&'a str),
    /// Where the host itself sends them, but to itself.
    Host,
}

pub fn write_loss(
    nft: &mut Nft,
    table: &str,
    place: Lossy<'_>,
    percent: u8,
    [sources, spared]: [&[Cidr]; 2],
) -> io::Result<()> {
    let (hook, link) = match place {
        Lossy::From(link) => (Hook::Raw, Expression::InputIs(link)),
        Lossy::Host => (Hook::Output, Expression::OutputIsNot("lo")),
    };
    let mut batch = Batch::new(table);
    batch.fresh_table();
    batch.chain(Chain { name: CHAIN, hook });
    for range in spared_with_platform(spared) {
        batch.rule(CHAIN, &[link, Expression::DestinationWithin(range), Expression::Accept]);
    }
    for range in sources {
        let there = Expression::DestinationWithin(*range);
        batch.rule(CHAIN, &[link, there, Expression::PercentOf(percent), Expression::Drop]);
        // Ranges may overlap; nobody draws twice.
        batch.rule(CHAIN, &[link, there, Expression::Accept]);
    }
    nft.commit(batch)
}

/// In the task's namespace: two queues in front of its link, the second of them slow, and rules that
/// say what waits there. `Ok(false)`: the kernel has no such queues.
pub fn write_latency(
    nft: &mut Nft,
    rtnl: &mut Rtnl,
    table: &str,
    [delay, jitter]: [Duration; 2],
    [sources, spared]: [&[Cidr]; 2],
) -> io::Result<bool> {
    let index = rtnl.index_of(LINK)?;
    let (root, class, queue) = (Handle(1, 0), Handle(1, 2), Handle(10, 0));
    let queues = rtnl
        .run(&[request::queue(index, Handle::ROOT, root, "prio", first_of_three())])
        .and_then(|()| rtnl.run(&[request::queue(index, class, queue, "netem", slow(delay, jitter))]));
    match queues {
        Ok(()) => {}
        Err(error) => {
            rtnl.run(&[request::delete_queue(index)])?;
            let is_unknown = Errno::from_io_error(&error) == Some(Errno::NOENT);
            return if is_unknown { Ok(false) } else { Err(error) };
        }
    }
    let mut batch = Batch::new(table);
    batch.fresh_table();
    batch.chain(Chain { name: CHAIN, hook: Hook::Leaving });
    for range in spared_with_platform(spared) {
        batch.rule(CHAIN, &[Expression::DestinationWithin(range), Expression::Accept]);
    }
    for range in sources {
        let rule =
            [Expression::OutputIs(LINK), Expression::DestinationWithin(*range), Expression::Queue(LATE)];
        batch.rule(CHAIN, &rule);
    }
    let written = nft.commit(batch);
    if written.is_err() {
        rtnl.run(&[request::delete_queue(index)])?;
    }
    written.map(|()| true)
}

pub fn delete_queues(rtnl: &mut Rtnl) -> io::Result<()> {
    let index = rtnl.index_of(LINK)?;
    rtnl.run(&[request::delete_queue(index)])
}

pub fn delete(nft: &mut Nft, table: &str) -> io::Result<()> {
    let mut batch = Batch::new(table);
    batch.delete_table();
    nft.commit(batch)
}

/// Three bands; whatever names none goes to the first.
fn first_of_three() -> Vec<u8> {
    let mut options = 3_i32.to_ne_bytes().to_vec();
    options.extend_from_slice(&[0; 16]);
    options
}

/// The kernel's old units are 64 ns; the attributes that follow are exact.
fn slow(delay: Duration, jitter: Duration) -> Vec<u8> {
    const DELAY_EXACT: u16 = 10;
    const JITTER_EXACT: u16 = 11;
    let nanoseconds = |time: Duration| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
    let ticks = |time| u32::try_from(nanoseconds(time) >> 6).unwrap_or(u32::MAX);
    let mut options = Vec::new();
    for number in [ticks(delay), LATE_LIMIT, 0, 0, 0, ticks(jitter)] {
        options.extend_from_slice(&number.to_ne_bytes());
    }
    for (kind, time) in [(DELAY_EXACT, delay), (JITTER_EXACT, jitter)] {
        options.extend_from_slice(&12_u16.to_ne_bytes());
        options.extend_from_slice(&kind.to_ne_bytes());
        options.extend_from_slice(&nanoseconds(time).to_ne_bytes());
    }
    options
}

/// Whether this kernel can make packets late: tried in a network of its own. Needs root.
///
/// # Errors
/// [`crate::VpcError::Kernel`], with EPERM without CAP_SYS_ADMIN.
pub fn can_delay() -> Result<bool, crate::VpcError> {
    use crate::error::Doing;
    crate::apart::run(|| {
        let mut rtnl = Rtnl::open()?;
        rtnl.run(&[request::bridge(LINK, core_addresses::Mac([2, 0, 0, 0, 0, 1]))])?;
        let sources = [Cidr::new(Ipv4Addr::UNSPECIFIED, 0)];
        let times = [Duration::from_millis(1), Duration::ZERO];
        write_latency(&mut Nft::open()?, &mut rtnl, "probe", times, [&sources, &[]])
    })?
    .doing("trying a queue")
}
