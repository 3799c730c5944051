//! What is left of a container instance when its tasks have taken theirs.
//!
//! Invariant: a task that is let in leaves nothing below zero, shares no fixed port and no GPU with
//! another.

use std::collections::BTreeSet;

use core_lifecycle::Binding;

use super::room::Needs;
use crate::state::instance::Resources;

/// What one task holds of the instance that carries it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Taken {
    pub cpu: i64,
    pub memory: i64,
    pub tcp: BTreeSet<u16>,
    pub udp: BTreeSet<u16>,
    pub gpus: BTreeSet<String>,
}

/// What an instance still has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Room {
    pub cpu: i64,
    pub memory: i64,
    /// Ports that are taken or reserved.
    pub tcp: BTreeSet<u16>,
    pub udp: BTreeSet<u16>,
    /// Devices that are free, in the order in which they registered.
    pub gpus: Vec<String>,
}

impl Taken {
    /// What was reserved for it, with the devices that it was given and the ports that its host
    /// chose for it.
    pub fn of<'a>(
        needs: &Needs,
        gpus: impl IntoIterator<Item = &'a String>,
        bindings: impl IntoIterator<Item = &'a Binding>,
    ) -> Taken {
        let mut taken = Taken {
            cpu: needs.cpu,
            memory: needs.memory,
            tcp: needs.ports_tcp.iter().copied().collect(),
            udp: needs.ports_udp.iter().copied().collect(),
            gpus: gpus.into_iter().cloned().collect(),
        };
        for binding in bindings {
            let last = binding.last.map_or(binding.host_port, |(_, last)| last);
            taken.port(&binding.protocol, binding.host_port, last);
        }
        taken
    }

    fn port(&mut self, protocol: &str, first: u16, last: u16) {
        let ports = if protocol == "udp" { &mut self.udp } else { &mut self.tcp };
        ports.extend(first..=last);
    }
}

impl Room {
    /// Of an instance without tasks.
    pub fn of(registered: &Resources) -> Room {
        Room {
            cpu: registered.cpu,
            memory: registered.memory,
            tcp: registered.reserved_tcp.iter().copied().collect(),
            udp: registered.reserved_udp.iter().copied().collect(),
            gpus: registered.gpus.clone(),
        }
    }

    /// Less what a task holds.
    pub fn take(&mut self, taken: Taken) {
        self.cpu -= taken.cpu;
        self.memory -= taken.memory;
        self.tcp.extend(taken.tcp);
        self.udp.extend(taken.udp);
        self.gpus.retain(|gpu| !taken.gpus.contains(gpu));
    }

    /// AWS: the reason why a task that needs so much is not let in; none if it is.
    pub fn refusal(&self, needs: &Needs) -> Option<&'static str> {
        if needs.cpu > self.cpu {
            return Some("RESOURCE:CPU");
        }
        if needs.memory > self.memory {
            return Some("RESOURCE:MEMORY");
        }
        let is_taken = needs.ports_tcp.iter().any(|port| self.tcp.contains(port))
            || needs.ports_udp.iter().any(|port| self.udp.contains(port));
        if is_taken {
            return Some("RESOURCE:PORTS");
        }
        let gpus = usize::try_from(needs.gpus).unwrap_or(usize::MAX);
        (gpus > self.gpus.len()).then_some("RESOURCE:GPU")
    }
}

#[cfg(test)]
mod tests {
    use base::Chance;

    use super::*;

    fn resources() -> Resources {
        let reserved_tcp = vec![22, 2375, 2376, 51678, 51679];
        let gpus = vec![String::from("gpu-0"), String::from("gpu-1")];
        Resources { cpu: 2048, memory: 4096, reserved_tcp, reserved_udp: Vec::new(), gpus }
    }

