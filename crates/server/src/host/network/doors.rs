//! What listens for tasks at 169.254.170.2, and who serves it.
//!
//! Listeners are opened when a task first needs them; who serves them may be known later, and until
//! then connections wait.

use std::collections::HashMap;
use std::fmt;
use std::net::{SocketAddrV4, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};

use gateway::Gateway;
use runtime::Pending;
use tokio::sync::watch;
use tokio::task::JoinSet;
use vpc::{PLATFORM, VpcKey};

/// The one port's number for tasks, whatever its number on the host.
pub const PLATFORM_PORT: u16 = 4566;
/// Where metadata and credentials are asked for.
pub const ENDPOINT_PORT: u16 = 80;

/// Which tasks can come in over a listener.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Doorway {
    /// Those with an interface in the VPC; the peer's address tells which of them.
    Vpc(VpcKey),
    /// Containers on the host's bridge; their addresses are the host's choice.
    Bridge,
    /// Tasks in network mode `host`, and whatever else runs on the host.
    Host,
}

impl fmt::Display for Doorway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Doorway::Vpc(key) => key.fmt(f),
            Doorway::Bridge => f.write_str("bridge"),
            Doorway::Host => f.write_str("host"),
        }
    }
}

/// Serves a listener at 169.254.170.2:80 until the future is dropped.
pub type ServeTasks = Arc<dyn Fn(tokio::net::TcpListener, Doorway) -> Pending<'static, ()> + Send + Sync>;

/// Everything that serves tasks. Each is told once, at start.
pub struct Doors {
    gateway: watch::Sender<Option<Gateway>>,
    tasks: watch::Sender<Option<ServeTasks>>,
    stop: watch::Receiver<bool>,
    /// What listens at a door ends when its sender goes.
    open: Mutex<HashMap<Doorway, watch::Sender<()>>>,
    scope: Mutex<JoinSet<()>>,
}

impl Doors {
    pub fn new(stop: watch::Receiver<bool>) -> Self {
        let (gateway, tasks) = (watch::Sender::new(None), watch::Sender::new(None));
        Doors { gateway, tasks, stop, open: Mutex::default(), scope: Mutex::default() }
    }

    pub fn serve_platform(&self, gateway: Gateway) {
        self.gateway.send_replace(Some(gateway));
    }

    pub fn serve_tasks(&self, tasks: ServeTasks) {
        self.tasks.send_replace(Some(tasks));
    }

    /// The one port, for tasks: they come in as such, not as operators.
    pub fn platform(&self, listener: TcpListener, doorway: &Doorway) -> std::io::Result<()> {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let (doorway, stop) = (doorway.clone(), self.stop.clone());
        let mut known = self.gateway.subscribe();
        self.spawn_at(&doorway.clone(), async move {
            let gateway = known.wait_for(Option::is_some).await.ok().and_then(|gateway| gateway.clone());
            if let Some(gateway) = gateway {
                match doorway {
                    // Whoever is on the host can knock there, tasks or not.
                    Doorway::Host => {
                        let known_as = SocketAddrV4::new(PLATFORM, PLATFORM_PORT).into();
                        gateway.serve_shared(listener, known_as, stop).await;
                    }
                    Doorway::Vpc(_) | Doorway::Bridge => {
                        gateway.serve_vpc(listener, &doorway.to_string(), stop).await;
                    }
                }
            }
        });
        Ok(())
    }

    pub fn endpoint(&self, listener: TcpListener, doorway: Doorway) -> std::io::Result<()> {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let mut known = self.tasks.subscribe();
        self.listen_at(&doorway.clone(), async move {
            let serve = known.wait_for(Option::is_some).await.ok().and_then(|serve| serve.clone());
            if let Some(serve) = serve {
                serve(listener, doorway).await;
            }
        });
        Ok(())
    }

    /// Listens at a door until it closes.
    pub fn listen_at(&self, doorway: &Doorway, work: impl Future<Output = ()> + Send + 'static) {
        let mut stop = self.stop.clone();
        self.spawn_at(doorway, async move {
            tokio::select! {
                () = work => {}
                _ = stop.wait_for(|stop| *stop) => {}
            }
        });
    }

    /// Ends whatever listens at a door.
    pub fn close(&self, doorway: &Doorway) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(doorway);
    }

    fn spawn_at(&self, doorway: &Doorway, work: impl Future<Output = ()> + Send + 'static) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let mut gone = open.entry(doorway.clone()).or_insert_with(|| watch::Sender::new(())).subscribe();
        self.spawn(async move {
            tokio::select! {
                () = work => {}
                _ = gone.changed() => {}
            }
        });
    }

    pub fn spawn_until_stop(&self, work: impl Future<Output = ()> + Send + 'static) {
        let mut stop = self.stop.clone();
        self.spawn(async move {
            tokio::select! {
                () = work => {}
                _ = stop.wait_for(|stop| *stop) => {}
            }
        });
    }

    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let mut scope = self.scope.lock().unwrap_or_else(PoisonError::into_inner);
        while scope.try_join_next().is_some() {}
        scope.spawn(work);
    }
}
