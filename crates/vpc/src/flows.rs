//! Connections of addresses that are gone, forgotten aside: the kernel is asked for all that it
//! follows, which takes tens of milliseconds, so that many addresses are better done at once.
//!
//! Invariant: whoever gets an address waits until its predecessor's connections are forgotten.

use std::collections::BTreeMap;
use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use crate::VpcKey;
use crate::namespace::Namespace;
use crate::net::conntrack;

/// By VPC, its namespace and the addresses that are gone.
type Gone = BTreeMap<VpcKey, (Namespace, Vec<Ipv4Addr>)>;

#[derive(Default)]
struct State {
    due: Gone,
    doing: Vec<(VpcKey, Ipv4Addr)>,
    is_over: bool,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    /// What is due by now; `None` once nothing will be.
    fn next(&self) -> Option<Gone> {
        let mut state = self.state();
        while state.due.is_empty() {
            if state.is_over {
                return None;
            }
            state = self.wait(state);
        }
        let due = std::mem::take(&mut state.due);
        let of = |(key, (_, gone)): (&VpcKey, &(Namespace, Vec<Ipv4Addr>))| {
            let key = key.clone();
            gone.iter().map(move |address| (key.clone(), *address)).collect::<Vec<_>>()
        };
        state.doing = due.iter().flat_map(of).collect();
        Some(due)
    }

    fn run(&self) {
        while let Some(due) = self.next() {
            for (key, (namespace, gone)) in due {
                if let Err(error) = namespace.enter(|| conntrack::forget_addresses(&gone)) {
                    // The addresses are gone all the same.
                    tracing::warn!(vpc = %key, %error, "connections of addresses that are gone are still followed");
                }
            }
            self.state().doing.clear();
            self.changed.notify_all();
        }
    }
}

/// Forgets on a thread of its own. Dropping it waits until all is done.
pub struct Flows {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Flows {
    pub fn start() -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let own = shared.clone();
        let thread = thread::Builder::new().name("vpc-flows".into()).spawn(move || own.run())?;
        Ok(Flows { shared, thread: Some(thread) })
    }

    /// Nothing that an address had under way is known to who has it next. To be called once it is
    /// unreachable.
    pub fn forget(&self, key: &VpcKey, namespace: &Namespace, address: Ipv4Addr) -> io::Result<()> {
        let mut state = self.shared.state();
        match state.due.get_mut(key) {
            Some((_, gone)) => gone.push(address),
            None => drop(state.due.insert(key.clone(), (namespace.share()?, vec![address]))),
        }
        self.shared.changed.notify_all();
        Ok(())
    }

    /// Waits until nothing is known of who had this address before.
    pub fn settle(&self, key: &VpcKey, address: Ipv4Addr) {
        let is_busy = |state: &State| {
            state.due.get(key).is_some_and(|(_, gone)| gone.contains(&address))
                || state.doing.iter().any(|(of, other)| of == key && *other == address)
        };
        let mut state = self.shared.state();
        while is_busy(&state) {
            state = self.shared.wait(state);
        }
    }
}

impl Drop for Flows {
    fn drop(&mut self) {
        self.shared.state().is_over = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
