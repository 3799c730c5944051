//! The host's bridge: addresses, published ports, recovery and removal.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::time::Duration;

use vpc::{
    Bridged, BridgedSpec, DYNAMIC_PORTS, Hears, InterfaceSpec, PLATFORM, Publish, Transport, VpcError, Vpcs,
};

use crate::network::{Bench, check, greet, inside, interface, is_closed, outside_world, serve_once};

const LOCALHOST: Ipv4Addr = Ipv4Addr::LOCALHOST;

fn publish(container_port: u16, host_port: u16) -> Publish {
    Publish { transport: Transport::Tcp, container_port, host_port, count: 1 }
}

fn spec(task: &str, container: &str, ports: &[Publish]) -> BridgedSpec {
    BridgedSpec { task: task.into(), container: container.into(), ports: ports.to_vec() }
}

fn attach(bench: &Bench, vpcs: &Vpcs, task: &str, ports: &[Publish]) -> Bridged {
    bench.wait(vpcs.attach_bridged(spec(task, "web", ports))).unwrap()
}

fn listen(container: &Bridged, port: u16) -> TcpListener {
    inside(&container.netns, || TcpListener::bind(("0.0.0.0", port)).unwrap())
}

/// What a server that was asked by `ask` saw as its client.
fn seen(container: &Bridged, port: u16, ask: impl FnOnce() -> String) -> String {
    let server = serve_once(listen(container, port));
    let greeting = ask();
    server.join().unwrap();
    greeting
}

fn sh(script: &str) {
    assert!(Command::new("sh").args(["-ec", script]).status().unwrap().success(), "{script}");
}

/// The machine's own address, where it has one: as that of a network card.
fn with_card(address: &str) {
    sh(&format!(
        "ip link add card0 type bridge && ip addr add {address}/24 dev card0 && ip link set card0 up"
    ));
}

#[test]
fn containers_have_addresses_of_their_own_and_reach_each_other_and_the_outside() {
    check(|bench| {
        let outside = outside_world(bench);
        let vpcs = bench.open();
        let bridge = bench.wait(vpcs.ensure_bridge()).unwrap();
        assert_eq!((bridge.name.as_str(), bridge.subnet.to_string().as_str()), ("boxship0", "172.17.0.0/16"));
        assert!(bridge.is_new && !bench.wait(vpcs.ensure_bridge()).unwrap().is_new);
        let (a, b) = (attach(bench, &vpcs, "task-a", &[]), attach(bench, &vpcs, "task-b", &[]));
        assert_eq!(
            (a.address.to_string(), b.address.to_string()),
            ("172.17.0.2".into(), "172.17.0.3".into())
        );
        assert_eq!(seen(&b, 80, || inside(&a.netns, || greet(b.address, 80))), "172.17.0.2");
        // The host itself, by the address.
        assert_eq!(seen(&b, 80, || greet(b.address, 80)), "172.17.0.1");
        let there = Ipv4Addr::new(198, 51, 100, 2);
        let server = serve_once(inside(&outside, || TcpListener::bind("0.0.0.0:80").unwrap()));
        assert_eq!(inside(&a.netns, || greet(there, 80)), "198.51.100.1");
        server.join().unwrap();
        // Neighbors of the machine do not reach containers, though the machine forwards.
        let _listening = listen(&b, 80);
        inside(&outside, || {
            sh("ip route add 172.17.0.0/16 via 198.51.100.1");
            assert!(is_closed(b.address, 80));
        });
        bench.wait(vpcs.down()).unwrap();
    });
}

#[test]
fn what_listens_on_the_hosts_loopback_is_not_for_containers() {
    check(|bench| {
        let vpcs = bench.open();
        let a = attach(bench, &vpcs, "task-a", &[]);
        let _private = TcpListener::bind("127.0.0.1:80").unwrap();
        let server = serve_once(TcpListener::bind("172.17.0.1:81").unwrap());
        inside(&a.netns, || {
            // Their own loopback.
            assert!(is_closed(LOCALHOST, 80));
            // What is open to them; it makes the bridge's hardware address known.
            assert_eq!(greet(Ipv4Addr::new(172, 17, 0, 1), 81), "172.17.0.2");
            // Loopback addresses as if they lay beyond the bridge.
            sh("echo 1 > /proc/sys/net/ipv4/conf/eth0/route_localnet && ip addr flush dev lo && \
                ip neigh replace 172.17.0.1 dev eth0 nud permanent \
                  lladdr $(ip neigh show 172.17.0.1 | grep -o 'lladdr [^ ]*' | cut -c8-) && \
                ip route add 127.0.0.1 via 172.17.0.1 dev eth0 src 172.17.0.2");
            assert!(is_closed(LOCALHOST, 80));
        });
        server.join().unwrap();
        bench.wait(vpcs.down()).unwrap();
    });
}

