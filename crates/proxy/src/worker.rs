//! One worker: a thread with a runtime, listening sockets, connections and tables of its own.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use crate::sockets::Sockets;
use crate::table::Here;

/// What a worker's connections share. Never leaves its thread.
pub struct Worker {
    pub(crate) sockets: Arc<dyn Sockets>,
}

/// A balancer's place on a worker: where its newest table is.
pub struct Slot {
    table: RefCell<Rc<Here>>,
}

impl Slot {
    pub fn table(&self) -> Rc<Here> {
        self.table.borrow().clone()
    }
}