    #[test]
    fn reasons() {
        let room = Room::of(&resources());
        let table: [(Needs, Option<&str>); 9] = [
            (Needs::default(), None),
            (Needs { cpu: 2048, memory: 4096, gpus: 2, ..Needs::default() }, None),
            (Needs { cpu: 2049, ..Needs::default() }, Some("RESOURCE:CPU")),
            (Needs { memory: 4097, ..Needs::default() }, Some("RESOURCE:MEMORY")),
            (Needs { cpu: 9999, memory: 9999, ..Needs::default() }, Some("RESOURCE:CPU")),
            (Needs { ports_tcp: vec![22], ..Needs::default() }, Some("RESOURCE:PORTS")),
            (Needs { ports_udp: vec![22], ..Needs::default() }, None),
            (Needs { ports_tcp: vec![80, 51678], ..Needs::default() }, Some("RESOURCE:PORTS")),
            (Needs { gpus: 3, ..Needs::default() }, Some("RESOURCE:GPU")),
        ];
        for (needs, reason) in table {
            assert_eq!(room.refusal(&needs), reason, "{needs:?}");
        }
    }

    #[test]
    fn ports_that_the_host_chose_are_taken() {
        let binding = |host_port, last| Binding {
            bind_ip: "0.0.0.0".into(),
            container_port: 80,
            host_port,
            protocol: "tcp".into(),
            last,
        };
        let chosen = [binding(32_768, None), binding(40_000, Some((82, 40_002)))];
        let needs = Needs { ports_tcp: vec![8080], ports_udp: vec![53], ..Needs::default() };
        let taken = Taken::of(&needs, [], &chosen);
        assert_eq!(taken.tcp.into_iter().collect::<Vec<_>>(), [8080, 32_768, 40_000, 40_001, 40_002]);
        assert_eq!(taken.udp.into_iter().collect::<Vec<_>>(), [53]);
    }

    /// Random arrivals and ends: whatever is let in fits, and everything comes back.
    #[test]
    fn never_over_committed() {
        for seed in 0..200 {
            let mut chance = Chance::new(seed);
            let mut tasks: Vec<(Needs, Vec<String>)> = Vec::new();
            let room = |tasks: &[(Needs, Vec<String>)]| {
                let mut room = Room::of(&resources());
                tasks.iter().for_each(|(needs, gpus)| room.take(Taken::of(needs, gpus, [])));
                room
            };
            for _ in 0..100 {
                if chance.below(3) == 0 && !tasks.is_empty() {
                    let gone = usize::try_from(chance.below(tasks.len() as u64)).unwrap();
                    tasks.swap_remove(gone);
                    continue;
                }
                let mut ports = |bound: u64| -> Vec<u16> {
                    (0..chance.below(bound)).map(|_| 20 + chance.below(6) as u16).collect()
                };
                let (ports_tcp, ports_udp) = (ports(3), ports(2));
                let needs = Needs {
                    cpu: chance.below(700) as i64,
                    memory: chance.below(1500) as i64,
                    ports_tcp,
                    ports_udp,
                    gpus: chance.below(2) as u32,
                    ..Needs::default()
                };
                let left = room(&tasks);
                if left.refusal(&needs).is_none() {
                    let gpus = left.gpus.iter().take(needs.gpus as usize).cloned().collect();
                    tasks.push((needs, gpus));
                }
                let left = room(&tasks);
                assert!(left.cpu >= 0 && left.memory >= 0, "seed {seed}: {left:?}");
                let taken: Vec<Taken> =
                    tasks.iter().map(|(needs, gpus)| Taken::of(needs, gpus, [])).collect();
                for (nth, one) in taken.iter().enumerate() {
                    assert!(!one.tcp.contains(&22), "seed {seed}");
                    for other in &taken[nth + 1..] {
                        assert!(one.tcp.is_disjoint(&other.tcp), "seed {seed}");
                        assert!(one.udp.is_disjoint(&other.udp), "seed {seed}");
                        assert!(one.gpus.is_disjoint(&other.gpus), "seed {seed}");
                    }
                }
            }
            assert_eq!(room(&[]), Room::of(&resources()));
        }
    }
}