/// Runs `test` where rules see packets between two ports of a bridge, and where they do not: that is
/// a setting of the machine's, and Docker's presence changes it.
fn check_filtered_or_not(test: fn(&Bench)) {
    const SETTING: &str = "/proc/sys/net/bridge/bridge-nf-call-iptables";
    for value in ["0", "1"] {
        check(move |bench| {
            // Without the setting, rules see none.
            if std::path::Path::new(SETTING).exists() {
                std::fs::write(SETTING, value).unwrap();
            }
            test(bench);
        });
    }
}

#[test]
fn published_ports_lead_to_containers_from_everywhere() {
    check_filtered_or_not(|bench| {
        with_card("192.0.2.1");
        let outside = outside_world(bench);
        let vpcs = bench.open();
        let (a, b) = (
            attach(bench, &vpcs, "task-a", &[publish(80, 8080)]),
            attach(bench, &vpcs, "task-b", &[publish(80, 8081)]),
        );
        assert_eq!(a.ports, [publish(80, 8080)]);
        assert_eq!(seen(&a, 80, || greet(LOCALHOST, 8080)), "172.17.0.1");
        assert_eq!(seen(&b, 80, || greet(LOCALHOST, 8081)), "172.17.0.1");
        assert_eq!(seen(&a, 80, || greet(Ipv4Addr::new(192, 0, 2, 1), 8080)), "192.0.2.1");
        // Neighbors are seen as themselves.
        let host = Ipv4Addr::new(198, 51, 100, 1);
        assert_eq!(seen(&a, 80, || inside(&outside, || greet(host, 8080))), "198.51.100.2");
        // Another container, and the container itself, by an address of the host.
        assert_eq!(seen(&a, 80, || inside(&b.netns, || greet(host, 8080))), "172.17.0.1");
        assert_eq!(seen(&a, 80, || inside(&a.netns, || greet(host, 8080))), "172.17.0.1");
        // A port elsewhere with the same number is somebody else's.
        let there = Ipv4Addr::new(198, 51, 100, 2);
        let server = serve_once(inside(&outside, || TcpListener::bind("0.0.0.0:8080").unwrap()));
        assert_eq!(inside(&b.netns, || greet(there, 8080)), "198.51.100.1");
        server.join().unwrap();
        bench.wait(vpcs.detach_bridged("task-a")).unwrap();
        assert!(is_closed(LOCALHOST, 8080));
        TcpListener::bind("0.0.0.0:8080").unwrap();
        bench.wait(vpcs.down()).unwrap();
    });
}

#[test]
fn datagrams_are_published_too_and_follow_the_ports_new_owner() {
    check(|bench| {
        let vpcs = bench.open();
        bench.wait(vpcs.ensure_bridge()).unwrap();
        let ports = [Publish { transport: Transport::Udp, ..publish(53, 5353) }];
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        // Asked before anybody is there: the kernel remembers where that went, which was nowhere.
        client.send_to(b"too early", (LOCALHOST, 5353)).unwrap();
        for task in ["task-a", "task-b"] {
            let container = attach(bench, &vpcs, task, &ports);
            let server = inside(&container.netns, || UdpSocket::bind("0.0.0.0:53").unwrap());
            server.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            client.send_to(task.as_bytes(), (LOCALHOST, 5353)).unwrap();
            let mut buffer = [0; 16];
            let (length, from) = server.recv_from(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], task.as_bytes());
            server.send_to(b"answer", from).unwrap();
            let length = client.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], b"answer");
            bench.wait(vpcs.detach_bridged(task)).unwrap();
        }
        // And then back to the machine's own programs.
        let server = UdpSocket::bind((LOCALHOST, 5353)).unwrap();
        server.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        client.send_to(b"home", (LOCALHOST, 5353)).unwrap();
        let mut buffer = [0; 16];
        assert_eq!(server.recv(&mut buffer).unwrap(), 4);
        bench.wait(vpcs.down()).unwrap();
    });
}

