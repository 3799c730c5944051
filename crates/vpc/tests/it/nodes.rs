//! Balancers' addresses, and the host's own, inside a VPC.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::time::Duration;

use core_security::Traffic;
use vpc::{AddressSpec, BridgedSpec, HostRoute, Publish, Transport, VpcError, Vpcs};

use crate::groups::{address, attach_in, group, is_shut, range, reaches, serve, serve_in, tell};
use crate::network::{Bench, check, greet, inside, is_closed, key, outside_world};

fn node(vpc: &str, last: u8, groups: &[&str]) -> AddressSpec {
    let security_groups = groups.iter().map(|group| (*group).to_owned()).collect();
    AddressSpec { vpc: key(vpc), address: address(last), security_groups }
}

/// Connects a socket that was dialed, and answers what the server says. Waits where packets vanish.
fn connect(socket: OwnedFd, target: SocketAddrV4) -> Option<String> {
    connect_within(socket, target, Duration::from_secs(10))
}

fn connect_within(socket: OwnedFd, target: SocketAddrV4, patience: Duration) -> Option<String> {
    let stream = TcpStream::from(socket);
    stream.set_nonblocking(false).unwrap();
    let send = rustix::net::sockopt::Timeout::Send;
    rustix::net::sockopt::set_socket_timeout(&stream, send, Some(patience)).unwrap();
    rustix::net::connect(&stream, &target).ok()?;
    let (mut stream, mut text) = (stream, String::new());
    stream.read_to_string(&mut text).unwrap();
    Some(text)
}

fn listen(bench: &Bench, vpcs: &Vpcs, vpc: &str, last: u8, port: u16) -> Vec<TcpListener> {
    let listeners =
        bench.wait(vpcs.listen_many(&key(vpc), SocketAddrV4::new(address(last), port), 2)).unwrap();
    listeners.iter().for_each(|listener| listener.set_nonblocking(false).unwrap());
    listeners
}

#[test]
fn tasks_reach_a_balancer_and_the_balancer_reaches_tasks() {
    check(|bench| {
        let vpcs = bench.open();
        bench.ensure(&vpcs, "one", true);
        let task = bench.attach(&vpcs, "one", 5);
        serve_in(&task, 8080);
        assert!(matches!(vpcs.dial(&key("two"), address(9)), Err(VpcError::UnknownVpc(_))));
        assert!(matches!(vpcs.dial(&key("one"), address(9)), Err(VpcError::Kernel { .. })));
        for _ in 0..2 {
            bench.wait(vpcs.hold(node("one", 9, &[]))).unwrap();
        }
        listen(bench, &vpcs, "one", 9, 80).into_iter().for_each(serve);
        for _ in 0..8 {
            assert_eq!(inside(&task.netns, || greet(address(9), 80)), "172.31.0.5");
        }
        assert_eq!(greet(address(9), 80), "169.254.64.0");
        // More than are made ahead.
        for _ in 0..80 {
            let socket = vpcs.dial(&key("one"), address(9)).unwrap();
            assert_eq!(connect(socket, SocketAddrV4::new(address(5), 8080)).as_deref(), Some("172.31.0.9"));
        }
        bench.wait(vpcs.release(&key("one"), address(9))).unwrap();
        assert!(inside(&task.netns, || is_closed(address(9), 80)));
        bench.wait(vpcs.down()).unwrap();
    });
}

#[test]
fn ended_connections_hold_neither_ports_nor_memory_for_long() {
    check(|bench| {
        let vpcs = bench.open();
        bench.ensure(&vpcs, "one", false);
        let vpc = bench.run_dir.join("netns/vpc@000000000000@us-east-1@one");
        let set = inside(&vpc, || {
            ["ipv4/tcp_tw_reuse", "netfilter/nf_conntrack_tcp_timeout_time_wait"]
                .map(|name| std::fs::read_to_string(format!("/proc/sys/net/{name}")).unwrap())
        });
        assert_eq!(set, ["1\n", "10\n"]);
        bench.wait(vpcs.down()).unwrap();
    });
}

