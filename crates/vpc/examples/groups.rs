//! What security groups cost: time to put them into force, and per packet, on a network of its own.
//!
//! `cargo run --release -p vpc --example groups [MEMBERS [GROUPS]]`, as root. Half of the groups' rules are
//! about ranges, half about other groups; every member is in its own group and in `sg-all`.

#![expect(clippy::print_stdout, reason = "a program")]
#![expect(clippy::disallowed_methods, reason = "it measures time")]

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use core_addresses::{Cidr, DEFAULT_VPC, mac_of};
use core_security::{Group, Member, Peer, Rule, Traffic};
use vpc::{AddressSpec, InterfaceSpec, VpcKey, VpcSpec, Vpcs, VpcsConfig};

const RULES: u32 = 100;
const FLOOD: u32 = 400_000;
const FLOWS: u16 = 20_000;

fn main() {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse().expect("a number"));
    let members = numbers.next().unwrap_or(10_000);
    let groups = numbers.next().unwrap_or(200);
    let directory = std::env::temp_dir().join(format!("groups-{}", std::process::id()));
    vpc::apart::run(|| measure(&directory, members, groups)).expect("root");
}

fn address(index: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(DEFAULT_VPC.base().to_bits() + 256 + index)
}

fn key() -> VpcKey {
    VpcKey { account: "000000000000".into(), region: "us-east-1".into(), vpc: "one".into() }
}

fn told(members: u32, groups: u32, rules: u32) -> core_security::Vpc {
    let name = |group: u32| format!("sg-{:017x}", group % groups);
    let rule = |group: u32, number: u32| {
        let port = 1000 + number as u16;
        let peer = if number.is_multiple_of(2) {
            Peer::Group(name(group + number))
        } else {
            Peer::Range(Cidr::new(Ipv4Addr::from_bits((10 << 24) + (number << 8)), 24))
        };
        Rule { traffic: Traffic::Tcp(port, port), peer }
    };
    let group = |group: u32| Group {
        id: name(group),
        ingress: (0..rules).map(|number| rule(group, number)).collect(),
        egress: vec![Rule { traffic: Traffic::All, peer: Peer::Range(Cidr::new(Ipv4Addr::UNSPECIFIED, 0)) }],
    };
    let all = Group {
        id: "sg-all".into(),
        ingress: vec![Rule { traffic: Traffic::Udp(0, u16::MAX), peer: Peer::Group("sg-all".into()) }],
        egress: Vec::new(),
    };
    let member = |index| Member { address: address(index), groups: vec![name(index), "sg-all".to_owned()] };
    core_security::Vpc {
        groups: (0..groups).map(group).chain([all]).collect(),
        members: (0..members).map(member).collect(),
        ..core_security::Vpc::default()
    }
}

fn measure(directory: &Path, members: u32, groups: u32) {
    let tokio = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let vpcs = Vpcs::open(VpcsConfig { run_dir: directory.to_owned(), spare: 2 }).expect("a world");
    tokio.block_on(vpcs.ensure(VpcSpec { key: key(), cidr: DEFAULT_VPC, on_host: false })).expect("a VPC");
    let tell = |vpc| {
        let start = Instant::now();
        tokio.block_on(vpcs.filter(key(), vpc)).expect("groups");
        start.elapsed()
    };
    let full = told(members, groups, RULES);
    println!("{members} members, {groups} groups of {RULES} rules each");
    println!("first time               {:?}", tell(full.clone()));
    println!("the same again           {:?}", tell(full.clone()));
    let mut one = full.clone();
    one.members[7].groups.pop();
    println!("a member's groups        {:?}", tell(one.clone()));
    one.members.pop();
    println!("a member less            {:?}", tell(one.clone()));
    one.groups[3].ingress.pop();
    println!("a rule less              {:?}", tell(one));
    tell(full.clone());

    let attach = |index: u32| {
        let eni = format!("eni-{index}");
        let spec = InterfaceSpec {
            vpc: key(),
            address: address(index),
            mac: mac_of(&eni),
            subnet: Cidr::new(address(index), 20),
            security_groups: Vec::new(),
            is_public: false,
            task: format!("task-{index}"),
            eni,
        };
        tokio.block_on(vpcs.attach(spec)).expect("an interface").netns
    };
    let (a, b) = (attach(1), attach(2));
    tokio
        .block_on(vpcs.hold(AddressSpec { vpc: key(), address: address(3), security_groups: Vec::new() }))
        .expect("a node");
    let start = Instant::now();
    for _ in 0..10_000 {
        vpcs.dial(&key(), address(3)).expect("a socket");
    }
    println!("dial                     {:?}", start.elapsed() / 10_000);

    let vpc = directory.join("netns/vpc@000000000000@us-east-1@one");
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for round in 0..10_i32 {
        let is_filtered = round % 2 == 0;
        if is_filtered {
            tokio.block_on(vpcs.mend()).expect("rules");
        } else {
            inside(&vpc, || {
                let delete = ["delete", "table", "ip", "boxship-groups"];
                assert!(std::process::Command::new("nft").args(delete).status().expect("nft").success());
            });
        }
        let figures = packets(&a, &b);
        if is_filtered { with.push(figures) } else { without.push(figures) }
    }
    for (name, mut all) in [("with", with), ("without", without)] {
        all.sort_unstable();
        println!("{name:24} {:?} a packet, {:?} a new flow", all[all.len() / 2].0, all[all.len() / 2].1);
    }
    let start = Instant::now();
    drop(vpcs);
    let vpcs = Vpcs::open(VpcsConfig { run_dir: directory.to_owned(), spare: 0 }).expect("a world");
    println!("taking it up again       {:?}", start.elapsed());
    let start = Instant::now();
    tokio.block_on(vpcs.filter(key(), full)).expect("groups");
    println!("and telling it anew      {:?}", start.elapsed());
    tokio.block_on(vpcs.down()).expect("nothing left");
}

/// Per datagram of one flow, and per datagram that begins one.
fn packets(a: &Path, b: &Path) -> (Duration, Duration) {
    let sink = inside(b, || UdpSocket::bind("0.0.0.0:53").expect("a socket"));
    let source = inside(a, || UdpSocket::bind("0.0.0.0:0").expect("a socket"));
    let target = SocketAddrV4::new(address(2), 53);
    // Once it is answered the flow is a known one.
    source.send_to(b"x", target).expect("sent");
    let (_, from) = sink.recv_from(&mut [0; 8]).expect("let through");
    sink.send_to(b"y", from).expect("answered");
    source.recv_from(&mut [0; 8]).expect("let through");
    let start = cpu();
    for _ in 0..FLOOD {
        let _ = source.send_to(b"x", target);
    }
    let flood = (cpu() - start) / FLOOD;
    let start = cpu();
    for port in 0..FLOWS {
        let _ = source.send_to(b"x", SocketAddrV4::new(address(2), 1024 + port));
    }
    drop(sink);
    (flood, (cpu() - start) / u32::from(FLOWS))
}

/// Of this thread, which sends, forwards and receives: all of it happens within the call.
fn cpu() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

fn inside<T: Send>(netns: &Path, work: impl FnOnce() -> T + Send) -> T {
    let namespace = std::fs::File::open(netns).expect("a namespace");
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let kind = rustix::thread::LinkNameSpaceType::Network;
            rustix::thread::move_into_link_name_space(namespace.as_fd(), Some(kind)).expect("entered");
            work()
        });
        thread.join().expect("no panic")
    })
}
