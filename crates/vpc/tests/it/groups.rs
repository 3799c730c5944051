//! Security groups, with packets of tasks that are in them.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use core_security::{Group, Member, Peer, Rule, Traffic};
use vpc::{Attached, InterfaceSpec, PLATFORM, Vpcs};

use crate::network::{Bench, check, greet, inside, interface, is_closed, key, outside_world, serve_once};

pub fn address(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(172, 31, 0, last)
}

pub fn range(traffic: Traffic, range: &str) -> Rule {
    Rule { traffic, peer: Peer::Range(range.parse().unwrap()) }
}

fn from_group(traffic: Traffic, group: &str) -> Rule {
    Rule { traffic, peer: Peer::Group(group.into()) }
}

/// As AWS makes them: everything may leave.
pub fn group(id: &str, ingress: &[Rule]) -> Group {
    Group { id: id.into(), ingress: ingress.to_vec(), egress: vec![range(Traffic::All, "0.0.0.0/0")] }
}

/// What a bench tells of the VPC `one`.
pub fn tell(bench: &Bench, vpcs: &Vpcs, groups: &[Group], members: &[(u8, &[&str])]) {
    let member = |(last, groups): &(u8, &[&str])| Member {
        address: address(*last),
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
    };
    let told = core_security::Vpc {
        vpc: "one".into(),
        groups: groups.to_vec(),
        members: members.iter().map(member).collect(),
        ..core_security::Vpc::default()
    };
    bench.wait(vpcs.filter(key("one"), told)).unwrap();
}

pub fn attach_in(bench: &Bench, vpcs: &Vpcs, last: u8, groups: &[&str]) -> Attached {
    let security_groups = groups.iter().map(|group| (*group).to_owned()).collect();
    bench.wait(vpcs.attach(InterfaceSpec { security_groups, ..interface("one", last) })).unwrap()
}

/// A server that greets everybody, until the test ends.
pub fn serve_in(task: &Attached, port: u16) {
    serve(inside(&task.netns, || TcpListener::bind(("0.0.0.0", port)).unwrap()));
}

pub fn serve(listener: TcpListener) {
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let peer = stream.peer_addr().unwrap().ip().to_string();
            let _ = stream.write_all(peer.as_bytes());
        }
    });
}

/// Whether a task gets a greeting from an address. Waits where packets vanish.
pub fn reaches(task: &Attached, last: u8, port: u16) -> bool {
    is_greeted(task, last, port, Duration::from_secs(10))
}

/// Whether it gets none.
pub fn is_shut(task: &Attached, last: u8, port: u16) -> bool {
    !is_greeted(task, last, port, Duration::from_millis(300))
}

fn is_greeted(task: &Attached, last: u8, port: u16, patience: Duration) -> bool {
    inside(&task.netns, || {
        let target = SocketAddrV4::new(address(last), port).into();
        let Ok(mut stream) = TcpStream::connect_timeout(&target, patience) else { return false };
        stream.read_to_string(&mut String::new()).unwrap() > 0
    })
}

/// Whether a datagram arrives at a socket that waits for it.
fn datagram_arrives(from: &Attached, to: &UdpSocket, target: SocketAddrV4, patience: Duration) -> bool {
    inside(&from.netns, || UdpSocket::bind("0.0.0.0:0").unwrap().send_to(b"?", target).unwrap());
    to.set_read_timeout(Some(patience)).unwrap();
    to.recv(&mut [0; 8]).is_ok()
}

/// Whether an echo request is answered.
fn pings(from: &Path, last: u8, patience: Duration) -> bool {
    use rustix::net::{
        AddressFamily, RecvFlags, SendFlags, SocketType, ipproto, recv, sendto, socket, sockopt,
    };
    inside(from, || {
        let socket = socket(AddressFamily::INET, SocketType::DGRAM, Some(ipproto::ICMP)).unwrap();
        sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(patience)).unwrap();
        let request = [8, 0, 0, 0, 0, 0, 0, 1];
        sendto(&socket, &request, SendFlags::empty(), &SocketAddrV4::new(address(last), 0)).unwrap();
        recv(&socket, &mut [0_u8; 64], RecvFlags::empty()).is_ok()
    })
}

