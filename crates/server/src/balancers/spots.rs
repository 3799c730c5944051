//! The listening sockets of balancers, held here whoever accepts on them.
//!
//! Invariant: as long as a spot is held its connections wait in the same queue, so that serving
//! passes from one plane to another without a refused connection.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use core_routing::{Balancer, Placed};
use link::Spot;
use proxy::{Opening, Sockets};

use super::inside::Inside;
use crate::host::vpc_of;

/// Opens sockets for whoever serves balancers on this machine.
pub struct Spots {
    inside: Arc<dyn Inside>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    held: BTreeMap<Spot, Vec<OwnedFd>>,
    /// At the alias, ports that the balancer's security groups open to the internet.
    open: BTreeSet<(Ipv4Addr, u16)>,
    /// Why a spot has no listener.
    failed: BTreeMap<Spot, String>,
}

/// A security group is in the way: no failure, and nothing to warn of.
fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, "no security group lets the internet in at this port")
}

/// Where a balancer listens, by its table.
pub fn spots_of(balancer: &Balancer) -> BTreeSet<Spot> {
    let place = &balancer.place;
    let addresses = place.nodes.iter().map(|node| node.address).chain(place.alias);
    let ports = || balancer.listeners.iter().map(|listener| listener.port);
    addresses
        .flat_map(|address| ports().map(move |port| spot(place, SocketAddrV4::new(address, port))))
        .collect()
}

/// The spot of an address and port of a balancer's.
pub fn spot(place: &Placed, at: SocketAddrV4) -> Spot {
    let vpc = (place.alias != Some(*at.ip())).then(|| vpc_of(place).to_string().into());
    Spot { vpc, address: *at.ip(), port: at.port() }
}

impl Spots {
    pub fn new(inside: Arc<dyn Inside>) -> Arc<Self> {
        Arc::new(Spots { inside, state: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Which of a balancer's ports are open at its alias. Answers whether that was so before.
    pub fn open_at_alias(&self, balancer: &Balancer, is_open: impl Fn(u16) -> bool) -> bool {
        let Some(alias) = balancer.place.alias else { return true };
        let ports = balancer.listeners.iter().map(|listener| listener.port);
        let open: BTreeSet<_> = ports.filter(|port| is_open(*port)).map(|port| (alias, port)).collect();
        let mut state = self.state();
        let before: BTreeSet<_> = state.open.iter().filter(|(other, _)| *other == alias).copied().collect();
        let is_same = before == open;
        state.open.retain(|(other, _)| *other != alias);
        state.open.extend(open);
        if !is_same {
            // Whoever waits there is let go with the sockets.
            let State { held, open, .. } = &mut *state;
            held.retain(|spot, _| {
                spot.vpc.is_some() || spot.address != alias || open.contains(&(alias, spot.port))
            });
        }
        is_same
    }

    /// Lets go of every spot of a balancer that `wanted` does not name.
    pub fn release(&self, before: &Balancer, wanted: &BTreeSet<Spot>) -> Vec<Spot> {
        let gone: Vec<_> = spots_of(before).into_iter().filter(|spot| !wanted.contains(spot)).collect();
        let mut state = self.state();
        for spot in &gone {
            state.held.remove(spot);
            state.failed.remove(spot);
        }
        gone
    }

    /// The sockets of a spot, to be given away.
    pub fn share(&self, spot: &Spot) -> io::Result<Vec<OwnedFd>> {
        let state = self.state();
        state.held.get(spot).into_iter().flatten().map(OwnedFd::try_clone).collect()
    }

    /// Takes in sockets that an earlier server has opened.
    pub fn take_up(&self, spot: Spot, sockets: Vec<OwnedFd>) {
        self.state().held.entry(spot).or_insert(sockets);
    }

    /// Whether none of these has failed to open. One that no security group opens has not.
    pub fn are_open(&self, spots: &BTreeSet<Spot>) -> bool {
        self.state().failed.keys().all(|spot| !spots.contains(spot))
    }

    /// What cannot be listened on, for the operator.
    pub fn warnings(&self) -> Vec<String> {
        self.state().failed.values().cloned().collect()
    }

    async fn open(&self, place: &Placed, at: SocketAddrV4, count: usize) -> io::Result<Vec<TcpListener>> {
        let spot = spot(place, at);
        let is_alias = spot.vpc.is_none();
        {
            let state = self.state();
            if is_alias && !state.open.contains(&(*at.ip(), at.port())) {
                return Err(closed());
            }
            if let Some(held) = state.held.get(&spot) {
                return shared(held);
            }
        }
        let opened = if is_alias {
            (0..count).map(|_| proxy::listen_shared(at)).collect()
        } else {
            self.inside.listen(place, at, count).await
        };
        let mut state = self.state();
        match opened {
            Ok(listeners) => {
                let sockets: Vec<OwnedFd> = listeners.into_iter().map(OwnedFd::from).collect();
                let given = shared(&sockets);
                state.failed.remove(&spot);
                state.held.insert(spot, sockets);
                given
            }
            Err(error) => {
                let whose =
                    if is_alias { "the alias of a load balancer" } else { "a load balancer's address" };
                let text = format!("{at}, {whose}, cannot be listened on: {error}");
                if state.failed.insert(spot, text).is_none() {
                    tracing::warn!(%at, %error, "a load balancer's listener cannot be opened");
                }
                Err(error)
            }
        }
    }
}

fn shared(sockets: &[OwnedFd]) -> io::Result<Vec<TcpListener>> {
    sockets.iter().map(|socket| Ok(TcpListener::from(socket.try_clone()?))).collect()
}

impl Sockets for Spots {
    fn listen<'a>(
        &'a self,
        place: &'a Placed,
        at: SocketAddrV4,
        count: usize,
    ) -> Opening<'a, Vec<TcpListener>> {
        Box::pin(self.open(place, at, count))
    }

    fn dial<'a>(&'a self, place: &'a Placed, from: Ipv4Addr) -> Opening<'a, OwnedFd> {
        self.inside.dial(place, from)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;

    use core_routing::Protocol;

    use super::super::tests::balancer;
    use super::*;

    /// VPCs that are this machine's loopback.
    struct Outside;

    impl Inside for Outside {
        fn listen<'a>(
            &'a self,
            _: &'a Placed,
            at: SocketAddrV4,
            count: usize,
        ) -> Opening<'a, Vec<TcpListener>> {
            Box::pin(async move { (0..count).map(|_| proxy::listen_shared(at)).collect() })
        }

        fn dial<'a>(&'a self, _: &'a Placed, _: Ipv4Addr) -> Opening<'a, OwnedFd> {
            Box::pin(async { Err(io::Error::from(io::ErrorKind::Unsupported)) })
        }
    }

