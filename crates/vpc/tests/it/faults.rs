//! Packets that vanish or are late, where and for whom a task asked for it.

use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, UdpSocket};
use std::path::Path;
use std::time::Duration;

use core_addresses::Cidr;
use vpc::{
    BlackHole, BridgedSpec, Direction, Fault, FaultKind, FaultPlace, PLATFORM, Transport, VpcError, Vpcs,
    can_delay,
};

use crate::network::{Bench, check, greet, inside, is_closed, is_open, key, serve_once};

const THERE: Ipv4Addr = Ipv4Addr::new(172, 31, 0, 6);
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(172, 31, 0, 7);

fn at(last: u8) -> FaultPlace {
    FaultPlace::Interface(format!("eni-one{last:03}"))
}

fn hole(transport: Transport, port: u16, direction: Direction) -> BlackHole {
    BlackHole { transport, port, direction }
}

fn only(address: Ipv4Addr) -> Vec<Cidr> {
    vec![Cidr::new(address, 32)]
}

fn start(bench: &Bench, vpcs: &Vpcs, place: FaultPlace, fault: &Fault) {
    bench.wait(vpcs.start_fault(place.clone(), fault.clone())).unwrap();
    assert!(bench.wait(vpcs.is_fault_running(place, fault.kind())).unwrap(), "{fault:?}");
}

fn stop(bench: &Bench, vpcs: &Vpcs, place: FaultPlace, kind: FaultKind) {
    bench.wait(vpcs.stop_fault(place.clone(), kind)).unwrap();
    bench.wait(vpcs.stop_fault(place.clone(), kind)).unwrap();
    assert!(!bench.wait(vpcs.is_fault_running(place, kind)).unwrap());
}

/// How many of `count` datagrams arrive. Sending them never fails.
fn arrive(from: &Path, server: &UdpSocket, count: u8) -> usize {
    let target = server.local_addr().unwrap();
    inside(from, || {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        for number in 0..count {
            socket.send_to(&[number], target).unwrap();
        }
    });
    // Packets of one sender pass in order and at once: what has not come is lost.
    server.set_nonblocking(true).unwrap();
    let mut buffer = [0; 4];
    std::iter::from_fn(|| server.recv(&mut buffer).ok()).count()
}

#[test]
fn a_black_hole_swallows_one_port_in_one_direction() {
    check(|bench| {
        let vpcs = bench.open();
        bench.ensure(&vpcs, "one", false);
        let [a, b, c] = [5, 6, 7].map(|last| bench.attach(&vpcs, "one", last));
        let listen = |port: u16| inside(&b.netns, || TcpListener::bind(("0.0.0.0", port)).unwrap());
        let (_web, _other) = (listen(80), listen(81));
        let reaches = |from: &Path, port| inside(from, || is_open(THERE, port));
        let misses = |from: &Path, port| inside(from, || is_closed(THERE, port));
        let kind = |hole| FaultKind::BlackHole(hole);

        let incoming = hole(Transport::Tcp, 80, Direction::Ingress);
        start(bench, &vpcs, at(6), &Fault::BlackHole { hole: incoming, spared: only(ELSEWHERE) });
        assert!(misses(&a.netns, 80) && reaches(&a.netns, 81) && reaches(&c.netns, 80));
        // As on AWS, its own loopback is no way around.
        assert!(misses(&b.netns, 80));
        let other = hole(Transport::Udp, 80, Direction::Ingress);
        assert!(!bench.wait(vpcs.is_fault_running(at(6), kind(other))).unwrap());
        assert!(!bench.wait(vpcs.is_fault_running(at(5), kind(incoming))).unwrap());
        stop(bench, &vpcs, at(6), kind(incoming));
        assert!(reaches(&a.netns, 80));

        let outgoing = hole(Transport::Tcp, 80, Direction::Egress);
        start(bench, &vpcs, at(5), &Fault::BlackHole { hole: outgoing, spared: Vec::new() });
        assert!(misses(&a.netns, 80) && reaches(&a.netns, 81) && reaches(&c.netns, 80));
        // Who asked can still ask for its end.
        let listener = bench.wait(vpcs.listen(&key("one"), SocketAddrV4::new(PLATFORM, 80))).unwrap();
        listener.set_nonblocking(false).unwrap();
        let server = serve_once(listener);
        assert_eq!(inside(&a.netns, || greet(PLATFORM, 80)), "172.31.0.5");
        server.join().unwrap();
        bench.wait(vpcs.down()).unwrap();
    });
}

