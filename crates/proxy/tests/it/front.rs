//! A plane on loopback with one plain listener, and targets that do as they are told.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddrV4, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::{Chance, Timestamp};
use core_routing::{
    Action, Algorithm, Attributes, Balancer, GroupCheck, GroupKind, HeaderRules, HealthReport, Kind,
    Listener, Matcher, MinimumHealthy, Node, Placed, Protocol, Rule, Scheme, Target, TargetGroup, Version,
    WeightedGroup,
};
use proxy::log::NoLogs;
use proxy::{Config, Loopback, Plane};
use tokio::runtime::Runtime;

pub const PORT: u16 = 8080;
/// So long a test waits for what should come at once.
const PATIENCE: Duration = Duration::from_secs(20);

/// A plane, and the table that it serves.
pub struct Front {
    pub at: SocketAddrV4,
    pub table: Balancer,
    plane: Option<Plane>,
    runtime: Runtime,
    /// Groups that hold requests, as the plane tells them.
    asked: tokio::sync::mpsc::Receiver<Arc<str>>,
}

impl Front {
    /// One listener that forwards to a group of these targets.
    pub fn to(targets: &[SocketAddrV4]) -> Self {
        Self::with(targets, |_| {})
    }

    /// As [`Front::to`], with a table that `change` has been at.
    pub fn with(targets: &[SocketAddrV4], change: impl FnOnce(&mut Balancer)) -> Self {
        static FRONTS: AtomicU16 = AtomicU16::new(1);
        let process = std::process::id();
        let own = FRONTS.fetch_add(1, Ordering::Relaxed);
        let node = Ipv4Addr::new(127, 128 | (process >> 8) as u8 & 0x3f, process as u8, own as u8);
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (reports, mut reported) = tokio::sync::mpsc::channel(64);
        runtime.spawn(async move { while reported.recv().await.is_some() {} });
        let (sender, asked) = tokio::sync::mpsc::channel(64);
        let config = Config {
            workers: 2,
            asked: sender,
            sockets: Arc::new(Loopback),
            reports,
            logs: Arc::new(NoLogs),
            sticky_key: [7; 32],
            chance: Chance::new(7),
        };
        let plane = Plane::start(config).unwrap();
        let mut table = table(node, targets);
        change(&mut table);
        let front = Front { at: SocketAddrV4::new(node, PORT), table, plane: Some(plane), runtime, asked };
        front.apply();
        front
    }

    fn apply(&self) {
        let plane = self.plane.as_ref().unwrap();
        self.runtime.block_on(plane.apply(Arc::new(self.table.clone()))).unwrap();
    }

    /// Serves a changed table.
    pub fn change(&mut self, change: impl FnOnce(&mut Balancer)) {
        change(&mut self.table);
        self.table.generation += 1;
        self.apply();
    }

    /// Tells what others saw of the targets of the table that comes next.
    pub fn recall(&self, reports: Vec<HealthReport>) {
        self.runtime.block_on(self.plane().recall(reports));
    }

    pub fn group(&mut self, change: impl FnOnce(&mut TargetGroup)) {
        self.change(|table| {
            let group = table.groups.values_mut().next().unwrap();
            change(Arc::make_mut(group));
        });
    }

    /// Serves another balancer as well.
    pub fn serve(&self, table: Balancer) {
        self.runtime.block_on(self.plane().apply(Arc::new(table))).unwrap();
    }

    pub fn close(&mut self, within: Duration) {
        if let Some(plane) = self.plane.take() {
            self.runtime.block_on(plane.close(within));
        }
    }

    pub fn remove(&self) {
        self.runtime.block_on(self.plane.as_ref().unwrap().remove("arn:balancer"));
    }

    pub fn plane(&self) -> &Plane {
        self.plane.as_ref().unwrap()
    }

    /// Waits until the plane tells that somebody asks for a group.
    pub fn asked(&mut self) -> Arc<str> {
        let next = async { tokio::time::timeout(PATIENCE, self.asked.recv()).await };
        self.runtime.block_on(next).unwrap().unwrap()
    }