#[test]
fn what_no_rule_allows_is_dropped() {
    check(|bench| {
        let vpcs = bench.open();
        bench.ensure(&vpcs, "one", true);
        let web = group(
            "sg-web",
            &[
                range(Traffic::Tcp(80, 81), "172.31.0.0/24"),
                range(Traffic::Tcp(81, 90), "172.31.0.5/32"),
                range(Traffic::Udp(53, 53), "0.0.0.0/0"),
            ],
        );
        let closed = Group { id: "sg-closed".into(), ingress: Vec::new(), egress: Vec::new() };
        tell(bench, &vpcs, &[web, closed], &[]);
        let (a, b) = (attach_in(bench, &vpcs, 5, &["sg-web"]), attach_in(bench, &vpcs, 6, &["sg-web"]));
        let mute = attach_in(bench, &vpcs, 7, &["sg-closed"]);
        for port in [79, 80, 81, 82, 90, 91] {
            serve_in(&b, port);
        }
        serve_in(&a, 82);
        serve_in(&mute, 80);
        let open: Vec<u16> =
            [79, 80, 81, 82, 90, 91].into_iter().filter(|port| reaches(&a, 6, *port)).collect();
        assert_eq!(open, [80, 81, 82, 90]);
        assert!(is_shut(&b, 5, 82), "another address's rule");
        assert!(is_shut(&a, 7, 80) && is_shut(&mute, 6, 80), "neither in nor out");
        // Answers to what it asked for reach whoever lets nobody in; the platform is not filtered.
        let platform = bench.wait(vpcs.listen(&key("one"), SocketAddrV4::new(PLATFORM, 4566))).unwrap();
        platform.set_nonblocking(false).unwrap();
        let server = serve_once(platform);
        assert_eq!(inside(&mute.netns, || greet(PLATFORM, 4566)), "172.31.0.7");
        server.join().unwrap();
        // The host's own traffic is the operator's.
        assert_eq!(greet(address(7), 80), "169.254.64.0");

        let socket =
            |task: &Attached, port: u16| inside(&task.netns, || UdpSocket::bind(("0.0.0.0", port)).unwrap());
        let (dns, other) = (socket(&b, 53), socket(&b, 54));
        let (long, short) = (Duration::from_secs(10), Duration::from_millis(300));
        assert!(datagram_arrives(&a, &dns, SocketAddrV4::new(address(6), 53), long));
        assert!(!datagram_arrives(&a, &other, SocketAddrV4::new(address(6), 54), short));
        assert!(!pings(&a.netns, 6, short));
        bench.wait(vpcs.down()).unwrap();
    });
}

#[test]
fn protocols_are_told_apart() {
    check(|bench| {
        let vpcs = bench.open();
        bench.ensure(&vpcs, "one", false);
        let (a, _b) = (attach_in(bench, &vpcs, 5, &["sg-a"]), attach_in(bench, &vpcs, 6, &["sg-b"]));
        let check = |is_open: bool, traffic: Traffic, peer: Peer| {
            let rule = Rule { traffic, peer };
            tell(bench, &vpcs, &[group("sg-a", &[]), group("sg-b", &[rule])], &[]);
            let patience = if is_open { Duration::from_secs(10) } else { Duration::from_millis(300) };
            assert_eq!(pings(&a.netns, 6, patience), is_open, "{traffic:?}");
        };
        for peer in [Peer::Range("172.31.0.0/16".parse().unwrap()), Peer::Group("sg-a".into())] {
            check(true, Traffic::All, peer.clone());
            check(true, Traffic::Icmp(None, None), peer.clone());
            check(true, Traffic::Icmp(Some(8), None), peer.clone());
            check(true, Traffic::Icmp(Some(8), Some(0)), peer.clone());
            check(true, Traffic::Protocol(1), peer.clone());
            check(false, Traffic::Icmp(Some(0), None), peer.clone());
            check(false, Traffic::Icmp(Some(8), Some(1)), peer.clone());
            check(false, Traffic::Protocol(6), peer.clone());
            check(false, Traffic::Tcp(0, u16::MAX), peer);
        }
        bench.wait(vpcs.down()).unwrap();
    });
}

