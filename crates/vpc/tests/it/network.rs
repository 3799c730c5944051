//! Interfaces, VPCs, recovery and removal.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::Duration;

use core_addresses::{DEFAULT_SUBNETS, DEFAULT_VPC, mac_of};
use vpc::{Attached, HostRoute, InterfaceSpec, PLATFORM, VpcError, VpcKey, VpcSpec, Vpcs, VpcsConfig};

/// What a test works with, on its own network.
pub struct Bench {
    pub run_dir: PathBuf,
    tokio: tokio::runtime::Runtime,
}

impl Bench {
    pub fn open(&self) -> Vpcs {
        Vpcs::open(VpcsConfig { run_dir: self.run_dir.clone(), spare: 1 }).unwrap()
    }

    pub fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.tokio.block_on(future)
    }

    pub fn ensure(&self, vpcs: &Vpcs, vpc: &str, on_host: bool) -> HostRoute {
        let spec = VpcSpec { key: key(vpc), cidr: DEFAULT_VPC, on_host };
        self.wait(vpcs.ensure(spec)).unwrap().host_route
    }

    pub fn attach(&self, vpcs: &Vpcs, vpc: &str, last: u8) -> Attached {
        self.wait(vpcs.attach(interface(vpc, last))).unwrap()
    }
}

/// Runs `test` apart from the machine's network; says so where that is not possible.
pub fn check(test: impl FnOnce(&Bench) + Send) {
    let directory = tempfile::tempdir().unwrap();
    let run_dir = directory.path().join("run");
    let outcome = vpc::apart::run(move || {
        // A new namespace begins with the machine's own setting.
        std::fs::write("/proc/sys/net/ipv4/ip_forward", "0").unwrap();
        let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        test(&Bench { run_dir, tokio });
    });
    match outcome {
        Ok(()) => {}
        Err(error) if rustix::process::geteuid().is_root() => panic!("{error:?}"),
        Err(error) => say(&format!("left out, needs root: {error}")),
    }
}

/// Past the test harness, which shows nothing of a test that passes.
fn say(text: &str) {
    std::io::stderr().write_all(format!("{text}\n").as_bytes()).unwrap();
}

pub fn key(vpc: &str) -> VpcKey {
    VpcKey { account: "000000000000".into(), region: "us-east-1".into(), vpc: vpc.into() }
}

pub fn interface(vpc: &str, last: u8) -> InterfaceSpec {
    let eni = format!("eni-{vpc}{last:03}");
    InterfaceSpec {
        vpc: key(vpc),
        address: Ipv4Addr::new(172, 31, 0, last),
        mac: mac_of(&eni),
        subnet: DEFAULT_SUBNETS[0],
        security_groups: Vec::new(),
        is_public: false,
        task: format!("task-{vpc}-{last}"),
        eni,
    }
}

/// Runs `work` on a thread inside a task's namespace.
pub fn inside<T: Send>(netns: &Path, work: impl FnOnce() -> T + Send) -> T {
    let namespace = std::fs::File::open(netns).unwrap();
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let kind = rustix::thread::LinkNameSpaceType::Network;
            rustix::thread::move_into_link_name_space(std::os::fd::AsFd::as_fd(&namespace), Some(kind))
                .unwrap();
            work()
        });
        thread.join().unwrap()
    })
}

/// A server that answers one connection with the peer's address.
pub fn serve_once(listener: TcpListener) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let (mut stream, peer) = listener.accept().unwrap();
        stream.write_all(peer.ip().to_string().as_bytes()).unwrap();
    })
}

