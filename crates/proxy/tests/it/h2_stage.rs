//! A plane with one HTTPS balancer and one target, on addresses of this test's own.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::Timestamp;
use core_routing::{
    Action, Algorithm, Attributes, Balancer, GroupCheck, GroupKind, HeaderRules, HealthReport, Kind,
    Listener, Matcher, MinimumHealthy, Node, Placed, Protocol, Rule, Scheme, Target, TargetGroup, Version,
    WeightedGroup,
};
use proxy::counts::Metric;
use proxy::{Config, Loopback, Plane};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

use crate::h2_wire::Client;

const PORT: u16 = 8443;
const PLAIN_PORT: u16 = 8080;
const GROUP: &str = "group";

/// Whole requests as they reached the target, health checks left out.
pub type Seen = Arc<Mutex<Vec<String>>>;

pub struct Stage {
    /// The HTTPS listener.
    pub at: SocketAddrV4,
    /// The HTTP listener, with the same rules.
    pub plain: SocketAddrV4,
    seen: Seen,
    plane: Option<Plane>,
    runtime: Runtime,
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Some(plane) = self.plane.take() {
            self.runtime.block_on(plane.close(Duration::ZERO));
        }
    }
}

impl Stage {
    /// A target that answers every request in HTTP/1.1 with its own head and body.
    pub fn http1() -> Self {
        Self::with_http1(false)
    }

    /// A target that passes health checks and answers nothing else.
    pub fn deaf() -> Self {
        Self::with_http1(true)
    }

    fn with_http1(is_deaf: bool) -> Self {
        let (target, seen) = target(is_deaf);
        Self::before(target, Version::Http1, Protocol::Http, seen)
    }

    /// As [`Stage::http1`], with this idle timeout.
    pub fn idle(idle_timeout_for: Duration) -> Self {
        let (target, seen) = target(false);
        let attributes = Attributes { idle_timeout_for, ..Attributes::default() };
        Self::with(target, Version::Http1, Protocol::Http, attributes, seen)
    }

    /// In front of a target on loopback; answers once it is healthy.
    pub fn before(target: u16, version: Version, protocol: Protocol, seen: Seen) -> Self {
        Self::with(target, version, protocol, Attributes::default(), seen)
    }

    /// As [`Stage::http1`], with access logs that go there.
    pub fn logged(logs: Arc<dyn proxy::log::Logs>) -> Self {
        let (target, seen) = target(false);
        let attributes = Attributes { access_log: Some("bucket/a".into()), ..Attributes::default() };
        Self::all(target, Version::Http1, Protocol::Http, attributes, seen, logs)
    }

    fn with(target: u16, version: Version, protocol: Protocol, attributes: Attributes, seen: Seen) -> Self {
        Self::all(target, version, protocol, attributes, seen, Arc::new(proxy::log::NoLogs))
    }

    fn all(
        target: u16,
        version: Version,
        protocol: Protocol,
        attributes: Attributes,
        seen: Seen,
        logs: Arc<dyn proxy::log::Logs>,
    ) -> Self {
        static STAGES: AtomicU8 = AtomicU8::new(1);
        let process = std::process::id();
        let own = STAGES.fetch_add(1, Ordering::Relaxed);
        let node = Ipv4Addr::new(127, 64 | (process >> 8) as u8 & 0x3f, process as u8, own);
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (reports, mut reported) = mpsc::channel::<HealthReport>(64);
        let config = Config {
            workers: 1,
            asked: mpsc::channel(1).0,
            sockets: Arc::new(Loopback),
            reports,
            logs,
            sticky_key: [7; 32],
            chance: base::Chance::new(7),
        };
        let plane = Plane::start(config).unwrap();
        plane.certificate(&crate::tls::certificate("certificate", &["a.example.com"])).unwrap();
        runtime.block_on(async {
            let group = group(target, version, protocol);
            plane.apply(Arc::new(balancer(node, group, attributes))).await.unwrap();
            while reported.recv().await.unwrap().state != core_routing::State::Healthy {}
        });
        Stage {
            at: SocketAddrV4::new(node, PORT),
            plain: SocketAddrV4::new(node, PLAIN_PORT),
            seen,
            plane: Some(plane),
            runtime,
        }
    }

    /// Whole requests that the target saw.
    pub fn requests(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    /// What was counted of the group.
    pub fn counted(&self, metric: Metric) -> u64 {
        let counts = self.plane.as_ref().unwrap().counts();
        let of_group = counts.iter().filter(|(subject, _)| subject.group.is_some());
        of_group.map(|(_, reading)| reading.get(metric)).sum()
    }

    /// A new connection gets its answer.
    pub fn serves(&self) {
        let mut client = Client::ready(self.at);
        client.get(1, "/serves");
        assert_eq!(client.answer(1).0, 200);
    }
}

/// A target in HTTP/1.1, and what it will have seen.
fn target(is_deaf: bool) -> (u16, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let seen = Seen::default();
    let port = listener.local_addr().unwrap().port();
    let keeps = seen.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let seen = keeps.clone();
            std::thread::spawn(move || answer(stream.unwrap(), &seen, is_deaf));
        }
    });
    (port, seen)
}