#[test]
fn packets_are_lost_without_their_sender_knowing() {
    check(|bench| {
        let vpcs = bench.open();
        bench.ensure(&vpcs, "one", false);
        let [a, b, c] = [5, 6, 7].map(|last| bench.attach(&vpcs, "one", last));
        let bind = |netns: &Path, address| inside(netns, || UdpSocket::bind((address, 53)).unwrap());
        let (there, elsewhere) = (bind(&b.netns, THERE), bind(&c.netns, ELSEWHERE));
        assert_eq!(arrive(&a.netns, &there, 200), 200);
        let everywhere = vec![Cidr::new(Ipv4Addr::UNSPECIFIED, 0), Cidr::new(THERE, 16)];
        let lose = |percent| Fault::Loss { percent, sources: everywhere.clone(), spared: only(ELSEWHERE) };

        start(bench, &vpcs, at(5), &lose(50));
        // Five standard deviations around a half; were overlapping ranges drawn for twice, it
        // would be a quarter.
        let half = arrive(&a.netns, &there, 200);
        assert!((65..=135).contains(&half), "{half}");
        assert_eq!(arrive(&a.netns, &elsewhere, 200), 200);
        // Another task's packets are its own.
        assert_eq!(arrive(&c.netns, &there, 200), 200);
        start(bench, &vpcs, at(5), &lose(100));
        assert_eq!(arrive(&a.netns, &there, 200), 0);

        // The kernel goes on without us, and a restart knows.
        drop(vpcs);
        let vpcs = bench.open();
        assert!(bench.wait(vpcs.is_fault_running(at(5), FaultKind::Loss)).unwrap());
        // The fault goes with the interface: its successor has none.
        bench.wait(vpcs.detach("eni-one005")).unwrap();
        let a = bench.attach(&vpcs, "one", 5);
        assert!(!bench.wait(vpcs.is_fault_running(at(5), FaultKind::Loss)).unwrap());
        assert_eq!(arrive(&a.netns, &there, 200), 200);
        start(bench, &vpcs, at(5), &lose(100));
        stop(bench, &vpcs, at(5), FaultKind::Loss);
        assert_eq!(arrive(&a.netns, &there, 200), 200);
        bench.wait(vpcs.down()).unwrap();
    });
}

#[test]
fn latency_is_made_or_refused_by_name() {
    check(|bench| {
        let vpcs = bench.open();
        bench.ensure(&vpcs, "one", false);
        let [a, b, c] = [5, 6, 7].map(|last| bench.attach(&vpcs, "one", last));
        let (delay, jitter) = (Duration::from_secs(2), Duration::ZERO);
        let late = Fault::Latency { delay, jitter, sources: only(THERE), spared: Vec::new() };
        let started = bench.wait(vpcs.start_fault(at(5), late.clone()));
        if can_delay().unwrap() {
            started.unwrap();
            let server = inside(&b.netns, || UdpSocket::bind((THERE, 53)).unwrap());
            let other = inside(&a.netns, || UdpSocket::bind(("172.31.0.5", 53)).unwrap());
            assert_eq!(arrive(&a.netns, &server, 1), 0, "it comes later");
            // Neither others' packets nor those for others wait behind it.
            assert_eq!(arrive(&b.netns, &other, 1), 1);
            let third = inside(&c.netns, || UdpSocket::bind((ELSEWHERE, 53)).unwrap());
            assert_eq!(arrive(&a.netns, &third, 1), 1);
            server.set_nonblocking(false).unwrap();
            server.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            assert_eq!(server.recv(&mut [0; 4]).unwrap(), 1, "it is late, not lost");
            stop(bench, &vpcs, at(5), FaultKind::Latency);
        } else {
            let error = started.unwrap_err();
            assert!(matches!(error, VpcError::Unsupported(why) if why.contains("sch_netem")), "{error}");
            assert!(!error.is_retryable());
        }
        assert!(!bench.wait(vpcs.is_fault_running(at(5), FaultKind::Latency)).unwrap());
        // Nothing of the attempt is left.
        let server = inside(&b.netns, || UdpSocket::bind((THERE, 54)).unwrap());
        assert_eq!(arrive(&a.netns, &server, 100), 100);
        let unknown = bench.wait(vpcs.start_fault(at(9), late));
        assert!(matches!(unknown, Err(VpcError::UnknownInterface(_))), "{unknown:?}");
        bench.wait(vpcs.down()).unwrap();
    });
}