/// Connects and answers what the server says: who we are to it.
pub fn greet(address: Ipv4Addr, port: u16) -> String {
    let target = SocketAddrV4::new(address, port).into();
    let mut stream = TcpStream::connect_timeout(&target, Duration::from_secs(10)).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

/// Whether somebody lets us connect. Waits where packets vanish.
pub fn is_open(address: Ipv4Addr, port: u16) -> bool {
    let target = SocketAddrV4::new(address, port).into();
    TcpStream::connect_timeout(&target, Duration::from_secs(10)).is_ok()
}

/// Whether nothing lets us connect. Waits where packets vanish.
pub fn is_closed(address: Ipv4Addr, port: u16) -> bool {
    let target = SocketAddrV4::new(address, port).into();
    TcpStream::connect_timeout(&target, Duration::from_millis(300)).is_err()
}

fn listen_in(task: &Attached) -> TcpListener {
    inside(&task.netns, || TcpListener::bind("0.0.0.0:80").unwrap())
}

#[test]
fn tasks_reach_each_other_under_their_own_addresses() {
    check(|bench| {
        let vpcs = bench.open();
        bench.ensure(&vpcs, "one", false);
        let (a, b) = (bench.attach(&vpcs, "one", 5), bench.attach(&vpcs, "one", 6));
        let server = serve_once(listen_in(&b));
        let greeting = inside(&a.netns, || greet(Ipv4Addr::new(172, 31, 0, 6), 80));
        assert_eq!(greeting, "172.31.0.5");
        server.join().unwrap();
        bench.wait(vpcs.down()).unwrap();
    });
}

#[test]
fn the_host_reaches_tasks_by_a_plain_route_and_is_seen_as_itself() {
    check(|bench| {
        let vpcs = bench.open();
        assert_eq!(bench.ensure(&vpcs, "one", true), HostRoute::Present);
        let task = bench.attach(&vpcs, "one", 5);
        let server = serve_once(listen_in(&task));
        assert_eq!(greet(Ipv4Addr::new(172, 31, 0, 5), 80), "169.254.64.0");
        server.join().unwrap();
        bench.wait(vpcs.down()).unwrap();
    });
}

#[test]
fn the_platform_listens_inside_and_knows_tasks_by_address() {
    check(|bench| {
        let vpcs = bench.open();
        bench.ensure(&vpcs, "one", false);
        let task = bench.attach(&vpcs, "one", 5);
        let listener = bench.wait(vpcs.listen(&key("one"), SocketAddrV4::new(PLATFORM, 4566))).unwrap();
        listener.set_nonblocking(false).unwrap();
        let server = serve_once(listener);
        assert_eq!(inside(&task.netns, || greet(PLATFORM, 4566)), "172.31.0.5");
        server.join().unwrap();
        let found = bench.wait(vpcs.interface_at(&key("one"), Ipv4Addr::new(172, 31, 0, 5))).unwrap();
        assert_eq!(found, Some(("eni-one005".into(), "task-one-5".into())));
        bench.wait(vpcs.down()).unwrap();
    });
}

#[test]
fn tasks_resolve_names_at_the_second_address_of_their_vpc() {
    check(|bench| {
        let vpcs = bench.open();
        bench.ensure(&vpcs, "one", false);
        let task = bench.attach(&vpcs, "one", 5);
        let address = SocketAddrV4::new(core_addresses::resolver_of(DEFAULT_VPC), 53);
        let udp = bench.wait(vpcs.bind_udp(&key("one"), address)).unwrap();
        let tcp = bench.wait(vpcs.listen(&key("one"), address)).unwrap();
        let zone =
            vpc::dns::Zone { vpc: key("one"), region: base::Region::default_region(), cidr: DEFAULT_VPC };
        let resolver = vpc::dns::Resolver::new(zone, std::sync::Arc::new(NoNames), Vec::new());
        let (answered, asked) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            let output = inside(&task.netns, || {
                let server = address.ip().to_string();
                let question = ["nslookup", "ip-172-31-0-9.ec2.internal", &server];
                std::process::Command::new("busybox").args(question).output()
            });
            answered.send(output).unwrap();
        });
        let output = bench.wait(async {
            tokio::select! {
                served = resolver.serve(udp, tcp) => panic!("{served:?}"),
                output = asked => output.unwrap(),
            }
        });
        match output {
            Ok(output) => {
                let text = String::from_utf8(output.stdout).unwrap();
                assert!(text.contains("172.31.0.9"), "{text}");
            }
            Err(error) => say(&format!("left out, needs busybox: {error}")),
        }
        bench.wait(vpcs.down()).unwrap();
    });
}

struct NoNames;

impl vpc::dns::Names for NoNames {
    fn addresses(&self, _: &VpcKey, _: &str) -> Option<Vec<Ipv4Addr>> {
        None
    }
}