fn group(target: u16, version: Version, protocol: Protocol) -> TargetGroup {
    let matcher = match version {
        Version::Grpc => Matcher::Grpc(vec![(0, 99)]),
        Version::Http1 | Version::Http2 => Matcher::Http(vec![(200, 499)]),
    };
    let check = GroupCheck {
        protocol,
        port: None,
        path: "/health".into(),
        interval: Duration::from_secs(5),
        timeout: Duration::from_secs(5),
        healthy_after: 2,
        unhealthy_after: 2,
        matcher,
    };
    let target = Target {
        id: "127.0.0.1".into(),
        port: target,
        address: Ipv4Addr::LOCALHOST,
        zone: Some("us-east-1a".into()),
        registered_at: Timestamp::from_secs(1),
        draining_until: None,
    };
    TargetGroup {
        arn: GROUP.into(),
        id: "targetgroup/group/0123456789abcdef".into(),
        kind: GroupKind::Ip,
        protocol,
        version,
        check,
        algorithm: Algorithm::RoundRobin,
        mitigates_anomalies: false,
        stickiness: None,
        slow_start_for: Duration::ZERO,
        deregistration_delay_for: Duration::ZERO,
        held_for: Duration::ZERO,
        cross_zone: true,
        healthy: MinimumHealthy::default(),
        targets: vec![target],
    }
}

fn balancer(node: Ipv4Addr, group: TargetGroup, attributes: Attributes) -> Balancer {
    let groups = vec![WeightedGroup { group: GROUP.into(), weight: 1 }];
    let listener = Listener {
        arn: "listener".into(),
        port: PORT,
        protocol: Protocol::Https,
        ssl_policy: Some("ELBSecurityPolicy-TLS13-1-2-2021-06".into()),
        certificates: vec!["certificate".into()],
        headers: HeaderRules::default(),
        rules: Vec::new(),
        default: Rule {
            arn: "rule".into(),
            priority: 0,
            conditions: Vec::new(),
            rewrites: Vec::new(),
            action: Action::Forward { groups, sticky_for: None },
        },
    };
    let plain = Listener {
        arn: "plain".into(),
        port: PLAIN_PORT,
        protocol: Protocol::Http,
        ssl_policy: None,
        certificates: Vec::new(),
        ..listener.clone()
    };
    let node =
        Node { zone: "us-east-1a".into(), subnet: "subnet-1".into(), eni: "eni-1".into(), address: node };
    Balancer {
        arn: "balancer".into(),
        generation: 1,
        kind: Kind::Application,
        id: "app/web/0123456789abcdef".into(),
        dns_name: "web-1.us-east-1.elb.localhost".into(),
        scheme: Scheme::InternetFacing,
        place: Placed {
            account: "000000000000".into(),
            region: "us-east-1".into(),
            vpc: "vpc-1".into(),
            vpc_cidr: "127.0.0.0/8".into(),
            on_host: true,
            nodes: vec![node],
            alias: None,
            security_groups: Vec::new(),
        },
        attributes,
        listeners: vec![listener, plain],
        groups: BTreeMap::from([(GROUP.into(), Arc::new(group))]),
    }
}

/// Serves a connection until it is closed. What comes is read to the letter: a head, and a body by
/// its length or in chunks.
fn answer(mut stream: TcpStream, seen: &Seen, is_deaf: bool) {
    let mut input = Vec::new();
    while let Some((head, body)) = request(&mut stream, &mut input) {
        let is_check = head.starts_with("GET /health ");
        if is_deaf && !is_check {
            // Held open, unread, for as long as the balancer likes.
            std::thread::park();
        }
        let echo = format!("{head}{body}");
        if !is_check {
            seen.lock().unwrap().push(echo.clone());
        }
        let body = if head.starts_with("HEAD ") { "" } else { echo.as_str() };
        let answer =
            format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nx-from: target\r\n\r\n{body}", echo.len());
        if stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

fn request(stream: &mut TcpStream, input: &mut Vec<u8>) -> Option<(String, String)> {
    let end = upto(stream, input, b"\r\n\r\n")?;
    let head = String::from_utf8(input.drain(..end).collect()).unwrap();
    let field = |name: &str| {
        let lower = head.to_ascii_lowercase();
        lower.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(": ")?.to_owned()))
    };
    let mut body = Vec::new();
    if let Some(length) = field("content-length") {
        let length = length.parse().unwrap();
        while input.len() < length {
            more(stream, input)?;
        }
        body.extend(input.drain(..length));
    } else if field("transfer-encoding").is_some() {
        loop {
            let line = upto(stream, input, b"\r\n")?;
            let size = String::from_utf8(input.drain(..line).collect()).unwrap();
            let size = usize::from_str_radix(size.trim(), 16).unwrap();
            if size == 0 {
                break;
            }
            while input.len() < size + 2 {
                more(stream, input)?;
            }
            body.extend(input.drain(..size));
            input.drain(..2);
        }
        loop {
            let line = upto(stream, input, b"\r\n")?;
            if line == 2 {
                input.drain(..2);
                break;
            }
            body.extend(input.drain(..line));
        }
    }
    Some((head, String::from_utf8_lossy(&body).into_owned()))
}

fn upto(stream: &mut TcpStream, input: &mut Vec<u8>, end: &[u8]) -> Option<usize> {
    loop {
        if let Some(at) = input.windows(end.len()).position(|window| window == end) {
            return Some(at + end.len());
        }
        more(stream, input)?;
    }
}

fn more(stream: &mut TcpStream, input: &mut Vec<u8>) -> Option<()> {
    let mut bytes = [0; 64 * 1024];
    match stream.read(&mut bytes) {
        Ok(0) | Err(_) => None,
        Ok(count) => {
            input.extend(&bytes[..count]);
            Some(())
        }
    }
}