#[test]
fn groups_name_groups_and_members_move_between_them() {
    check(|bench| {
        let vpcs = bench.open();
        // Told before there is anything of it here.
        let groups = [
            group("sg-db", &[from_group(Traffic::Tcp(5432, 5432), "sg-app")]),
            group("sg-app", &[]),
            group("sg-extra", &[from_group(Traffic::Tcp(80, 80), "sg-extra")]),
        ];
        tell(bench, &vpcs, &groups, &[(5, &["sg-app"])]);
        bench.ensure(&vpcs, "one", false);
        let (app, db) = (attach_in(bench, &vpcs, 5, &["sg-app"]), attach_in(bench, &vpcs, 6, &["sg-db"]));
        serve_in(&db, 5432);
        serve_in(&db, 80);
        assert!(reaches(&app, 6, 5432), "from the first packet on");
        assert!(is_shut(&app, 6, 80));
        let both: [(u8, &[&str]); 2] = [(5, &["sg-app", "sg-extra"]), (6, &["sg-db", "sg-extra"])];
        tell(bench, &vpcs, &groups, &both);
        assert!(reaches(&app, 6, 5432) && reaches(&app, 6, 80));
        tell(bench, &vpcs, &groups, &[(5, &["sg-extra"]), both[1]]);
        assert!(is_shut(&app, 6, 5432) && reaches(&app, 6, 80));
        // A group goes, with the rules that name it, and comes again.
        tell(bench, &vpcs, &[group("sg-db", &[])], &[(5, &[]), (6, &["sg-db"])]);
        assert!(is_shut(&app, 6, 5432) && is_shut(&app, 6, 80));
        tell(bench, &vpcs, &groups, &both);
        assert!(reaches(&app, 6, 5432) && reaches(&app, 6, 80));
        bench.wait(vpcs.down()).unwrap();
    });
}

#[test]
fn groups_that_nobody_told_of_allow_nothing() {
    check(|bench| {
        let vpcs = bench.open();
        bench.ensure(&vpcs, "one", false);
        let (a, b) = (attach_in(bench, &vpcs, 5, &["sg-a"]), attach_in(bench, &vpcs, 6, &["sg-a"]));
        serve_in(&b, 80);
        assert!(is_shut(&a, 6, 80));
        tell(bench, &vpcs, &[group("sg-a", &[from_group(Traffic::All, "sg-a")])], &[]);
        assert!(reaches(&a, 6, 80));
        // The address's new owner is in other groups, whatever was told of the old one.
        tell(bench, &vpcs, &[group("sg-a", &[from_group(Traffic::All, "sg-a")])], &[(5, &["sg-a"])]);
        bench.wait(vpcs.detach("eni-one005")).unwrap();
        let new = attach_in(bench, &vpcs, 5, &["sg-new"]);
        assert!(is_shut(&new, 6, 80));
        bench.wait(vpcs.down()).unwrap();
    });
}