#[test]
fn a_port_that_is_taken_is_refused_and_nothing_is_left() {
    check(|bench| {
        let vpcs = bench.open();
        let _other = TcpListener::bind("127.0.0.1:9000").unwrap();
        let refused = |ports: &[Publish]| bench.wait(vpcs.attach_bridged(spec("task-b", "web", ports)));
        let foreign = refused(&[publish(80, 9001), publish(81, 9000)]);
        assert!(matches!(foreign, Err(VpcError::PortTaken { port: 9000, is_ours: false })), "{foreign:?}");
        attach(bench, &vpcs, "task-a", &[publish(80, 9001)]);
        let own = refused(&[publish(80, 9002), publish(80, 9001)]);
        assert!(matches!(own, Err(VpcError::PortTaken { port: 9001, is_ours: true })), "{own:?}");
        let found = bench.wait(vpcs.inventory()).unwrap();
        assert_eq!((found.bridged.len(), found.namespaces.len()), (1, 1), "{found:?}");
        assert_eq!(found.ports, [(Transport::Tcp, 9001)]);
        // Other programs are kept from it, but not from the same number of the other protocol.
        assert!(TcpListener::bind("0.0.0.0:9001").is_err());
        UdpSocket::bind("0.0.0.0:9001").unwrap();
        TcpListener::bind("0.0.0.0:9002").unwrap();
        // The same again is no contradiction.
        attach(bench, &vpcs, "task-a", &[publish(80, 9001)]);
        bench.wait(vpcs.down()).unwrap();
    });
}

#[test]
fn dynamic_ports_are_free_ones_and_stay_the_same() {
    check(|bench| {
        let vpcs = bench.open();
        let mut given = BTreeSet::new();
        let names: Vec<String> = (0..20).map(|number| format!("task-{number}")).collect();
        let range = Publish { count: 5, ..publish(9000, 0) };
        let before: Vec<Bridged> =
            names.iter().map(|task| attach(bench, &vpcs, task, &[publish(80, 0), range])).collect();
        for container in &before {
            let [one, row] = container.ports[..] else { panic!("{container:?}") };
            assert_eq!((one.container_port, row.container_port, row.count), (80, 9000, 5));
            for port in std::iter::once(one.host_port).chain(row.host_port..row.host_port + 5) {
                assert!(DYNAMIC_PORTS.contains(&port) && given.insert(port), "{port}");
            }
        }
        let target = before[7].ports[1].host_port + 3;
        assert_eq!(seen(&before[7], 9003, || greet(LOCALHOST, target)), "172.17.0.1");
        drop(vpcs);
        // As after a kill: the kernel goes on without us.
        assert_eq!(seen(&before[7], 9003, || greet(LOCALHOST, target)), "172.17.0.1");
        let vpcs = bench.open();
        assert!(TcpListener::bind(("0.0.0.0", target)).is_err());
        for (task, container) in names.iter().zip(&before) {
            assert_eq!(attach(bench, &vpcs, task, &[publish(80, 0), range]), *container);
        }
        assert_eq!(seen(&before[7], 9003, || greet(LOCALHOST, target)), "172.17.0.1");
        let kept = BTreeSet::from([names[3].clone()]);
        bench.wait(vpcs.retain_bridged(kept)).unwrap();
        let left = bench.wait(vpcs.inventory()).unwrap();
        assert_eq!((left.bridged.len(), left.ports.len()), (1, 6));
        bench.wait(vpcs.down()).unwrap();
    });
}

#[test]
fn half_made_containers_and_their_ports_go_at_the_next_start() {
    check(|bench| {
        let vpcs = bench.open();
        let whole = attach(bench, &vpcs, "task-a", &[publish(80, 9001)]);
        let half = attach(bench, &vpcs, "task-b", &[publish(80, 9002)]);
        drop(vpcs);
        sh("ip link set dev $(ip -o link show master boxship0 | grep -o 'bx[0-9a-f]*c3') alias ''");
        let vpcs = bench.open();
        let left = bench.wait(vpcs.inventory()).unwrap();
        assert_eq!((left.bridged.len(), left.namespaces.len()), (1, 1), "{left:?}");
        assert_eq!(left.ports, [(Transport::Tcp, 9001)]);
        assert!(whole.netns.exists() && !half.netns.exists());
        assert!(is_closed(LOCALHOST, 9002));
        assert_eq!(seen(&whole, 80, || greet(LOCALHOST, 9001)), "172.17.0.1");
        let again = attach(bench, &vpcs, "task-b", &[publish(80, 9002)]);
        assert_eq!(seen(&again, 80, || greet(LOCALHOST, 9002)), "172.17.0.1");
        bench.wait(vpcs.down()).unwrap();
    });
}

