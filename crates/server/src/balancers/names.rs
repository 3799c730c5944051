//! Load balancers by their names, for the one port.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use core_routing::{Balancer, Protocol};
use gateway::Named;

/// What names lead to. Cheap to clone; clones are the same.
#[derive(Clone, Default)]
pub struct Book {
    entries: Arc<RwLock<HashMap<Arc<str>, Entry>>>,
}

struct Entry {
    arn: Arc<str>,
    /// In the order of ports.
    listeners: Vec<(u16, Protocol)>,
}

impl Entry {
    fn of(balancer: &Balancer) -> Entry {
        let mut listeners: Vec<_> =
            balancer.listeners.iter().map(|listener| (listener.port, listener.protocol)).collect();
        listeners.sort_by_key(|(port, _)| *port);
        Entry { arn: balancer.arn.clone(), listeners }
    }

    /// The listener that the bare name means: the protocol's own port, or else the first one.
    fn main(&self, protocol: Protocol) -> Option<u16> {
        let own = match protocol {
            Protocol::Http => 80,
            Protocol::Https => 443,
        };
        let mut speaking = self.listeners.iter().filter(|(_, other)| *other == protocol);
        let first = speaking.clone().next();
        speaking.find(|(port, _)| *port == own).or(first).map(|(port, _)| *port)
    }
}

impl Book {
    pub fn put(&self, balancer: &Balancer) {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|_, entry| entry.arn != balancer.arn);
        entries.insert(balancer.dns_name.clone(), Entry::of(balancer));
    }

    pub fn remove(&self, arn: &str) {
        self.entries.write().unwrap_or_else(PoisonError::into_inner).retain(|_, entry| &*entry.arn != arn);
    }

    /// The listener that `host` names: by the bare name, or as `p<port>.<name>`.
    pub fn find(&self, host: &str, is_tls: bool) -> Option<Named> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = entries.get(host) {
            let protocol = if is_tls { Protocol::Https } else { Protocol::Http };
            return Some(Named { balancer: entry.arn.clone(), port: entry.main(protocol) });
        }
        let (label, name) = host.split_once('.')?;
        let port: u16 = label.strip_prefix('p')?.parse().ok()?;
        let entry = entries.get(name)?;
        // In the clear any listener is reached: the one port is the operator's own way in.
        let fits = |protocol: Protocol| !is_tls || protocol == Protocol::Https;
        let found = entry.listeners.iter().find(|(other, protocol)| *other == port && fits(*protocol));
        Some(Named { balancer: entry.arn.clone(), port: found.map(|(port, _)| *port) })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::balancer;
    use super::*;

    #[test]
    fn a_name_means_the_main_listener_and_a_port_another() {
        let book = Book::default();
        book.put(&balancer("web", &[(8080, Protocol::Http), (80, Protocol::Http), (8443, Protocol::Https)]));
        let port = |host: &str, is_tls| book.find(host, is_tls).map(|named| named.port);
        assert_eq!(port("web.elb.localhost", false), Some(Some(80)));
        assert_eq!(port("web.elb.localhost", true), Some(Some(8443)));
        assert_eq!(port("p8080.web.elb.localhost", false), Some(Some(8080)));
        assert_eq!(port("p8443.web.elb.localhost", false), Some(Some(8443)));
        assert_eq!(port("p80.web.elb.localhost", true), Some(None));
        assert_eq!(port("p81.web.elb.localhost", false), Some(None));
        for nobodys in
            ["elb.localhost", "pweb.elb.localhost", "x80.web.elb.localhost", "p99999.web.elb.localhost"]
        {
            assert_eq!(port(nobodys, false), None, "{nobodys}");
        }
        book.put(&balancer("web", &[(8081, Protocol::Http)]));
        assert_eq!(port("web.elb.localhost", false), Some(Some(8081)));
        book.remove("web");
        assert_eq!(port("web.elb.localhost", false), None);
    }
}