#[test]
fn connections_outlive_the_rule_that_let_them_in() {
    check(|bench| {
        let vpcs = bench.open();
        bench.ensure(&vpcs, "one", false);
        let groups = [group("sg-a", &[from_group(Traffic::Tcp(80, 80), "sg-a")])];
        tell(bench, &vpcs, &groups, &[]);
        let (a, b) = (attach_in(bench, &vpcs, 5, &["sg-a"]), attach_in(bench, &vpcs, 6, &["sg-a"]));
        let listener = inside(&b.netns, || TcpListener::bind("0.0.0.0:80").unwrap());
        let mut client = inside(&a.netns, || TcpStream::connect((address(6), 80)).unwrap());
        let (mut server, _) = listener.accept().unwrap();
        tell(bench, &vpcs, &[group("sg-a", &[])], &[]);
        assert!(is_shut(&a, 6, 80));
        let mut byte = [0; 1];
        client.write_all(b"x").unwrap();
        server.read_exact(&mut byte).unwrap();
        server.write_all(b"y").unwrap();
        client.read_exact(&mut byte).unwrap();
        assert_eq!(&byte, b"y");
        bench.wait(vpcs.down()).unwrap();
    });
}

#[test]
fn flows_of_an_address_are_nothing_of_its_next_owner() {
    check(|bench| {
        let vpcs = bench.open();
        bench.ensure(&vpcs, "one", false);
        let groups = [
            group("sg-old", &[]),
            group("sg-new", &[]),
            group("sg-b", &[from_group(Traffic::Udp(53, 53), "sg-old")]),
        ];
        tell(bench, &vpcs, &groups, &[]);
        let b = attach_in(bench, &vpcs, 6, &["sg-b"]);
        let server = inside(&b.netns, || UdpSocket::bind(("0.0.0.0", 53)).unwrap());
        let (long, short) = (Duration::from_secs(10), Duration::from_millis(300));
        let asks = |task: &Attached, patience: Duration| {
            let client = inside(&task.netns, || UdpSocket::bind(("0.0.0.0", 5000)).unwrap());
            client.send_to(b"x", (address(6), 53)).unwrap();
            server.set_read_timeout(Some(patience)).unwrap();
            let Ok((_, peer)) = server.recv_from(&mut [0; 1]) else { return false };
            // A flow is one once it is answered.
            server.send_to(b"y", peer).unwrap();
            client.set_read_timeout(Some(long)).unwrap();
            client.recv(&mut [0; 1]).is_ok()
        };
        let old = attach_in(bench, &vpcs, 5, &["sg-old"]);
        assert!(asks(&old, long));
        bench.wait(vpcs.detach("eni-one005")).unwrap();
        assert!(!asks(&attach_in(bench, &vpcs, 5, &["sg-new"]), short), "by detaching");

        bench.wait(vpcs.detach("eni-one005")).unwrap();
        let old = attach_in(bench, &vpcs, 5, &["sg-old"]);
        assert!(asks(&old, long));
        bench.wait(vpcs.retain(std::collections::BTreeSet::from(["eni-one006".into()]))).unwrap();
        assert!(!asks(&attach_in(bench, &vpcs, 5, &["sg-new"]), short), "by sweeping");
        bench.wait(vpcs.down()).unwrap();
    });
}

#[test]
fn what_comes_from_and_goes_to_the_outside_is_filtered() {
    check(|bench| {
        let outside = outside_world(bench);
        let vpcs = bench.open();
        bench.ensure(&vpcs, "one", true);
        let rules = [range(Traffic::Tcp(80, 80), "198.51.100.0/24")];
        let open = Group { id: "sg-out".into(), ingress: rules.to_vec(), egress: rules.to_vec() };
        let shut = Group { egress: vec![range(Traffic::Tcp(80, 80), "198.51.101.0/24")], ..open.clone() };
        let shut = Group { id: "sg-shut".into(), ..shut };
        tell(bench, &vpcs, &[open, shut], &[]);
        let public = |last: u8, group: &str| {
            let spec = interface("one", last);
            let spec = InterfaceSpec { is_public: true, security_groups: vec![group.into()], ..spec };
            bench.wait(vpcs.attach(spec)).unwrap()
        };
        let (open, shut) = (public(5, "sg-out"), public(6, "sg-shut"));
        let there = Ipv4Addr::new(198, 51, 100, 2);
        serve(inside(&outside, || TcpListener::bind("0.0.0.0:80").unwrap()));
        serve(inside(&outside, || TcpListener::bind("0.0.0.0:81").unwrap()));
        assert_eq!(inside(&open.netns, || greet(there, 80)), "198.51.100.1");
        assert!(inside(&open.netns, || is_closed(there, 81)));
        assert!(inside(&shut.netns, || is_closed(there, 80)));
        bench.wait(vpcs.down()).unwrap();
    });
}

