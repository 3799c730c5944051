//! Every container on the host's bridge, with the ports that lead to it.
//!
//! A container counts once its link has an alias; its ports are led to it just before, so that what
//! a crash leaves in between is recognized by having no container.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::os::fd::AsFd;

use tokio::net::TcpSocket;

use crate::bridge::{self, Bridge, Listeners, listens_at};
use crate::bridged::{self, Container, complete, connect, digest_of, file_name};
use crate::error::Doing;
use crate::host::Host;
use crate::namespace::{Directory, is_bound, unbind};
use crate::net::request;
use crate::ports::{Port, Ports, Reserved};
use crate::spare::Spares;
use crate::{BridgeShown, Bridged, BridgedSpec, Hears, Publish, VpcError};

/// What [`Containers::recover`] does.
const TAKING_UP: &str = "taking up what an earlier start left";
/// Connections that wait to be accepted.
const BACKLOG: i32 = 128;

#[derive(Default)]
pub struct Containers {
    bridge: Option<Bridge>,
    /// By task and digest of the container's name.
    all: BTreeMap<(String, String), Container>,
    ports: Ports,
    /// Of this process.
    listeners: Listeners,
    /// The number of the address that went out last.
    last: u64,
}

impl Containers {
    /// Takes up what an earlier start left.
    pub fn recover(host: &mut Host, directory: &Directory) -> Result<Self, VpcError> {
        let mut found = Containers::default();
        found.take_up(host, directory).doing(TAKING_UP)?;
        if let Some(bridge) = &found.bridge {
            bridge.complete(host, &found.ports, &found.listeners)?;
        }
        Ok(found)
    }

    /// Whole containers with their ports; of halves nothing is left.
    fn take_up(&mut self, host: &mut Host, directory: &Directory) -> io::Result<()> {
        self.bridge = Bridge::find(host)?;
        let links = bridged::links(host)?;
        let Some(bridge) = self.bridge.clone() else {
            // Somebody deleted the bridge: its containers are out of reach.
            return links.iter().try_for_each(|link| host.rtnl.run(&[request::delete_link(link.index)]));
        };
        for link in links {
            match bridged::read(&link, directory).filter(|one| bridge.subnet.contains(one.address)) {
                Some(one) => {
                    self.last = self.last.max(bridged::number_of(bridge.subnet, one.address));
                    self.all.insert((one.task.clone(), one.digest.clone()), one);
                }
                None => host.rtnl.run(&[request::delete_link(link.index)])?,
            }
        }
        for (port, target) in Bridge::published(host)? {
            if self.all.values().any(|one| one.address == target.address) {
                self.ports.recover(port, target);
            }
        }
        Ok(())
    }

    /// Whether a file of the run directory is a container's namespace.
    pub fn knows(&self, file: &str) -> bool {
        self.all.keys().any(|(task, digest)| file_name(task, digest) == file)
    }

    /// Listens where `port` of the platform's address leads.
    pub fn listen(&mut self, host: &mut Host, hears: Hears, port: u16) -> Result<TcpListener, VpcError> {
        let bridge = self.bridge.as_ref().ok_or(VpcError::NoAddresses("range"))?;
        let link = (hears == Hears::Bridge).then_some(bridge.name.as_str());
        let listener = listen_at(listens_at(hears), link).doing("listening on the host")?;
        let real = listener.local_addr().doing("listening on the host")?.port();
        self.listeners.insert((hears, port), real);
        bridge.write_table(host, &self.ports, &self.listeners).doing("writing the bridge's rules")?;
        Ok(listener)
    }

    pub fn ensure(&mut self, host: &mut Host) -> Result<BridgeShown, VpcError> {
        let is_new = self.bridge.is_none();
        let bridge = match &self.bridge {
            Some(bridge) => bridge,
            None => self.bridge.insert(Bridge::create(host)?),
        };
        let gateway = bridge.gateway();
        Ok(BridgeShown { name: bridge.name.clone(), subnet: bridge.subnet, gateway, is_new })
    }

