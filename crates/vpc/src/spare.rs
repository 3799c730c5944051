//! Task namespaces, made ahead: making one is the slowest step of an attach.

use std::fs;
use std::io;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{self, JoinHandle};

use crate::namespace::{Namespace, without_ipv6};
use crate::net::{Rtnl, request};

/// A task's namespace with only `lo`, up, and a socket in it.
pub struct Spare {
    pub namespace: Namespace,
    pub rtnl: Rtnl,
}

impl Spare {
    pub fn create() -> io::Result<Self> {
        let (namespace, mut rtnl) = Namespace::create(|| {
            settings()?;
            Rtnl::open()
        })?;
        let lo = rtnl.index_of("lo")?;
        rtnl.run(&[request::link_up(lo)])?;
        Ok(Spare { namespace, rtnl })
    }
}

fn settings() -> io::Result<()> {
    without_ipv6("default")?;
    // As Docker sets them in every container's namespace: any user may listen on port 80 and ping.
    fs::write("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0")?;
    fs::write("/proc/sys/net/ipv4/ping_group_range", "0 2147483647")
}

/// Keeps a few ready on a thread of its own.
pub struct Spares {
    ready: Option<Receiver<Spare>>,
    thread: Option<JoinHandle<()>>,
}

impl Spares {
    pub fn start(count: usize) -> io::Result<Self> {
        if count == 0 {
            return Ok(Spares { ready: None, thread: None });
        }
        let (made, ready) = sync_channel(count - 1);
        let body = move || {
            loop {
                match Spare::create().map(|spare| made.send(spare)) {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => break,
                    Err(error) => {
                        // Whoever needs one makes it, and reports why that failed.
                        tracing::warn!(%error, "no namespaces are made ahead any more");
                        break;
                    }
                }
            }
        };
        let thread = thread::Builder::new().name("vpc-spare".into()).spawn(body)?;
        Ok(Spares { ready: Some(ready), thread: Some(thread) })
    }

    /// One that is ready, or else a new one.
    pub fn take(&self) -> io::Result<Spare> {
        match self.ready.as_ref().and_then(|ready| ready.try_recv().ok()) {
            Some(spare) => Ok(spare),
            None => Spare::create(),
        }
    }
}

impl Drop for Spares {
    fn drop(&mut self) {
        drop(self.ready.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