    /// A port that nobody has just now.
    fn free(address: Ipv4Addr) -> u16 {
        TcpListener::bind((address, 0)).unwrap().local_addr().unwrap().port()
    }

    /// A balancer whose node is on loopback, with one listener.
    fn near(node: Ipv4Addr, alias: Ipv4Addr, port: u16) -> Balancer {
        let mut one = balancer("web", &[(port, Protocol::Http)]);
        one.place.nodes[0].address = node;
        one.place.alias = Some(alias);
        one
    }

    const NODE: Ipv4Addr = Ipv4Addr::new(127, 77, 1, 1);
    const ALIAS: Ipv4Addr = Ipv4Addr::new(127, 77, 1, 2);

    #[tokio::test]
    async fn who_waits_at_a_spot_is_served_by_whoever_comes_next() {
        let port = free(NODE);
        let web = near(NODE, ALIAS, port);
        let spots = Spots::new(Arc::new(Outside));
        let at = SocketAddrV4::new(NODE, port);
        drop(spots.listen(&web.place, at, 1).await.unwrap());
        let mut client = TcpStream::connect(at).unwrap();
        client.write_all(b"?").unwrap();
        let shared = spots.share(&spot(&web.place, at)).unwrap().remove(0);
        let (mut accepted, _) = TcpListener::from(shared).accept().unwrap();
        accepted.write_all(b"!").unwrap();
        drop(accepted);
        let mut answer = String::new();
        // Unread bytes make a reset of the end.
        let _ = client.read_to_string(&mut answer);
        assert_eq!(answer, "!");
        let none = BTreeSet::new();
        assert_eq!(spots.release(&web, &none).len(), 2, "node and alias");
        assert!(TcpStream::connect(at).is_err());
    }

    #[tokio::test]
    async fn the_alias_is_open_where_the_internet_may_come_in() {
        let port = free(ALIAS);
        let web = near(NODE, ALIAS, port);
        let spots = Spots::new(Arc::new(Outside));
        let at = SocketAddrV4::new(ALIAS, port);
        assert!(spots.listen(&web.place, at, 1).await.is_err());
        assert!(spots.warnings().is_empty() && spots.are_open(&spots_of(&web)));
        assert!(!spots.open_at_alias(&web, |_| true));
        assert!(spots.open_at_alias(&web, |_| true), "it was so");
        drop(spots.listen(&web.place, at, 1).await.unwrap());
        assert!(TcpStream::connect(at).is_ok());
        assert!(!spots.open_at_alias(&web, |_| false));
        assert!(TcpStream::connect(at).is_err());
    }

    #[tokio::test]
    async fn a_port_of_another_program_is_a_warning_until_it_is_free() {
        let taken = TcpListener::bind((ALIAS, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let web = near(NODE, ALIAS, port);
        let spots = Spots::new(Arc::new(Outside));
        spots.open_at_alias(&web, |_| true);
        let at = SocketAddrV4::new(ALIAS, port);
        assert!(spots.listen(&web.place, at, 1).await.is_err());
        assert!(!spots.are_open(&spots_of(&web)));
        assert!(spots.warnings()[0].contains(&at.to_string()), "{:?}", spots.warnings());
        drop(taken);
        spots.listen(&web.place, at, 1).await.unwrap();
        assert!(spots.warnings().is_empty());
    }
}
