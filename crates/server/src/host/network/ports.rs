//! From port mappings to ports of the host, and to what is reported of them.

use std::collections::BTreeMap;

use core_lifecycle::{Assignment, Binding, PortMapping};
use vpc::{DYNAMIC_PORTS, Publish, Transport};

/// Ports in a row that belong together: one mapping, or all of a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    pub publish: Publish,
    /// Reported as a range, even where it is one port long.
    is_range: bool,
}

impl Published {
    pub fn given(self, host_port: u16) -> Self {
        Published { publish: Publish { host_port, ..self.publish }, ..self }
    }
}

/// What is to be published of a container on the bridge.
pub fn on_bridge(mappings: &[PortMapping]) -> Vec<Published> {
    let mut found: Vec<Published> = Vec::new();
    let mut seen = Vec::new();
    for mapping in mappings {
        let transport = if mapping.protocol == "udp" { Transport::Udp } else { Transport::Tcp };
        let (first, count) = match mapping.range {
            Some(range) if seen.contains(&(range.first, transport)) => continue,
            Some(range) => {
                seen.push((range.first, transport));
                (range.first, range.last.saturating_sub(range.first).saturating_add(1))
            }
            None => (mapping.container_port, 1),
        };
        let publish = Publish { transport, container_port: first, host_port: mapping.host_port, count };
        found.push(Published { publish, is_range: mapping.range.is_some() });
    }
    found
}

/// In mode `host` a container's port is the host's.
pub fn on_host(mappings: &[PortMapping]) -> Vec<Published> {
    on_bridge(mappings).into_iter().map(|one| one.given(one.publish.container_port)).collect()
}

pub fn bindings(published: &[Published]) -> Vec<Binding> {
    let binding = |one: &Published| {
        let Publish { transport, container_port, host_port, count } = one.publish;
        let last = |first: u16| first.saturating_add(count - 1);
        Binding {
            bind_ip: "0.0.0.0".to_owned(),
            container_port,
            host_port,
            protocol: match transport {
                Transport::Tcp => "tcp".to_owned(),
                Transport::Udp => "udp".to_owned(),
            },
            last: one.is_range.then(|| (last(container_port), last(host_port))),
        }
    };
    published.iter().map(binding).collect()
}

/// Bindings of a task that only pretends to run; dynamic ports are derived from its id.
pub fn simulated(task: &Assignment) -> BTreeMap<String, Vec<Binding>> {
    let mut chance = base::Chance::new(0).split(&task.task_id);
    let mut choose = |one: Published| match (task.network_mode, one.publish.host_port) {
        (core_lifecycle::NetworkMode::Host, _) => one.given(one.publish.container_port),
        (_, 0) => {
            let room = (DYNAMIC_PORTS.len() as u64).saturating_sub(u64::from(one.publish.count));
            one.given(DYNAMIC_PORTS.start() + chance.below(room) as u16)
        }
        _ => one,
    };
    let of = |one: &core_lifecycle::ContainerSpec| {
        let chosen: Vec<_> = on_bridge(&one.ports).into_iter().map(&mut choose).collect();
        (one.name.clone(), bindings(&chosen))
    };
    task.containers.iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use core_lifecycle::PortRange;

    use super::*;

    fn mapping(container_port: u16, host_port: u16, range: Option<(u16, u16)>) -> PortMapping {
        let range = range.map(|(first, last)| PortRange { first, last });
        PortMapping { container_port, host_port, protocol: "tcp".to_owned(), range }
    }

    #[test]
    fn a_range_is_published_in_a_row_and_reported_as_one() {
        let mappings = [
            mapping(80, 8080, None),
            mapping(90, 0, Some((90, 92))),
            mapping(91, 0, Some((90, 92))),
            mapping(92, 0, Some((90, 92))),
        ];
        let found = on_bridge(&mappings);
        let shape = |one: &Published| (one.publish.container_port, one.publish.host_port, one.publish.count);
        assert_eq!(found.iter().map(shape).collect::<Vec<_>>(), [(80, 8080, 1), (90, 0, 3)]);
        let reported = bindings(&[found[0], found[1].given(40_000)]);
        assert_eq!((reported[0].host_port, reported[0].last), (8080, None));
        assert_eq!((reported[1].host_port, reported[1].last), (40_000, Some((92, 40_002))));
    }

    #[test]
    fn on_the_host_ports_are_what_they_are() {
        let found = bindings(&on_host(&[mapping(80, 0, None), mapping(53, 53, None)]));
        let ports: Vec<_> = found.iter().map(|one| (one.container_port, one.host_port)).collect();
        assert_eq!(ports, [(80, 80), (53, 53)]);
    }
}