#[test]
fn a_bridge_that_somebody_deleted_is_made_anew() {
    check(|bench| {
        let vpcs = bench.open();
        attach(bench, &vpcs, "task-a", &[publish(80, 9001)]);
        drop(vpcs);
        sh("ip link del boxship0");
        let vpcs = bench.open();
        let left = bench.wait(vpcs.inventory()).unwrap();
        assert_eq!((left.bridged.len(), left.namespaces.len(), left.ports.len()), (0, 0, 0), "{left:?}");
        let again = attach(bench, &vpcs, "task-a", &[publish(80, 9001)]);
        assert_eq!(seen(&again, 80, || greet(LOCALHOST, 9001)), "172.17.0.1");
        bench.wait(vpcs.down()).unwrap();
    });
}

#[test]
fn the_bridge_keeps_away_from_the_machines_own_network() {
    check(|bench| {
        with_card("172.17.5.1");
        sh("ip route add 172.18.128.0/17 dev card0 && ip link add boxship0 type bridge");
        let vpcs = bench.open();
        let bridge = bench.wait(vpcs.ensure_bridge()).unwrap();
        assert_eq!((bridge.name.as_str(), bridge.subnet.to_string().as_str()), ("boxship1", "172.19.0.0/16"));
        bench.wait(vpcs.down()).unwrap();
        // What is not ours stays.
        sh("ip link show boxship0 >/dev/null && ! ip link show boxship1 2>/dev/null");
    });
}

#[test]
fn the_platform_answers_on_the_bridge_and_on_the_host() {
    check(|bench| {
        let vpcs = bench.open();
        let early = bench.wait(vpcs.listen_on_host(Hears::Bridge, 80));
        assert!(matches!(early, Err(VpcError::NoAddresses(_))), "{early:?}");
        // A container that publishes the port takes nothing away from the platform.
        let a = attach(bench, &vpcs, "task-a", &[publish(80, 80)]);
        let _silent = listen(&a, 80);
        let open = |hears| {
            let listener = bench.wait(vpcs.listen_on_host(hears, 80)).unwrap();
            listener.set_nonblocking(false).unwrap();
            listener
        };
        let (bridge, host) = (open(Hears::Bridge), open(Hears::Host));
        let server = serve_once(bridge);
        assert_eq!(inside(&a.netns, || greet(PLATFORM, 80)), "172.17.0.2");
        server.join().unwrap();
        let server = serve_once(host);
        assert_eq!(greet(PLATFORM, 80), "169.254.170.2");
        server.join().unwrap();
        // Other link-local addresses are no way out, and the machine's neighbors hear nothing.
        sh("ip link add far0 type bridge && ip addr add 169.254.169.1/24 dev far0 && ip link set far0 up");
        inside(&a.netns, || assert!(is_closed(Ipv4Addr::new(169, 254, 169, 254), 80)));
        bench.wait(vpcs.down()).unwrap();
    });
}

#[test]
fn containers_reach_tasks_of_the_vpc_beside_them_as_the_host_does() {
    check(|bench| {
        let vpcs = bench.open();
        bench.ensure(&vpcs, "one", true);
        let task = bench.attach(&vpcs, "one", 5);
        let a = attach(bench, &vpcs, "task-a", &[]);
        let server = serve_once(inside(&task.netns, || TcpListener::bind("0.0.0.0:80").unwrap()));
        let address = Ipv4Addr::new(172, 31, 0, 5);
        assert_eq!(inside(&a.netns, || greet(address, 80)), "169.254.64.0");
        server.join().unwrap();
        // Not the other way round: private tasks reach no container.
        let _silent = listen(&a, 80);
        inside(&task.netns, || assert!(is_closed(a.address, 80)));
        bench.wait(vpcs.down()).unwrap();
    });
}

#[test]
fn an_established_connection_outlives_a_restart() {
    check(|bench| {
        let vpcs = bench.open();
        let a = attach(bench, &vpcs, "task-a", &[publish(80, 9001)]);
        let listener = listen(&a, 80);
        let target = SocketAddrV4::new(LOCALHOST, 9001).into();
        let mut client = TcpStream::connect_timeout(&target, Duration::from_secs(10)).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        drop(vpcs);
        let vpcs = bench.open();
        client.write_all(b"still here").unwrap();
        let mut buffer = [0; 10];
        server.read_exact(&mut buffer).unwrap();
        assert_eq!(&buffer, b"still here");
        bench.wait(vpcs.down()).unwrap();
    });
}

