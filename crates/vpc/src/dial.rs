//! Sockets that leave from inside a VPC, made ahead.
//!
//! A socket belongs to the namespace in which it was made, whoever binds and connects it later. A
//! thread that stays in the VPC's namespace keeps some ready, so that dialing costs its caller one
//! system call; only whoever finds none enters the namespace.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::thread;

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with, sockopt};

use crate::error::Doing;
use crate::namespace::Namespace;
use crate::{VpcError, VpcKey, sys};

/// How many sockets are ready at most, and how many are left when more are made.
const READY: usize = 32;
const LOW: usize = 16;
/// How many connections wait to be accepted.
const BACKLOG: i32 = 4096;

/// The dialers of every VPC that exists. Shared between the thread that makes VPCs and callers.
#[derive(Default)]
pub struct Dialers {
    all: RwLock<BTreeMap<VpcKey, Dialer>>,
}

impl Dialers {
    pub fn open(&self, key: &VpcKey, namespace: Namespace) {
        let dialer = Dialer { namespace: Arc::new(namespace), stash: OnceLock::new() };
        self.all.write().unwrap_or_else(PoisonError::into_inner).insert(key.clone(), dialer);
    }

    /// Sockets that are ready close; they would keep namespaces alive.
    pub fn retain(&self, is_wanted: impl Fn(&VpcKey) -> bool) {
        self.all.write().unwrap_or_else(PoisonError::into_inner).retain(|key, _| is_wanted(key));
    }

    pub fn dial(&self, key: &VpcKey, from: Ipv4Addr) -> Result<OwnedFd, VpcError> {
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        let dialer = all.get(key).ok_or_else(|| VpcError::UnknownVpc(key.clone()))?;
        dialer.dial(from).doing("opening a socket in a VPC")
    }
}

/// What makes sockets in one VPC.
struct Dialer {
    namespace: Arc<Namespace>,
    /// Filled by a thread that starts with the first call.
    stash: OnceLock<Arc<Stash>>,
}

impl Dialer {
    fn dial(&self, from: Ipv4Addr) -> io::Result<OwnedFd> {
        let stash = self.stash.get_or_init(|| Stash::start(&self.namespace));
        let socket = match stash.take() {
            Some(socket) => socket,
            None => self.namespace.enter(unbound)?,
        };
        bind(&socket, &SocketAddrV4::new(from, 0))?;
        Ok(socket)
    }
}

impl Drop for Dialer {
    fn drop(&mut self) {
        if let Some(stash) = self.stash.get() {
            stash.close();
        }
    }
}

#[derive(Default)]
struct Stash {
    shelf: Mutex<Shelf>,
    /// Told when the shelf is low, and when it closes.
    changed: Condvar,
}

#[derive(Default)]
struct Shelf {
    ready: Vec<OwnedFd>,
    is_closed: bool,
}

impl Stash {
    fn start(namespace: &Arc<Namespace>) -> Arc<Self> {
        let stash = Arc::new(Stash::default());
        let (shared, namespace) = (Arc::clone(&stash), Arc::clone(namespace));
        let body = move || match namespace.settle() {
            Ok(()) => shared.fill(),
            Err(error) => tracing::warn!(%error, "sockets in a VPC are not made ahead"),
        };
        if let Err(error) = thread::Builder::new().name("vpc-dial".into()).spawn(body) {
            tracing::warn!(%error, "sockets in a VPC are not made ahead");
        }
        stash
    }

    fn lock(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Option<OwnedFd> {
        let mut shelf = self.lock();
        let socket = shelf.ready.pop();
        if shelf.ready.len() <= LOW {
            self.changed.notify_one();
        }
        socket
    }

    fn fill(&self) {
        loop {
            let made: io::Result<Vec<OwnedFd>> = (0..READY - LOW).map(|_| unbound()).collect();
            let mut shelf = self.lock();
            // Where descriptors are short, whoever needs one is told by the kernel.
            shelf.ready.extend(made.unwrap_or_default());
            // At least one wait each turn: a shelf that cannot be filled is looked at when asked for.
            loop {
                if shelf.is_closed {
                    return shelf.ready.clear();
                }
                shelf = self.changed.wait(shelf).unwrap_or_else(PoisonError::into_inner);
                if shelf.ready.len() <= LOW && !shelf.is_closed {
                    break;
                }
            }
        }
    }

    fn close(&self) {
        let mut shelf = self.lock();
        shelf.is_closed = true;
        shelf.ready.clear();
        self.changed.notify_one();
    }
}

fn tcp() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?)
}

fn unbound() -> io::Result<OwnedFd> {
    let socket = tcp()?;
    sys::bind_without_port(&socket)?;
    Ok(socket)
}

/// Listening sockets that share an address, non-blocking.
pub fn listen_shared(address: SocketAddrV4, count: usize) -> io::Result<Vec<TcpListener>> {
    let one = || {
        let socket = tcp()?;
        sockopt::set_socket_reuseaddr(&socket, true)?;
        sockopt::set_socket_reuseport(&socket, true)?;
        bind(&socket, &address)?;
        listen(&socket, BACKLOG)?;
        Ok(TcpListener::from(socket))
    };
    (0..count).map(|_| one()).collect()
}
