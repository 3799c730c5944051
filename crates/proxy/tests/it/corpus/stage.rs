//! A plane with one balancer at an address of its own, and two targets.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddrV4, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::{Chance, Timestamp};
use core_routing::{
    Algorithm, Attributes, Balancer, GroupCheck, GroupKind, HealthReport, Kind, Listener, Matcher,
    MinimumHealthy, Node, Placed, Protocol, Scheme, State, Target, TargetGroup, Version,
};
use proxy::counts::{Reading, Subject};
use proxy::{Config, Loopback, Plane};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

const PATIENCE: Duration = Duration::from_secs(20);

pub struct Stage {
    runtime: Runtime,
    plane: Option<Plane>,
    node: Ipv4Addr,
    port: u16,
    generation: u64,
    groups: BTreeMap<Arc<str>, Arc<TargetGroup>>,
    targets: Arc<Targets>,
    reports: mpsc::Receiver<HealthReport>,
    is_ready: bool,
}

/// What targets saw, health checks left out.
#[derive(Default)]
struct Targets {
    seen: AtomicUsize,
    odd: Mutex<Vec<String>>,
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    head: String,
    pub body: String,
    /// To a HEAD request: the body is left out.
    pub is_head: bool,
    /// Whether the balancer closed the connection behind the answer by itself.
    pub is_closed: bool,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<String> {
        let fields = self.head.lines().filter_map(|line| line.split_once(':'));
        let mut values = fields.filter(|(known, _)| known.eq_ignore_ascii_case(name));
        values.next().map(|(_, value)| value.trim().to_owned())
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Some(plane) = self.plane.take() {
            self.runtime.block_on(plane.close(Duration::ZERO));
        }
    }
}

impl Stage {
    pub fn new() -> Stage {
        Self::with_logs(Arc::new(proxy::log::NoLogs))
    }

    pub fn with_logs(logs: Arc<dyn proxy::log::Logs>) -> Stage {
        static STAGES: AtomicU8 = AtomicU8::new(1);
        let process = std::process::id();
        let own = STAGES.fetch_add(1, Ordering::Relaxed);
        let node = Ipv4Addr::new(127, 192 | (process >> 8) as u8 & 0x3f, process as u8, own);
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (sender, reports) = mpsc::channel(64);
        let config = Config {
            workers: 1,
            asked: mpsc::channel(1).0,
            sockets: Arc::new(Loopback),
            reports: sender,
            logs,
            sticky_key: [7; 32],
            chance: Chance::new(7),
        };
        let targets = Arc::new(Targets::default());
        let groups =
            ["blue", "green"].map(|name| (name.into(), Arc::new(group(name, target(name, &targets)))));
        Stage {
            plane: Some(Plane::start(config).unwrap()),
            runtime,
            node,
            port: 0,
            generation: 0,
            groups: groups.into(),
            targets,
            reports,
            is_ready: false,
        }
    }

    /// Serves that listener from now on, in place of the one before.
    pub fn serve(&mut self, listener: Listener, attributes: Attributes) {
        self.generation += 1;
        self.port = listener.port;
        let balancer = self.balancer(listener, attributes);
        let plane = self.plane.as_ref().unwrap();
        self.runtime.block_on(plane.apply(Arc::new(balancer))).unwrap();
        while !self.is_ready {
            let mut healthy = 0;
            while healthy < 2 {
                let report = self.runtime.block_on(self.reports.recv()).unwrap();
                healthy += usize::from(report.state == State::Healthy);
            }
            self.is_ready = true;
        }
    }

    fn balancer(&self, listener: Listener, attributes: Attributes) -> Balancer {
        let node =
            Node { zone: "us-east-1a".into(), subnet: "s".into(), eni: "e".into(), address: self.node };
        Balancer {
            arn: "balancer".into(),
            generation: self.generation,
            kind: Kind::Application,
            id: "app/corpus/0123456789abcdef".into(),
            dns_name: "corpus.test".into(),
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
            listeners: vec![listener],
            groups: self.groups.clone(),
        }
    }

    /// What was counted, added up over workers.
    pub fn counts(&self) -> BTreeMap<Subject, Reading> {
        self.plane.as_ref().unwrap().counts()
    }

    /// Ends the plane, and with it every line on its way.
    pub fn close(&mut self) {
        let plane = self.plane.take().unwrap();
        self.runtime.block_on(plane.close(PATIENCE));
    }

    /// Requests that reached a target.
    pub fn seen(&self) -> usize {
        self.targets.seen.load(Ordering::SeqCst)
    }

    /// Nothing reached a target but requests in one clean form.
    pub fn all_were_whole(&self) {
        assert_eq!(self.targets.odd.lock().unwrap().as_slice(), [] as [String; 0]);
    }