#[test]
fn a_task_cannot_speak_as_another() {
    check(|bench| {
        let vpcs = bench.open();
        bench.ensure(&vpcs, "one", false);
        let (honest, liar) = (bench.attach(&vpcs, "one", 5), bench.attach(&vpcs, "one", 6));
        let resolver = SocketAddrV4::new(Ipv4Addr::new(172, 31, 0, 2), 53);
        let socket = bench.wait(vpcs.bind_udp(&key("one"), resolver)).unwrap();
        socket.set_nonblocking(false).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        for false_address in ["172.31.0.5", "169.254.170.2", "172.31.9.9", "8.8.8.8"] {
            inside(&liar.netns, || {
                let add = ["addr", "add", &format!("{false_address}/32"), "dev", "lo"];
                assert!(std::process::Command::new("ip").args(add).status().unwrap().success());
                let lie = UdpSocket::bind((false_address, 0)).unwrap();
                let _ = lie.send_to(b"lie", resolver);
            });
        }
        // Whatever the machine's own setting: a looser check would let most lies pass.
        let vpc = bench.run_dir.join("netns/vpc@000000000000@us-east-1@one");
        let strict = inside(&vpc, || {
            let scopes = std::fs::read_dir("/proc/sys/net/ipv4/conf").unwrap();
            scopes
                .map(|scope| std::fs::read_to_string(scope.unwrap().path().join("rp_filter")).unwrap())
                .max()
        });
        assert_eq!(strict.as_deref(), Some("1\n"));
        // Packets of one sender stay in order through veth, so a lie that passed would come first.
        inside(&liar.netns, || {
            UdpSocket::bind("172.31.0.6:0").unwrap().send_to(b"truth", resolver).unwrap();
        });
        let mut buffer = [0; 16];
        let (length, from) = socket.recv_from(&mut buffer).unwrap();
        assert_eq!((&buffer[..length], from.ip().to_string().as_str()), (&b"truth"[..], "172.31.0.6"));
        drop(honest);
        bench.wait(vpcs.down()).unwrap();
    });
}

#[test]
fn vpcs_with_the_same_addresses_do_not_meet() {
    check(|bench| {
        let vpcs = bench.open();
        bench.ensure(&vpcs, "one", true);
        let taken = bench.ensure(&vpcs, "two", true);
        assert!(matches!(taken, HostRoute::Taken(_)), "{taken:?}");
        let (here, there) = (bench.attach(&vpcs, "one", 5), bench.attach(&vpcs, "two", 5));
        let mut other = interface("two", 6);
        other.is_public = true;
        let caller = bench.wait(vpcs.attach(other)).unwrap();
        // Only the task of the caller's own VPC may answer.
        let _silent = listen_in(&here);
        let server = serve_once(listen_in(&there));
        let greeting = inside(&caller.netns, || greet(Ipv4Addr::new(172, 31, 0, 5), 80));
        assert_eq!(greeting, "172.31.0.6");
        server.join().unwrap();
        // The other VPC's end of its uplink is not reached either, though forwarding is on.
        assert!(inside(&caller.netns, || is_closed(Ipv4Addr::new(169, 254, 64, 1), 80)));
        bench.wait(vpcs.down()).unwrap();
    });
}

/// Another machine behind the "host": a namespace with a link to it.
pub fn outside_world(bench: &Bench) -> PathBuf {
    std::fs::create_dir_all(&bench.run_dir).unwrap();
    let script = "ip link add wan0 type veth peer name lan0 netns $1 && ip addr add 198.51.100.1/24 dev wan0 && \
                  ip link set wan0 up";
    let file = bench.run_dir.join("outside");
    let (send, receive) = std::sync::mpsc::sync_channel(0);
    let (done, wait) = std::sync::mpsc::sync_channel::<()>(0);
    let path = file.clone();
    let thread = std::thread::spawn(move || {
        vpc::apart::run(move || {
            let id = rustix::thread::gettid().as_raw_nonzero().get();
            send.send(id).unwrap();
            wait.recv().unwrap();
            let set = "ip addr add 198.51.100.2/24 dev lan0 && ip link set lan0 up";
            assert!(std::process::Command::new("sh").args(["-ec", set]).status().unwrap().success());
        })
        .unwrap();
    });
    let id: i32 = receive.recv().unwrap();
    let args = ["-ec", script, "sh", &id.to_string()];
    assert!(std::process::Command::new("sh").args(args).status().unwrap().success());
    std::fs::File::create(&path).unwrap();
    rustix::mount::mount_bind(format!("/proc/{id}/ns/net"), &path).unwrap();
    done.send(()).unwrap();
    thread.join().unwrap();
    file
}

#[test]
fn only_public_interfaces_have_a_way_out() {
    check(|bench| {
        let outside = outside_world(bench);
        let vpcs = bench.open();
        bench.ensure(&vpcs, "one", true);
        let private = bench.attach(&vpcs, "one", 5);
        let off = std::fs::read_to_string("/proc/sys/net/ipv4/ip_forward").unwrap();
        assert_eq!(off, "0\n", "no task needs the outside yet");
        let mut spec = interface("one", 6);
        spec.is_public = true;
        let public = bench.wait(vpcs.attach(spec)).unwrap();
        let there = Ipv4Addr::new(198, 51, 100, 2);
        let server = serve_once(inside(&outside, || TcpListener::bind("0.0.0.0:80").unwrap()));
        assert!(inside(&private.netns, || is_closed(there, 80)));
        // The host's own address, twice translated.
        assert_eq!(inside(&public.netns, || greet(there, 80)), "198.51.100.1");
        server.join().unwrap();
        // Nobody comes in through the host.
        let _listening = listen_in(&public);
        inside(&outside, || {
            let add = ["route", "add", "172.31.0.0/16", "via", "198.51.100.1"];
            assert!(std::process::Command::new("ip").args(add).status().unwrap().success());
            assert!(is_closed(Ipv4Addr::new(172, 31, 0, 6), 80));
        });
        bench.wait(vpcs.down()).unwrap();
        assert_eq!(std::fs::read_to_string("/proc/sys/net/ipv4/ip_forward").unwrap(), "0\n");
    });
}