    pub fn client(&self) -> Client {
        Client::to(self.at)
    }

    /// One request on a connection of its own; the whole answer.
    pub fn ask(&self, request: &str) -> Answer {
        let mut client = self.client();
        client.send(request.as_bytes());
        client.answer()
    }

    /// A small request.
    pub fn get(&self, path: &str) -> Answer {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: a.example.com\r\n\r\n"))
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.close(Duration::ZERO);
    }
}

fn table(node: Ipv4Addr, targets: &[SocketAddrV4]) -> Balancer {
    let place = Placed {
        account: "000000000000".into(),
        region: "us-east-1".into(),
        vpc: "vpc-1".into(),
        vpc_cidr: "127.0.0.0/8".into(),
        on_host: true,
        nodes: vec![Node {
            zone: "us-east-1a".into(),
            subnet: "subnet-1".into(),
            eni: "eni-1".into(),
            address: node,
        }],
        alias: None,
        security_groups: Vec::new(),
    };
    Balancer {
        arn: "arn:balancer".into(),
        generation: 1,
        kind: Kind::Application,
        id: "app/test/0123456789abcdef".into(),
        dns_name: "test.elb.localhost".into(),
        scheme: Scheme::InternetFacing,
        place,
        attributes: Attributes::default(),
        listeners: vec![listener(PORT, forward("group"))],
        groups: BTreeMap::from([("group".into(), Arc::new(group("group", targets)))]),
    }
}

pub fn forward(group: &str) -> Action {
    Action::Forward { groups: vec![WeightedGroup { group: group.into(), weight: 1 }], sticky_for: None }
}

pub fn listener(port: u16, action: Action) -> Listener {
    let default =
        Rule { arn: "rule".into(), priority: 0, conditions: Vec::new(), rewrites: Vec::new(), action };
    Listener {
        arn: format!("listener/{port}").into(),
        port,
        protocol: Protocol::Http,
        ssl_policy: None,
        certificates: Vec::new(),
        headers: HeaderRules::default(),
        rules: Vec::new(),
        default,
    }
}

pub fn target(at: SocketAddrV4) -> Target {
    Target {
        id: at.to_string().into(),
        port: at.port(),
        address: *at.ip(),
        zone: None,
        registered_at: Timestamp::from_secs(1),
        draining_until: None,
    }
}

pub fn group(arn: &str, targets: &[SocketAddrV4]) -> TargetGroup {
    let check = GroupCheck {
        protocol: Protocol::Http,
        // Checks go where nobody is: all targets serve, since none is healthy.
        port: Some(1),
        path: "/health".into(),
        interval: Duration::from_secs(300),
        timeout: Duration::from_secs(5),
        healthy_after: 2,
        unhealthy_after: 10,
        matcher: Matcher::Http(vec![(200, 499)]),
    };
    TargetGroup {
        arn: arn.into(),
        id: format!("targetgroup/{arn}/0123456789abcdef").into(),
        kind: GroupKind::Ip,
        protocol: Protocol::Http,
        version: Version::Http1,
        check,
        algorithm: Algorithm::RoundRobin,
        mitigates_anomalies: false,
        stickiness: None,
        slow_start_for: Duration::ZERO,
        deregistration_delay_for: Duration::from_secs(300),
        held_for: Duration::ZERO,
        cross_zone: true,
        healthy: MinimumHealthy::default(),
        targets: targets.iter().map(|at| target(*at)).collect(),
    }
}

/// A target on a port of its own: each connection is handed to `serve` on a thread of its own.
pub fn scripted(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddrV4 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = SocketAddrV4::new(Ipv4Addr::LOCALHOST, listener.local_addr().unwrap().port());
    let serve = Arc::new(serve);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, serve) = (stream.unwrap(), serve.clone());
            stream.set_nodelay(true).unwrap();
            std::thread::spawn(move || serve(stream));
        }
    });
    at
}