#[test]
fn nodes_are_found_again_and_swept() {
    check(|bench| {
        let vpcs = bench.open();
        bench.ensure(&vpcs, "one", false);
        for last in [8, 9] {
            bench.wait(vpcs.hold(node("one", last, &["sg-lb"]))).unwrap();
        }
        let before = bench.wait(vpcs.inventory()).unwrap();
        assert_eq!(before.nodes, [(key("one"), address(8)), (key("one"), address(9))]);
        drop(vpcs);
        let vpcs = bench.open();
        assert_eq!(bench.wait(vpcs.inventory()).unwrap(), before);
        bench.wait(vpcs.hold(node("one", 9, &["sg-lb"]))).unwrap();
        let wanted = BTreeSet::from([(key("one"), address(9))]);
        assert_eq!(bench.wait(vpcs.retain_held(wanted)).unwrap(), [(key("one"), address(8))]);
        assert!(vpcs.dial(&key("one"), address(9)).is_ok() && vpcs.dial(&key("one"), address(8)).is_err());
        // The address goes to a task, and back.
        let task = bench.attach(&vpcs, "one", 9);
        assert_eq!(bench.wait(vpcs.inventory()).unwrap().nodes, []);
        bench.wait(vpcs.hold(node("one", 9, &[]))).unwrap();
        assert!(!task.netns.exists());
        let resolver = node("one", 0, &[]);
        let resolver = AddressSpec { address: Ipv4Addr::new(172, 31, 0, 2), ..resolver };
        assert!(matches!(bench.wait(vpcs.hold(resolver)), Err(VpcError::Conflict(_))));
        bench.wait(vpcs.down()).unwrap();
    });
}

#[test]
fn a_balancer_is_filtered_by_its_groups_both_ways() {
    check(|bench| {
        let vpcs = bench.open();
        bench.ensure(&vpcs, "one", false);
        let mut groups = [
            group("sg-lb", &[range(Traffic::Tcp(80, 80), "172.31.0.5/32")]),
            group(
                "sg-task",
                &[core_security::Rule {
                    traffic: Traffic::Tcp(8080, 8080),
                    peer: core_security::Peer::Group("sg-lb".into()),
                }],
            ),
        ];
        tell(bench, &vpcs, &groups, &[]);
        bench.wait(vpcs.hold(node("one", 9, &["sg-lb"]))).unwrap();
        let (a, b) = (attach_in(bench, &vpcs, 5, &["sg-task"]), attach_in(bench, &vpcs, 6, &["sg-task"]));
        for port in [80, 81] {
            listen(bench, &vpcs, "one", 9, port).into_iter().for_each(serve);
        }
        [8080, 8081].into_iter().for_each(|port| serve_in(&a, port));
        assert!(reaches(&a, 9, 80) && is_shut(&a, 9, 81) && is_shut(&b, 9, 80));
        assert!(is_shut(&b, 5, 8080), "only the balancer may");
        let dial = |port, patience| {
            let socket = vpcs.dial(&key("one"), address(9)).unwrap();
            connect_within(socket, SocketAddrV4::new(address(5), port), patience)
        };
        let (long, short) = (Duration::from_secs(10), Duration::from_millis(300));
        assert_eq!(dial(8080, long).as_deref(), Some("172.31.0.9"));
        assert_eq!(dial(8081, short), None);
        groups[0].egress.clear();
        tell(bench, &vpcs, &groups, &[]);
        assert_eq!(dial(8080, short), None);
        assert!(reaches(&a, 9, 80), "answers pass");
        bench.wait(vpcs.down()).unwrap();
    });
}

#[test]
fn balancers_of_equal_ranges_stand_side_by_side() {
    check(|bench| {
        let outside = outside_world(bench);
        serve(inside(&outside, || TcpListener::bind("0.0.0.0:80").unwrap()));
        let vpcs = bench.open();
        for vpc in ["one", "two"] {
            assert_eq!(bench.ensure(&vpcs, vpc, false), HostRoute::NotWanted);
            bench.wait(vpcs.hold(node(vpc, 9, &[]))).unwrap();
            let task = bench.attach(&vpcs, vpc, 5);
            let listener = inside(&task.netns, || TcpListener::bind("0.0.0.0:8080").unwrap());
            std::thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                stream.write_all(vpc.as_bytes()).unwrap();
            });
        }
        for vpc in ["one", "two"] {
            let dial = |target| connect(vpcs.dial(&key(vpc), address(9)).unwrap(), target);
            assert_eq!(dial(SocketAddrV4::new(address(5), 8080)).as_deref(), Some(vpc));
            // A target outside of the VPC.
            let there = SocketAddrV4::new(Ipv4Addr::new(198, 51, 100, 2), 80);
            assert_eq!(dial(there).as_deref(), Some("198.51.100.1"));
        }
        bench.wait(vpcs.down()).unwrap();
    });
}