    pub fn attach(
        &mut self,
        host: &mut Host,
        directory: &Directory,
        spares: &Spares,
        spec: &BridgedSpec,
    ) -> Result<Bridged, VpcError> {
        self.ensure(host)?;
        let key = (spec.task.clone(), digest_of(&spec.container));
        let bridge = self.bridge.clone().ok_or(VpcError::NoAddresses("range"))?;
        let seed = format!("{}/{}", spec.task, spec.container);
        if let Some(found) = self.all.get(&key).cloned() {
            if is_bound(&found.file) {
                self.lead_again(host, &bridge, &found, &spec.ports, &seed)?;
                return Ok(self.shown(&found, &spec.ports));
            }
            // Somebody unmounted it: the namespace is gone, or out of reach.
            self.detach(host, &key)?;
        }
        let reserved = self.ports.reserve(&spec.ports, &seed)?;
        let used = |address| self.all.values().any(|one| one.address == address);
        let (number, address) =
            bridged::free_address(bridge.subnet, self.last, used).ok_or(VpcError::NoAddresses("address"))?;
        self.last = number;
        let file = directory.file(&file_name(&key.0, &key.1));
        let wanted = Container { task: key.0.clone(), digest: key.1.clone(), address, index: 0, file };
        let spare = spares.take().doing("making a namespace")?;
        let made = connect(host, &bridge, spare, wanted).doing("making a container's interface")?;
        self.finish(host, &bridge, made, reserved)
    }

    fn finish(
        &mut self,
        host: &mut Host,
        bridge: &Bridge,
        made: Container,
        reserved: Reserved,
    ) -> Result<Bridged, VpcError> {
        self.mend(host).doing("writing the bridge's rules")?;
        let done = bridge
            .publish(host, &reserved.targets(made.address))
            .and_then(|()| complete(host, &made))
            .doing("leading ports to a container");
        if let Err(error) = done {
            let _ = unbind(&made.file);
            let _ = host.rtnl.run(&[request::delete_link(made.index)]);
            return Err(error);
        }
        let shown =
            Bridged { netns: made.file.clone(), address: made.address, ports: reserved.ports.clone() };
        self.ports.keep(reserved, made.address);
        self.all.insert((made.task.clone(), made.digest.clone()), made);
        Ok(shown)
    }

    /// Writes the rules anew, after the host's addresses in VPCs have changed.
    pub fn refresh(&self, host: &mut Host) -> io::Result<()> {
        match &self.bridge {
            Some(bridge) => bridge.write_table(host, &self.ports, &self.listeners),
            None => Ok(()),
        }
    }

    /// Writes the rules again if somebody has deleted them. Whether that was so.
    pub fn mend(&self, host: &mut Host) -> io::Result<bool> {
        let Some(bridge) = &self.bridge else { return Ok(false) };
        if host.nft.tables()?.contains(&host.bridge_table()) {
            return Ok(false);
        }
        bridge.write_table(host, &self.ports, &self.listeners).map(|()| true)
    }

    /// Ports that lead nowhere any more, because somebody flushed the machine's rules while we were
    /// away, are led to the container anew. Dynamic ones may be others than before.
    fn lead_again(
        &mut self,
        host: &mut Host,
        bridge: &Bridge,
        container: &Container,
        wanted: &[Publish],
        seed: &str,
    ) -> Result<(), VpcError> {
        let given = given(self.ports.of(container.address), wanted);
        let missing = wanted.iter().zip(given).filter(|(_, port)| *port == 0).map(|(publish, _)| *publish);
        let missing: Vec<Publish> = missing.collect();
        let reserved = self.ports.reserve(&missing, seed)?;
        let targets = reserved.targets(container.address);
        bridge.publish(host, &targets).doing("leading ports to a container")?;
        self.ports.keep(reserved, container.address);
        Ok(())
    }

    /// What a container has, with the ports that it was given.
    fn shown(&self, container: &Container, wanted: &[Publish]) -> Bridged {
        let given = given(self.ports.of(container.address), wanted);
        let ports = wanted.iter().zip(given).map(|(publish, host_port)| Publish { host_port, ..*publish });
        Bridged { netns: container.file.clone(), address: container.address, ports: ports.collect() }
    }