#[test]
fn old_rules_hold_over_a_restart_until_new_ones_are_told() {
    check(|bench| {
        let vpcs = bench.open();
        bench.ensure(&vpcs, "one", false);
        let groups = [
            group(
                "sg-a",
                &[range(Traffic::Tcp(80, 80), "172.31.0.5/32"), from_group(Traffic::Tcp(81, 81), "sg-a")],
            ),
            group("sg-b", &[]),
        ];
        let members: [(u8, &[&str]); 2] = [(5, &["sg-a", "sg-b"]), (6, &["sg-a"])];
        tell(bench, &vpcs, &groups, &members);
        let (a, b) = (attach_in(bench, &vpcs, 5, &["sg-b"]), attach_in(bench, &vpcs, 6, &["sg-a"]));
        [80, 81, 82].into_iter().for_each(|port| serve_in(&b, port));
        drop(vpcs);
        assert!(reaches(&a, 6, 80) && reaches(&a, 6, 81) && is_shut(&a, 6, 82));

        let vpcs = bench.open();
        bench.ensure(&vpcs, "one", false);
        assert_eq!(attach_in(bench, &vpcs, 5, &["sg-b"]), a);
        assert!(reaches(&a, 6, 80) && reaches(&a, 6, 81) && is_shut(&a, 6, 82));
        // One that comes before anybody has told of groups anew.
        let c = attach_in(bench, &vpcs, 7, &["sg-a"]);
        assert!(is_shut(&c, 6, 80) && reaches(&c, 6, 81));
        tell(bench, &vpcs, &[group("sg-a", &[range(Traffic::Tcp(82, 82), "0.0.0.0/0")])], &[(5, &["sg-a"])]);
        for task in [&a, &c] {
            assert!(is_shut(task, 6, 80) && is_shut(task, 6, 81) && reaches(task, 6, 82));
        }
        bench.wait(vpcs.down()).unwrap();
    });
}

#[test]
fn rules_that_somebody_flushed_come_back() {
    check(|bench| {
        let vpcs = bench.open();
        bench.ensure(&vpcs, "one", false);
        let groups = [group("sg-a", &[range(Traffic::Tcp(80, 80), "0.0.0.0/0")])];
        tell(bench, &vpcs, &groups, &[]);
        let (a, b) = (attach_in(bench, &vpcs, 5, &["sg-a"]), attach_in(bench, &vpcs, 6, &["sg-a"]));
        [80, 81].into_iter().for_each(|port| serve_in(&b, port));
        assert!(is_shut(&a, 6, 81));
        let vpc = bench.run_dir.join("netns/vpc@000000000000@us-east-1@one");
        let flush = || {
            let delete = ["delete", "table", "ip", "boxship-groups"];
            assert!(inside(&vpc, || std::process::Command::new("nft")
                .args(delete)
                .status()
                .unwrap()
                .success()));
        };
        flush();
        assert!(reaches(&a, 6, 81));
        assert!(bench.wait(vpcs.mend()).unwrap());
        assert!(!bench.wait(vpcs.mend()).unwrap());
        assert!(reaches(&a, 6, 80) && is_shut(&a, 6, 81));
        // Or with the next change, whatever somebody did.
        flush();
        tell(bench, &vpcs, &[group("sg-a", &[range(Traffic::Tcp(81, 81), "0.0.0.0/0")])], &[]);
        assert!(is_shut(&a, 6, 80) && reaches(&a, 6, 81));
        let delete =
            "flush chain ip boxship-groups in-sg-a; delete element ip boxship-groups sg-a { 172.31.0.5 }";
        assert!(inside(&vpc, || std::process::Command::new("nft").arg(delete).status().unwrap().success()));
        assert!(is_shut(&a, 6, 81));
        bench.wait(vpcs.detach("eni-one005")).unwrap();
        let a = attach_in(bench, &vpcs, 5, &["sg-a"]);
        tell(bench, &vpcs, &[group("sg-a", &[range(Traffic::Tcp(81, 81), "0.0.0.0/0")])], &[]);
        assert!(is_shut(&a, 6, 80) && reaches(&a, 6, 81));
        bench.wait(vpcs.down()).unwrap();
    });
}