    /// Sends the bytes over a connection of their own and reads one answer.
    pub fn ask(&self, request: &str) -> Answer {
        let mut stream = TcpStream::connect(SocketAddrV4::new(self.node, self.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut bytes = Vec::new();
        let end = loop {
            if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            if read_more(&mut stream, &mut bytes) == 0 {
                panic!("no answer to {request:?}, but {:?}", String::from_utf8_lossy(&bytes));
            }
        };
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let is_head = request.starts_with("HEAD ");
        let mut answer = Answer { status, head, body: String::new(), is_head, is_closed: false };
        let length: usize = answer.header("content-length").map_or(0, |length| length.parse().unwrap());
        let length = if is_head { 0 } else { length };
        while bytes.len() < end + length {
            assert_ne!(read_more(&mut stream, &mut bytes), 0, "half an answer to {request:?}");
        }
        answer.body = String::from_utf8(bytes[end..end + length].to_vec()).unwrap();
        let says_close = answer.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        // Where it says so, it does so. Elsewhere we close.
        if !says_close {
            let _ = stream.shutdown(Shutdown::Both);
        }
        answer.is_closed = says_close && read_more(&mut stream, &mut bytes) == 0;
        answer
    }
}

/// An end by a reset is an end: what the balancer did not read may cause one.
fn read_more(stream: &mut TcpStream, into: &mut Vec<u8>) -> usize {
    let mut buffer = [0; 4096];
    match stream.read(&mut buffer) {
        Ok(count) => {
            into.extend_from_slice(&buffer[..count]);
            count
        }
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => 0,
        Err(error) => panic!("{error}"),
    }
}

/// A server that answers with its name, the host and the target that it was asked for.
fn target(name: &'static str, targets: &Arc<Targets>) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let targets = targets.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let targets = targets.clone();
            std::thread::spawn(move || while answer(&stream, name, &targets).is_some() {});
        }
    });
    port
}

fn answer(mut stream: &TcpStream, name: &str, targets: &Targets) -> Option<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).ok()? == 0 {
            if !head.is_empty() {
                targets.odd(format!("half a head: {:?}", String::from_utf8_lossy(&head)));
            }
            return None;
        }
        head.push(byte[0]);
    }
    let text = String::from_utf8_lossy(&head).into_owned();
    let header = |wanted: &str| {
        let fields = text.lines().skip(1).filter_map(|line| line.split_once(':'));
        let values = fields.filter(|(known, _)| known.eq_ignore_ascii_case(wanted));
        values.map(|(_, value)| value.trim().to_owned()).collect::<Vec<_>>()
    };
    if header("user-agent") != ["ELB-HealthChecker/2.0"] {
        targets.seen.fetch_add(1, Ordering::SeqCst);
        targets.look(&text, &header("content-length"), &header("transfer-encoding"));
    }
    // What a body says is never taken for a request: it is read to its end.
    if header("transfer-encoding").is_empty() {
        let length: usize = header("content-length").first().map_or(0, |length| length.parse().unwrap_or(0));
        stream.read_exact(&mut vec![0; length]).ok()?;
    } else {
        let mut body = Vec::new();
        while !body.ends_with(b"0\r\n\r\n") {
            stream.read_exact(&mut byte).ok()?;
            body.push(byte[0]);
        }
    }
    let mut parts = text.split(' ');
    let (method, target) = (parts.next()?, parts.next()?);
    let body = format!("{name}\n{}\n{target}", header("host").join(","));
    let length = body.len();
    let body = if method == "HEAD" { String::new() } else { body };
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}").ok()
}

impl Targets {
    fn odd(&self, what: String) {
        self.odd.lock().unwrap().push(what);
    }

    /// One reading, whoever reads it.
    fn look(&self, head: &str, lengths: &[String], encodings: &[String]) {
        let line = head.lines().next().unwrap_or_default();
        let fields = head.strip_suffix("\r\n\r\n").unwrap_or_default().split("\r\n").skip(1);
        let is_clean = |field: &str| {
            let name = field.split(':').next().unwrap_or_default();
            let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() && b != b':');
            is_name && field.contains(':') && !field.bytes().any(|b| b < b' ' && b != b'\t')
        };
        let mut reasons = Vec::new();
        if line.split(' ').count() != 3 || !line.ends_with(" HTTP/1.1") || line.bytes().any(|b| b < b' ') {
            reasons.push("request line");
        }
        if !fields.clone().all(is_clean) {
            reasons.push("field");
        }
        if lengths.len() + encodings.len() > 1 || encodings.iter().any(|value| value != "chunked") {
            reasons.push("framing");
        }
        if lengths.iter().any(|length| length.is_empty() || !length.bytes().all(|b| b.is_ascii_digit())) {
            reasons.push("length");
        }
        if !reasons.is_empty() {
            self.odd(format!("{reasons:?}: {head:?}"));
        }
    }
}

fn group(name: &str, port: u16) -> TargetGroup {
    let target = Target {
        id: "127.0.0.1".into(),
        port,
        address: Ipv4Addr::LOCALHOST,
        zone: None,
        registered_at: Timestamp::EPOCH,
        draining_until: None,
    };
    TargetGroup {
        arn: name.into(),
        id: format!("targetgroup/{name}/0123456789abcdef").into(),
        kind: GroupKind::Ip,
        protocol: Protocol::Http,
        version: Version::Http1,
        check: GroupCheck {
            protocol: Protocol::Http,
            port: None,
            path: "/".into(),
            interval: Duration::from_secs(30),
            timeout: PATIENCE,
            healthy_after: 2,
            unhealthy_after: 2,
            matcher: Matcher::Http(vec![(200, 200)]),
        },
        algorithm: Algorithm::RoundRobin,
        mitigates_anomalies: false,
        stickiness: None,
        slow_start_for: Duration::ZERO,
        deregistration_delay_for: Duration::from_secs(300),
        held_for: Duration::ZERO,
        cross_zone: true,
        healthy: MinimumHealthy::default(),
        targets: vec![target],
    }
}