#[test]
fn the_host_stands_in_a_vpc_with_its_published_ports() {
    check(|bench| {
        for on_host in [true, false] {
            let vpcs = bench.open();
            bench.ensure(&vpcs, "one", on_host);
            let (a, b) = (attach_in(bench, &vpcs, 5, &["sg-a"]), attach_in(bench, &vpcs, 6, &["sg-b"]));
            let publish = Publish { transport: Transport::Tcp, container_port: 80, host_port: 0, count: 1 };
            let spec = BridgedSpec { task: "task-b".into(), container: "web".into(), ports: vec![publish] };
            let bridged = bench.wait(vpcs.attach_bridged(spec)).unwrap();
            serve(inside(&bridged.netns, || TcpListener::bind("0.0.0.0:80").unwrap()));
            let published = bridged.ports[0].host_port;
            let rules =
                [range(Traffic::Tcp(0, u16::MAX), "172.31.0.5/32"), range(Traffic::All, "172.31.0.9/32")];
            tell(bench, &vpcs, &[group("sg-host", &rules), group("sg-a", &[]), group("sg-b", &[])], &[]);
            bench.wait(vpcs.hold(node("one", 9, &[]))).unwrap();
            bench.wait(vpcs.host_address(node("one", 10, &["sg-host"]))).unwrap();
            let on_all = TcpListener::bind("0.0.0.0:0").unwrap();
            let port = on_all.local_addr().unwrap().port();
            serve(on_all);
            // With a route back the host sees who asks.
            let seen = if on_host { "172.31.0.5" } else { "169.254.64.1" };
            assert_eq!(inside(&a.netns, || greet(address(10), port)), seen);
            assert!(reaches(&a, 10, published));
            assert!(is_shut(&b, 10, port) && is_shut(&b, 10, published), "its groups filter");
            let dial = |port| {
                let socket = vpcs.dial(&key("one"), address(9)).unwrap();
                connect(socket, SocketAddrV4::new(address(10), port))
            };
            assert!(dial(port).is_some() && dial(published).is_some());
            assert_eq!(greet(address(10), port), "172.31.0.10");
            assert!(crate::network::is_open(address(10), published));

            drop(vpcs);
            let vpcs = bench.open();
            let route = bench.ensure(&vpcs, "one", on_host);
            assert_eq!(route, if on_host { HostRoute::Present } else { HostRoute::NotWanted });
            assert!(reaches(&a, 10, port) && reaches(&a, 10, published) && is_shut(&b, 10, port));
            bench.wait(vpcs.no_host_address(&key("one"))).unwrap();
            assert!(is_shut(&a, 10, port));
            bench.wait(vpcs.down()).unwrap();
        }
    });
}

#[test]
fn containers_of_the_instance_are_filtered_as_the_instance() {
    check(|bench| {
        let vpcs = bench.open();
        bench.ensure(&vpcs, "one", true);
        let rules = [range(Traffic::Tcp(80, 80), "172.31.0.10/32")];
        tell(bench, &vpcs, &[group("sg-a", &rules), group("sg-b", &[]), group("sg-host", &[])], &[]);
        let (a, b) = (attach_in(bench, &vpcs, 5, &["sg-a"]), attach_in(bench, &vpcs, 6, &["sg-b"]));
        [&a, &b].into_iter().for_each(|task| serve_in(task, 80));
        let spec = BridgedSpec { task: "task-b".into(), container: "web".into(), ports: Vec::new() };
        let bridged = bench.wait(vpcs.attach_bridged(spec)).unwrap();
        // Without an instance they are the host's, as the operator is.
        assert_eq!(inside(&bridged.netns, || greet(address(6), 80)), "169.254.64.0");
        bench.wait(vpcs.host_address(node("one", 10, &["sg-host"]))).unwrap();
        assert_eq!(inside(&bridged.netns, || greet(address(5), 80)), "172.31.0.10");
        assert!(inside(&bridged.netns, || is_closed(address(6), 80)));
        assert_eq!(greet(address(6), 80), "169.254.64.0");
        drop(vpcs);
        let vpcs = bench.open();
        assert_eq!(inside(&bridged.netns, || greet(address(5), 80)), "172.31.0.10");
        bench.wait(vpcs.down()).unwrap();
    });
}