#[test]
fn faults_of_the_host_go_with_their_task() {
    check(|bench| {
        let vpcs = bench.open();
        let _web = TcpListener::bind("127.0.0.1:80").unwrap();
        let place = |task: &str| FaultPlace::Host { task: task.into() };
        let incoming = hole(Transport::Tcp, 80, Direction::Ingress);
        let fault = Fault::BlackHole { hole: incoming, spared: Vec::new() };
        assert!(is_open(Ipv4Addr::LOCALHOST, 80));
        start(bench, &vpcs, place("task-a"), &fault);
        start(bench, &vpcs, place("task-b"), &fault);
        assert!(is_closed(Ipv4Addr::LOCALHOST, 80));
        bench.wait(vpcs.leave_host("task-a")).unwrap();
        assert!(is_closed(Ipv4Addr::LOCALHOST, 80));
        bench.wait(vpcs.leave_host("task-b")).unwrap();
        assert!(is_open(Ipv4Addr::LOCALHOST, 80));
        start(bench, &vpcs, place("task-c"), &fault);
        bench.wait(vpcs.down()).unwrap();
        assert!(is_open(Ipv4Addr::LOCALHOST, 80));
        let vpcs = bench.open();
        assert!(bench.wait(vpcs.inventory()).unwrap().is_empty());
        bench.wait(vpcs.down()).unwrap();
    });
}

#[test]
fn what_tasks_that_nobody_knows_have_left_goes() {
    check(|bench| {
        let vpcs = bench.open();
        bench.ensure(&vpcs, "one", false);
        bench.attach(&vpcs, "one", 5);
        bench.attach(&vpcs, "one", 6);
        let incoming = hole(Transport::Tcp, 80, Direction::Ingress);
        let fault = Fault::BlackHole { hole: incoming, spared: Vec::new() };
        for task in ["known", "lost"] {
            let spec = BridgedSpec { task: task.into(), container: "web".into(), ports: Vec::new() };
            bench.wait(vpcs.attach_bridged(spec)).unwrap();
            start(bench, &vpcs, FaultPlace::Host { task: task.into() }, &fault);
        }
        drop(vpcs);
        let vpcs = bench.open();
        let known = ["known", "task-one-5"].map(String::from);
        bench.wait(vpcs.retain_tasks(known.into())).unwrap();
        let left = bench.wait(vpcs.inventory()).unwrap();
        // The kernel is slower with links than with names.
        let has = |name: &str| left.namespaces.iter().any(|file| file == name);
        assert!(has("task-one-5") && !has("task-one-6"), "{left:?}");
        assert_eq!(left.bridged.iter().map(|(task, _)| task.as_str()).collect::<Vec<_>>(), ["known"]);
        let runs = |task: &str| {
            let place = FaultPlace::Host { task: task.into() };
            bench.wait(vpcs.is_fault_running(place, fault.kind())).unwrap()
        };
        assert!(runs("known") && !runs("lost"));
        bench.wait(vpcs.down()).unwrap();
    });
}