/// A request as a target of strict reading sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub line: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut all = self.headers.iter();
        all.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// Requests that a target got, in turn, and what it could not read.
#[derive(Clone, Default)]
pub struct Seen {
    requests: Arc<Mutex<Vec<Request>>>,
    garbage: Arc<Mutex<Vec<String>>>,
}

impl Seen {
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    pub fn garbage(&self) -> Vec<String> {
        self.garbage.lock().unwrap().clone()
    }

    pub fn last(&self) -> Request {
        self.requests().pop().expect("a request")
    }
}

/// A target that notes each request and says which one it was.
pub fn recording() -> (SocketAddrV4, Seen) {
    let seen = Seen::default();
    let noted = seen.clone();
    let at = scripted(move |mut stream| {
        let mut input = Vec::new();
        loop {
            match read_request(&mut stream, &mut input) {
                Ok(Some(request)) => {
                    let is_head = request.line.starts_with("HEAD");
                    let text = format!("{} {}", request.line, String::from_utf8_lossy(&request.body));
                    noted.requests.lock().unwrap().push(request);
                    let length = text.len();
                    let text = if is_head { "" } else { &text };
                    let answer =
                        format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nX-Target: yes\r\n\r\n{text}");
                    if stream.write_all(answer.as_bytes()).is_err() {
                        return;
                    }
                }
                Ok(None) => return,
                Err(error) => {
                    noted.garbage.lock().unwrap().push(error);
                    return;
                }
            }
        }
    });
    (at, seen)
}

/// Strictly: what is not exactly HTTP/1.1 is an error.
pub fn read_request(stream: &mut TcpStream, input: &mut Vec<u8>) -> Result<Option<Request>, String> {
    let head = loop {
        if let Some(at) = find(input, b"\r\n\r\n") {
            break at + 4;
        }
        if !more(stream, input) {
            return if input.is_empty() { Ok(None) } else { Err(format!("half a head: {}", show(input))) };
        }
    };
    let text = String::from_utf8(input[..head].to_vec()).map_err(|error| error.to_string())?;
    input.drain(..head);
    let mut lines = text.trim_end_matches("\r\n").split("\r\n");
    let line = lines.next().unwrap_or_default().to_owned();
    if line.split(' ').count() != 3 || !line.ends_with(" HTTP/1.1") {
        return Err(format!("a request line: {line}"));
    }
    let mut headers = Vec::new();
    for line in lines {
        let (name, value) = line.split_once(':').ok_or_else(|| format!("no header: {line}"))?;
        let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_name || value.chars().any(char::is_control) {
            return Err(format!("no header: {line}"));
        }
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
    let all = |name: &str| -> Vec<String> {
        let fits = headers.iter().filter(|(known, _)| known.replace('_', "-").eq_ignore_ascii_case(name));
        fits.map(|(_, value)| value.clone()).collect()
    };
    let body = match (&all("content-length")[..], &all("transfer-encoding")[..]) {
        ([], []) => Vec::new(),
        ([length], []) => {
            let length: usize = length.parse().map_err(|_| format!("a length: {length}"))?;
            while input.len() < length {
                if !more(stream, input) {
                    return Err("half a body".into());
                }
            }
            input.drain(..length).collect()
        }
        ([], [coding]) if coding == "chunked" => read_chunks(stream, input)?,
        other => return Err(format!("framing: {other:?}")),
    };
    Ok(Some(Request { line, headers, body }))
}

fn read_chunks(stream: &mut TcpStream, input: &mut Vec<u8>) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    let mut line = |input: &mut Vec<u8>| loop {
        if let Some(at) = find(input, b"\r\n") {
            let line: Vec<u8> = input.drain(..at + 2).collect();
            return Ok(String::from_utf8_lossy(&line[..at]).into_owned());
        }
        if !more(stream, input) {
            return Err("half a chunk".to_owned());
        }
    };
    loop {
        let size = line(input)?;
        let size = usize::from_str_radix(&size, 16).map_err(|_| format!("a chunk's size: {size}"))?;
        if size == 0 {
            while !line(input)?.is_empty() {}
            return Ok(body);
        }
        let mut left = size;
        while left > 0 {
            if input.is_empty() {
                // Reads at least a line's worth.
                let text = line(input)?;
                body.extend_from_slice(text.as_bytes());
                left = left.checked_sub(text.len()).ok_or("a long chunk")?;
                if left > 0 {
                    body.extend_from_slice(b"\r\n");
                    left = left.checked_sub(2).ok_or("a long chunk")?;
                } else {
                    input.splice(..0, *b"\r\n");
                }
                continue;
            }
            let count = left.min(input.len());
            body.extend(input.drain(..count));
            left -= count;
        }
        if !line(input)?.is_empty() {
            return Err("a chunk without its end".into());
        }
    }
}