/// Alternates between two sets of groups that both let 172.31.0.5 into 172.31.0.6:80, and not :81.
fn tell_round(bench: &Bench, vpcs: &Vpcs, round: u16) {
    let from = if round.is_multiple_of(2) { "172.31.0.5/32" } else { "0.0.0.0/0" };
    let web = [
        range(Traffic::Tcp(80, 80), from),
        range(Traffic::Tcp(1000 + round, 2000 + round), "10.0.0.0/8"),
        from_group(Traffic::Tcp(3000 + round, 4000), "sg-b"),
    ];
    let extra = format!("sg-{round}");
    let groups = [group("sg-a", &web), group("sg-b", &[]), group(&extra, &[])];
    let members: [(u8, &[&str]); 3] = [(5, &["sg-b", &extra]), (6, &["sg-a", &extra]), (7, &[&extra])];
    tell(bench, vpcs, &groups, &members);
}

/// How often the namespace's clients had to ask for a connection again.
fn asked_again() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/net/netstat").unwrap();
    let mut lines = text.lines().filter(|line| line.starts_with("TcpExt:"));
    let (names, numbers) = (lines.next().unwrap(), lines.next().unwrap());
    let mut both = names.split(' ').zip(numbers.split(' '));
    both.find(|(name, _)| *name == "TCPSynRetrans").unwrap().1.parse().unwrap()
}

/// Every step of a change is in force at once, or none: nobody is shut out or let in meanwhile.
#[test]
fn no_packet_meets_half_a_change() {
    check(|bench| {
        let vpcs = bench.open();
        bench.ensure(&vpcs, "one", false);
        tell_round(bench, &vpcs, 0);
        let (a, b) = (attach_in(bench, &vpcs, 5, &["sg-b"]), attach_in(bench, &vpcs, 6, &["sg-a"]));
        [80, 81].into_iter().for_each(|port| serve_in(&b, port));
        let run = |time: u16| {
            let is_over = AtomicBool::new(false);
            std::thread::scope(|scope| {
                let stranger = scope.spawn(|| {
                    inside(&a.netns, || {
                        let target = SocketAddrV4::new(address(6), 81).into();
                        let patience = Duration::from_millis(20);
                        let mut tries = (0..).take_while(|_| !is_over.load(SeqCst));
                        tries.any(|_| TcpStream::connect_timeout(&target, patience).is_ok())
                    })
                });
                let friend = scope.spawn(|| {
                    inside(&a.netns, || {
                        let before = asked_again();
                        while !is_over.load(SeqCst) {
                            greet(address(6), 80);
                        }
                        asked_again() - before
                    })
                });
                (1..100).for_each(|round| tell_round(bench, &vpcs, 100 * time + round));
                is_over.store(true, SeqCst);
                assert!(!stranger.join().unwrap());
                friend.join().unwrap()
            })
        };
        // A machine that stands still for a second asks again, too, but not every time.
        assert!((0..3).any(|time| run(time) == 0));
        bench.wait(vpcs.down()).unwrap();
    });
}