#[test]
fn a_restart_takes_up_what_is_there() {
    check(|bench| {
        let vpcs = bench.open();
        bench.ensure(&vpcs, "one", true);
        let (a, b) = (bench.attach(&vpcs, "one", 5), bench.attach(&vpcs, "one", 6));
        let before = bench.wait(vpcs.inventory()).unwrap();
        drop(vpcs);
        // A namespace that no interface names is what an interrupted attach leaves.
        std::fs::File::create(bench.run_dir.join("netns/task-half")).unwrap();
        rustix::mount::mount_bind(&b.netns, bench.run_dir.join("netns/task-half")).unwrap();

        let vpcs = bench.open();
        assert_eq!(bench.wait(vpcs.inventory()).unwrap(), before);
        assert_eq!(bench.ensure(&vpcs, "one", true), HostRoute::Present);
        assert_eq!(bench.attach(&vpcs, "one", 5), a);
        let server = serve_once(listen_in(&b));
        assert_eq!(inside(&a.netns, || greet(Ipv4Addr::new(172, 31, 0, 6), 80)), "172.31.0.5");
        server.join().unwrap();

        let wanted = BTreeSet::from([String::from("eni-one005")]);
        assert_eq!(bench.wait(vpcs.retain(wanted)).unwrap(), ["eni-one006"]);
        assert!(inside(&a.netns, || is_closed(Ipv4Addr::new(172, 31, 0, 6), 80)));
        bench.wait(vpcs.down()).unwrap();
    });
}

#[test]
fn a_vpc_goes_once_nothing_is_in_it() {
    check(|bench| {
        let vpcs = bench.open();
        bench.ensure(&vpcs, "one", true);
        let before = bench.wait(vpcs.inventory()).unwrap();
        bench.ensure(&vpcs, "two", false);
        bench.attach(&vpcs, "two", 5);
        assert!(!bench.wait(vpcs.forget(&key("two"))).unwrap());
        bench.wait(vpcs.detach("eni-two005")).unwrap();
        assert!(vpcs.dial(&key("two"), Ipv4Addr::UNSPECIFIED).is_ok());
        assert!(bench.wait(vpcs.forget(&key("two"))).unwrap());
        assert!(bench.wait(vpcs.forget(&key("two"))).unwrap());
        assert_eq!(bench.wait(vpcs.inventory()).unwrap(), before);
        assert!(vpcs.dial(&key("two"), Ipv4Addr::UNSPECIFIED).is_err());
        bench.ensure(&vpcs, "two", false);
        bench.attach(&vpcs, "two", 5);
        bench.wait(vpcs.down()).unwrap();
    });
}

#[test]
fn nothing_is_left_after_down() {
    check(|bench| {
        let links = || std::fs::read_to_string("/proc/thread-self/net/dev").unwrap();
        let routes = || std::fs::read_to_string("/proc/thread-self/net/route").unwrap();
        let before = (links().lines().count(), routes());
        let vpcs = bench.open();
        bench.ensure(&vpcs, "one", true);
        bench.ensure(&vpcs, "two", false);
        let mut spec = interface("two", 5);
        spec.is_public = true;
        bench.wait(vpcs.attach(spec)).unwrap();
        bench.attach(&vpcs, "one", 5);
        let full = bench.wait(vpcs.inventory()).unwrap();
        assert_eq!((full.vpcs.len(), full.interfaces.len(), full.links.len()), (2, 2, 2));
        assert_eq!((full.namespaces.len(), full.tables.len(), full.changed_forwarding), (4, 1, true));
        bench.wait(vpcs.down()).unwrap();
        assert!(matches!(bench.wait(vpcs.inventory()), Err(VpcError::Closed)));
        drop(vpcs);
        assert_eq!((links().lines().count(), routes()), before);
        assert!(!bench.run_dir.exists());
        let mounts = std::fs::read_to_string("/proc/thread-self/mounts").unwrap();
        assert!(!mounts.contains(bench.run_dir.to_str().unwrap()), "{mounts}");
        let vpcs = bench.open();
        assert!(bench.wait(vpcs.inventory()).unwrap().is_empty());
        bench.wait(vpcs.down()).unwrap();
    });
}