/// Reads what is there; false at the end.
pub fn more(stream: &mut TcpStream, input: &mut Vec<u8>) -> bool {
    let mut bytes = [0; 65536];
    match stream.read(&mut bytes) {
        Ok(0) | Err(_) => false,
        Ok(count) => {
            input.extend_from_slice(&bytes[..count]);
            true
        }
    }
}

pub fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|part| part == what)
}

fn show(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).escape_debug().to_string()
}

/// A client's connection.
pub struct Client {
    pub stream: TcpStream,
    pub input: Vec<u8>,
}

/// An answer with its body out of its framing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
    /// The body broke off.
    pub is_broken: bool,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.split("\r\n").filter_map(|line| line.split_once(": "));
        lines.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Client {
    pub fn to(at: SocketAddrV4) -> Self {
        let stream = TcpStream::connect(at).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Client { stream, input: Vec::new() }
    }

    /// Sends as far as the other side takes it.
    pub fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    pub fn end(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Everything until the connection is closed. A reset counts as its end.
    pub fn rest(&mut self) -> Vec<u8> {
        loop {
            let mut bytes = [0; 65536];
            match self.stream.read(&mut bytes) {
                Ok(0) => break,
                Ok(count) => self.input.extend_from_slice(&bytes[..count]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
                Err(error) => panic!("{error}, after {}", show(&self.input)),
            }
        }
        std::mem::take(&mut self.input)
    }

    /// The next answer; to a request for a head if `is_head`.
    pub fn answer_to(&mut self, is_head: bool) -> Answer {
        self.try_answer(is_head).unwrap_or_else(|| panic!("no answer, but {}", show(&self.input)))
    }

    pub fn answer(&mut self) -> Answer {
        self.answer_to(false)
    }

    /// `None`: the connection was closed before a whole head.
    pub fn try_answer(&mut self, is_head: bool) -> Option<Answer> {
        let head = loop {
            if let Some(at) = find(&self.input, b"\r\n\r\n") {
                break at + 4;
            }
            if !more(&mut self.stream, &mut self.input) {
                return None;
            }
        };
        let head: Vec<u8> = self.input.drain(..head).collect();
        let head = String::from_utf8_lossy(&head).into_owned();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        let mut answer = Answer { status, head, body: Vec::new(), is_broken: false };
        if is_head || matches!(status, 100..=199 | 204 | 304) {
            return Some(answer);
        }
        if answer.header("transfer-encoding").is_some() {
            match read_chunks(&mut self.stream, &mut self.input) {
                Ok(body) => answer.body = body,
                Err(_) => answer.is_broken = true,
            }
            return Some(answer);
        }
        let length = answer.header("content-length").map(|length| length.parse::<usize>().unwrap());
        while length.is_none_or(|length| self.input.len() < length) {
            if !more(&mut self.stream, &mut self.input) {
                answer.is_broken = length.is_some();
                break;
            }
        }
        let length = length.unwrap_or(usize::MAX).min(self.input.len());
        answer.body = self.input.drain(..length).collect();
        Some(answer)
    }
}