#[test]
fn ports_come_back_after_somebody_flushed_the_machines_rules() {
    check(|bench| {
        let outside = outside_world(bench);
        let flush = || {
            sh("for table in $(nft list tables | grep -o 'boxship-.*'); do nft delete table ip $table; done");
        };
        if !Command::new("nft").arg("--version").output().is_ok_and(|done| done.status.success()) {
            return;
        }
        let vpcs = bench.open();
        let ports = [publish(80, 9001), publish(81, 0)];
        let before = attach(bench, &vpcs, "task-a", &ports);
        bench.ensure(&vpcs, "one", false);
        let task = bench.wait(vpcs.attach(InterfaceSpec { is_public: true, ..interface("one", 5) })).unwrap();
        let all_work = |container: &Bridged| {
            for (inside, outside) in [(80, 9001), (81, container.ports[1].host_port)] {
                assert_eq!(seen(container, inside, || greet(LOCALHOST, outside)), "172.17.0.1");
            }
            let there = Ipv4Addr::new(198, 51, 100, 2);
            let server = serve_once(inside(&outside, || TcpListener::bind("0.0.0.0:80").unwrap()));
            assert_eq!(inside(&task.netns, || greet(there, 80)), "198.51.100.1");
            server.join().unwrap();
        };
        all_work(&before);
        assert!(!bench.wait(vpcs.mend()).unwrap());
        flush();
        assert!(bench.wait(vpcs.mend()).unwrap());
        all_work(&before);
        // Whoever comes next mends it, too.
        flush();
        attach(bench, &vpcs, "task-b", &[publish(80, 9003)]);
        bench.ensure(&vpcs, "two", false);
        all_work(&before);
        drop(vpcs);
        flush();
        let vpcs = bench.open();
        let after = attach(bench, &vpcs, "task-a", &ports);
        assert_eq!((after.address, after.ports[0]), (before.address, before.ports[0]));
        all_work(&after);
        bench.wait(vpcs.down()).unwrap();
    });
}

#[test]
fn a_bridge_that_was_not_finished_is_finished_or_goes() {
    check(|bench| {
        let vpcs = bench.open();
        attach(bench, &vpcs, "task-a", &[publish(80, 9001)]);
        drop(vpcs);
        // Its name is the first step after making it; addresses, routes and rules come after that.
        sh("ip addr flush dev boxship0 && ip link set boxship0 down");
        let vpcs = bench.open();
        let again = attach(bench, &vpcs, "task-a", &[publish(80, 9001)]);
        assert_eq!(seen(&again, 80, || greet(LOCALHOST, 9001)), "172.17.0.1");
        bench.wait(vpcs.listen_on_host(Hears::Bridge, 80)).unwrap();
        drop(vpcs);
        sh("ip link set boxship0 alias ''");
        let vpcs = bench.open();
        sh("! ip link show boxship0 2>/dev/null");
        assert_eq!(bench.wait(vpcs.inventory()).unwrap().bridged, []);
        bench.wait(vpcs.down()).unwrap();
    });
}

#[test]
fn two_servers_have_a_bridge_each() {
    check(|bench| {
        let (one, run_dir) = (bench.open(), bench.run_dir.with_file_name("other"));
        let two = Vpcs::open(vpc::VpcsConfig { run_dir, spare: 1 }).unwrap();
        let (first, second) =
            (bench.wait(one.ensure_bridge()).unwrap(), bench.wait(two.ensure_bridge()).unwrap());
        assert_eq!((first.name.as_str(), second.name.as_str()), ("boxship0", "boxship1"));
        assert!(!first.subnet.overlaps(second.subnet));
        let (a, b) = (
            attach(bench, &one, "task-a", &[publish(80, 9001)]),
            attach(bench, &two, "task-a", &[publish(80, 9002)]),
        );
        let taken = bench.wait(two.attach_bridged(spec("task-b", "web", &[publish(80, 9001)])));
        assert!(matches!(taken, Err(VpcError::PortTaken { port: 9001, is_ours: false })), "{taken:?}");
        for (container, port) in [(&a, 9001), (&b, 9002)] {
            seen(container, 80, || greet(LOCALHOST, port));
        }
        // Each hears its own containers.
        for (vpcs, container) in [(&one, &a), (&two, &b)] {
            let listener = bench.wait(vpcs.listen_on_host(Hears::Bridge, 80)).unwrap();
            listener.set_nonblocking(false).unwrap();
            let server = serve_once(listener);
            assert_eq!(inside(&container.netns, || greet(PLATFORM, 80)), container.address.to_string());
            server.join().unwrap();
        }
        bench.wait(one.down()).unwrap();
        assert_eq!(seen(&b, 80, || greet(LOCALHOST, 9002)), second.gateway.to_string());
        bench.wait(two.down()).unwrap();
    });
}
