//! One client connection, from its first byte to its last: what is counted and logged of it.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use base::Timestamp;
use core_routing::logs::ConnectionLine;

use super::{Counters, Metric};
use crate::arrival::Arrival;
use crate::log::LogKind;
use crate::tls;

/// A connection to a target; counted while it lives.
pub struct Active(Arc<Counters>);

impl Active {
    pub fn count(counters: Arc<Counters>) -> Active {
        counters.add(Metric::ActiveConnectionCount, 1);
        Active(counters)
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.subtract(Metric::ActiveConnectionCount, 1);
    }
}

/// Counts a client's connection as active for as long as it lives.
pub struct Open {
    counters: Arc<Counters>,
    /// How many of its worker are open.
    among: Rc<Cell<usize>>,
}

impl Open {
    /// `None`: there are `most` already, and one more would take from those what they need.
    pub fn count(counters: Arc<Counters>, among: &Rc<Cell<usize>>, most: usize) -> Option<Open> {
        if among.get() >= most {
            counters.add(Metric::RejectedConnectionCount, 1);
            return None;
        }
        among.set(among.get() + 1);
        counters.add(Metric::NewConnectionCount, 1);
        counters.add(Metric::ActiveConnectionCount, 1);
        Some(Open { counters, among: among.clone() })
    }

    /// The client and the listener did not come to terms.
    pub fn refused(&self) {
        self.counters.add(Metric::ClientTlsNegotiationErrorCount, 1);
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.counters.subtract(Metric::ActiveConnectionCount, 1);
        self.among.set(self.among.get() - 1);
    }
}

/// AWS: `TID_` and hexadecimal digits; ties the lines of access logs to that of their connection.
pub fn connection_id(id: u64) -> String {
    format!("TID_{id:016x}")
}

/// Writes a connection's line where connection logs are kept; `refused`: why there is none.
pub fn log_connection(
    arrival: &Arrival,
    facts: Option<&tls::Facts>,
    refused: Option<&tls::Refused>,
    at: Timestamp,
) {
    let here = arrival.table();
    let balancer = &here.served.balancer;
    let Some(destination) = &balancer.attributes.connection_log else { return };
    let status = refused.map_or(String::from("Success"), |refused| format!("Failed:{}", refused.code));
    let line = ConnectionLine {
        at,
        client: arrival.peer,
        port: arrival.port,
        tls_version: facts.map(|facts| facts.version).or(refused.map(|refused| refused.version)),
        tls_cipher: facts.map(|facts| facts.cipher).or(refused.map(|refused| refused.cipher)),
        handshake_for: facts.map(|facts| facts.took_for),
        status: &status,
        connection_id: &connection_id(arrival.id),
        key_exchange: facts.map(|facts| facts.key_exchange),
    };
    let write = |text: &mut String| line.write(text);
    arrival.worker.book.write(LogKind::Connection, balancer, destination, write);
}