#[test]
fn requests_repeat_without_harm_and_contradictions_are_refused() {
    check(|bench| {
        let vpcs = bench.open();
        assert!(matches!(bench.wait(vpcs.attach(interface("one", 5))), Err(VpcError::UnknownVpc(_))));
        bench.ensure(&vpcs, "one", false);
        let first = bench.attach(&vpcs, "one", 5);
        assert_eq!(bench.attach(&vpcs, "one", 5), first);
        let other = InterfaceSpec { address: Ipv4Addr::new(172, 31, 0, 9), ..interface("one", 5) };
        assert!(matches!(bench.wait(vpcs.attach(other)), Err(VpcError::Conflict(_))));
        let strange = InterfaceSpec { task: "../x".into(), ..interface("one", 8) };
        assert!(matches!(bench.wait(vpcs.attach(strange)), Err(VpcError::Name(_))));
        // Or after somebody else took it away.
        rustix::mount::unmount(&first.netns, rustix::mount::UnmountFlags::DETACH).unwrap();
        assert_eq!(bench.attach(&vpcs, "one", 5), first);
        inside(&first.netns, || assert!(UdpSocket::bind("172.31.0.5:0").is_ok()));
        // The same interface right after it went: the slow part may not be done yet.
        for _ in 0..5 {
            bench.wait(vpcs.detach("eni-one005")).unwrap();
            bench.wait(vpcs.detach("eni-one005")).unwrap();
            bench.attach(&vpcs, "one", 5);
        }
        bench.wait(vpcs.down()).unwrap();
    });
}

#[test]
fn an_address_goes_to_its_new_owner() {
    check(|bench| {
        let vpcs = bench.open();
        bench.ensure(&vpcs, "one", true);
        let old = bench.attach(&vpcs, "one", 5);
        // A process in it keeps the old namespace, and its link, for as long as it likes.
        let _silent = listen_in(&old);
        let same = InterfaceSpec { address: Ipv4Addr::new(172, 31, 0, 5), ..interface("one", 7) };
        let new = bench.wait(vpcs.attach(same)).unwrap();
        let server = serve_once(listen_in(&new));
        assert_eq!(greet(Ipv4Addr::new(172, 31, 0, 5), 80), "169.254.64.0");
        server.join().unwrap();
        assert!(!old.netns.exists());
        bench.wait(vpcs.down()).unwrap();
    });
}

#[test]
fn a_half_made_interface_goes_at_the_next_start() {
    check(|bench| {
        let vpcs = bench.open();
        bench.ensure(&vpcs, "one", false);
        let (whole, half) = (bench.attach(&vpcs, "one", 5), bench.attach(&vpcs, "one", 6));
        drop(vpcs);
        // The alias is the last step of an attach: take it away from one.
        let vpc = bench.run_dir.join("netns/vpc@000000000000@us-east-1@one");
        inside(&vpc, || {
            let strip = "ip link set dev $(ip -o route get 172.31.0.6 | grep -o 'dev e[0-9a-f]*' | cut -c5-) alias ''";
            assert!(std::process::Command::new("sh").args(["-ec", strip]).status().unwrap().success());
        });
        let vpcs = bench.open();
        let left = bench.wait(vpcs.inventory()).unwrap();
        assert_eq!(left.interfaces, [("eni-one005".into(), "task-one-5".into())]);
        assert!(whole.netns.exists() && !half.netns.exists());
        // Its address and its names are free again.
        assert_eq!(bench.attach(&vpcs, "one", 6), half);
        bench.wait(vpcs.down()).unwrap();
    });
}

#[test]
fn a_vpc_without_its_uplink_goes_at_the_next_start() {
    check(|bench| {
        let vpcs = bench.open();
        bench.ensure(&vpcs, "one", true);
        bench.attach(&vpcs, "one", 5);
        let link = bench.wait(vpcs.inventory()).unwrap().links.remove(0);
        drop(vpcs);
        let delete = ["link", "del", &link];
        assert!(std::process::Command::new("ip").args(delete).status().unwrap().success());
        let vpcs = bench.open();
        let left = bench.wait(vpcs.inventory()).unwrap();
        assert_eq!((left.vpcs.len(), left.interfaces.len(), left.namespaces.len()), (0, 0, 0));
        bench.ensure(&vpcs, "one", true);
        bench.attach(&vpcs, "one", 5);
        bench.wait(vpcs.down()).unwrap();
    });
}