    fn detach(&mut self, host: &mut Host, key: &(String, String)) -> Result<(), VpcError> {
        let Some(container) = self.all.get(key) else { return Ok(()) };
        // With its last name the namespace goes, and the link with it: the kernel does that later
        // and many at once. First, so that a restart in between knows its ports for nobody's.
        unbind(&container.file).doing("letting a container's namespace go")?;
        if let Some(bridge) = &self.bridge {
            let ports = self.ports.of(container.address);
            let unpublished = bridge.unpublish(host, &ports, container.address);
            unpublished.doing("giving ports of the host back")?;
        }
        self.ports.release(container.address);
        self.all.remove(key);
        Ok(())
    }

    /// Detaches every container of tasks that are not `wanted`; every one is tried.
    pub fn retain(&mut self, host: &mut Host, is_wanted: impl Fn(&str) -> bool) -> Result<(), VpcError> {
        let unwanted: Vec<_> = self.all.keys().filter(|(task, _)| !is_wanted(task)).cloned().collect();
        let outcomes: Vec<_> = unwanted.iter().map(|key| self.detach(host, key)).collect();
        outcomes.into_iter().collect()
    }

    pub fn tasks(&self) -> Vec<(String, Ipv4Addr)> {
        self.all.values().map(|one| (one.task.clone(), one.address)).collect()
    }

    pub fn ports(&self) -> Vec<Port> {
        self.ports.all().map(|(port, _)| port).collect()
    }

    /// Removes everything, also what this process knows nothing of.
    pub fn down(&mut self, host: &mut Host) -> io::Result<()> {
        *self = Containers { bridge: self.bridge.take(), ..Containers::default() };
        for link in bridged::links(host)? {
            host.rtnl.run(&[request::delete_link(link.index)])?;
        }
        match self.bridge.take() {
            Some(bridge) => bridge.delete(host),
            None => bridge::delete_table(host),
        }
    }
}

/// A socket bound to a link hears nobody else, and does not disturb those of other servers.
fn listen_at(address: Ipv4Addr, link: Option<&str>) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    if let Some(link) = link {
        socket.bind_device(Some(link.as_bytes()))?;
    }
    socket.bind(SocketAddrV4::new(address, 0).into())?;
    rustix::net::listen(&socket, BACKLOG)?;
    // Already non-blocking.
    Ok(TcpListener::from(socket.as_fd().try_clone_to_owned()?))
}

/// For each of `wanted` the first host port of a row that leads there, or 0; no port counts twice.
fn given(mut there: Vec<(Port, u16)>, wanted: &[Publish]) -> Vec<u16> {
    there.sort_unstable_by_key(|((_, number), _)| *number);
    let mut find = |publish: &Publish| {
        let row = |first: u16| {
            (0..publish.count).map(move |offset| {
                let port = (publish.transport, first.saturating_add(offset));
                (port, publish.container_port.saturating_add(offset))
            })
        };
        let fits = |first: &u16| {
            (publish.host_port == 0 || publish.host_port == *first)
                && row(*first).all(|one| there.contains(&one))
        };
        let first = there.iter().map(|((_, number), _)| *number).find(fits)?;
        there.retain(|one| !row(first).any(|taken| taken == *one));
        Some(first)
    };
    let mut ports = vec![0; wanted.len()];
    // Fixed ones first: a dynamic one may not take what another asks for by number.
    for is_fixed in [true, false] {
        let of_kind = wanted.iter().zip(&mut ports).filter(|(one, _)| (one.host_port != 0) == is_fixed);
        of_kind.for_each(|(publish, port)| *port = find(publish).unwrap_or(0));
    }
    ports
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Transport::Tcp;

    #[test]
    fn every_port_that_was_given_counts_once() {
        let publish =
            |container_port, host_port, count| Publish { transport: Tcp, container_port, host_port, count };
        let there = vec![((Tcp, 40_001), 80), ((Tcp, 8080), 80), ((Tcp, 40_000), 80), ((Tcp, 50_001), 91)];
        let check = |wanted: &[Publish], want: &[u16]| assert_eq!(given(there.clone(), wanted), want);
        check(&[publish(80, 0, 1), publish(80, 8080, 1), publish(80, 0, 1)], &[40_000, 8080, 40_001]);
        check(&[publish(80, 0, 2), publish(90, 0, 2), publish(91, 50_001, 1)], &[0, 0, 50_001]);
    }
}
