//! Checks against servers on loopback.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use bytes::Bytes;
use core_routing::{
    Algorithm, Attributes, GroupCheck, GroupKind, Kind, Matcher, MinimumHealthy, Node, Placed, Protocol,
    Reason, Scheme, Version,
};

use super::*;
use crate::log::{Batch, Logs, Writer};
use crate::sockets::Loopback;

const PATIENCE: Duration = Duration::from_secs(20);

/// What a server does with each connection.
type Serve = Box<dyn FnMut(TcpStream) + Send>;

/// A server on a port of its own, for as long as the test runs.
fn serve(mut with: Serve) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || listener.incoming().map_while(Result::ok).for_each(&mut with));
    port
}

/// Reads a head and answers with what `answers` says, over and over for the last one.
fn answering(answers: &[&'static str], heads: Option<SyncSender<String>>) -> Serve {
    let mut answers: std::collections::VecDeque<_> = answers.iter().copied().collect();
    Box::new(move |mut stream| {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
            head.push(byte[0]);
        }
        let answer = if answers.len() > 1 { answers.pop_front().unwrap() } else { answers[0] };
        let _ = stream.write_all(answer.as_bytes());
        if let Some(heads) = &heads {
            let _ = heads.try_send(String::from_utf8_lossy(&head).into_owned());
        }
    })
}

fn check() -> GroupCheck {
    GroupCheck {
        protocol: Protocol::Http,
        port: None,
        path: "/health?deep=1".into(),
        interval: Duration::from_millis(20),
        timeout: PATIENCE,
        healthy_after: 2,
        unhealthy_after: 2,
        matcher: Matcher::http("200-299").unwrap(),
    }
}

fn balancer(check: GroupCheck, version: Version, port: u16, registered_at: i64) -> Arc<Balancer> {
    let target = Target {
        id: "127.0.0.1".into(),
        port,
        address: Ipv4Addr::LOCALHOST,
        zone: None,
        registered_at: Timestamp::from_secs(registered_at),
        draining_until: None,
    };
    let group = TargetGroup {
        arn: "group".into(),
        id: "targetgroup/blue/0123456789abcdef".into(),
        kind: GroupKind::Ip,
        protocol: Protocol::Http,
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
    };
    let node = Node {
        zone: "us-east-1a".into(),
        subnet: String::new(),
        eni: String::new(),
        address: Ipv4Addr::LOCALHOST,
    };
    Arc::new(Balancer {
        arn: "balancer".into(),
        generation: 1,
        kind: Kind::Application,
        id: "app/b/1".into(),
        dns_name: "b.test".into(),
        scheme: Scheme::Internal,
        place: Placed {
            account: String::new(),
            region: String::new(),
            vpc: String::new(),
            vpc_cidr: String::new(),
            on_host: true,
            nodes: vec![node],
            alias: None,
            security_groups: Vec::new(),
        },
        attributes: Attributes { health_log: Some("logs".into()), ..Attributes::default() },
        listeners: Vec::new(),
        groups: BTreeMap::from([("group".into(), Arc::new(group))]),
    })
}

/// A checker with all that comes out of it.
struct Bench {
    checker: Checker,
    reports: mpsc::Receiver<HealthReport>,
    lines: Receiver<String>,
    /// Whether workers hold something against every target.
    is_anomalous: Arc<AtomicBool>,
    _writer: Writer,
}

struct Lines(Mutex<SyncSender<String>>);

impl Logs for Lines {
    fn keep(&self, batch: &Batch) {
        let lines = self.0.lock().unwrap();
        batch.lines.lines().for_each(|line| drop(lines.try_send(line.to_owned())));
    }
}

fn bench() -> Bench {
    let (sender, reports) = mpsc::channel(64);
    let (lines, kept) = sync_channel(64);
    let writer = Writer::start(Arc::new(Lines(Mutex::new(lines)))).unwrap();
    let is_anomalous = Arc::new(AtomicBool::new(false));
    let asked = is_anomalous.clone();
    let config = Config {
        sockets: Arc::new(Loopback),
        reports: sender,
        turned: Arc::new(|_| {}),
        anomaly: Arc::new(move |_| Anomaly {
            is_anomalous: asked.load(Ordering::SeqCst),
            ..Anomaly::default()
        }),
        known: Arc::new(|_, _| State::Initial),
        book: writer.book(),
        seed: 1,
    };
    Bench { checker: Checker::start(config).unwrap(), reports, lines: kept, is_anomalous, _writer: writer }
}

impl Bench {
    async fn next(&mut self) -> (State, Option<Reason>) {
        let report = tokio::time::timeout(PATIENCE, self.reports.recv()).await.unwrap().unwrap();
        (report.state, report.reason)
    }

    fn line(&self) -> String {
        self.lines.recv_timeout(PATIENCE).unwrap()
    }
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
const BUSY: &str = "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n";

#[tokio::test]
async fn a_new_target_is_healthy_after_one_check_and_is_asked_as_aws_asks() {
    let (heads, seen) = sync_channel(64);
    let port = serve(answering(&[OK], Some(heads)));
    let mut bench = bench();
    bench.checker.apply(balancer(check(), Version::Http1, port, 1)).await;
    assert_eq!(bench.next().await, (State::Healthy, None));
    let expected = format!(
        "GET /health?deep=1 HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\
         User-Agent: ELB-HealthChecker/2.0\r\nAccept-Encoding: gzip, compressed\r\n\r\n"
    );
    assert_eq!(seen.recv_timeout(PATIENCE).unwrap(), expected);
    let line = bench.line();
    assert!(line.starts_with("http ") && line.contains(" blue PASS 200 -"), "{line}");
}

#[tokio::test]
async fn a_new_target_is_found_well_long_before_its_next_check_is_due() {
    let port = serve(answering(&[BUSY, BUSY, BUSY, OK], None));
    let mut bench = bench();
    let slow = GroupCheck { interval: Duration::from_secs(300), ..check() };
    bench.checker.apply(balancer(slow, Version::Http1, port, 1)).await;
    assert_eq!(bench.next().await, (State::Initial, Some(Reason::FirstChecks)));
    assert_eq!(bench.next().await, (State::Healthy, None));
    // Early probes that failed are not among the lines.
    assert!(bench.line().contains(" FAIL 503 "));
    assert!(bench.line().contains(" PASS 200 "));
}

#[tokio::test]
async fn a_target_turns_by_thresholds_in_both_directions() {
    let port = serve(answering(&[BUSY, BUSY, OK, OK, BUSY, OK, BUSY, BUSY], None));
    let mut bench = bench();
    bench.checker.apply(balancer(check(), Version::Http1, port, 1)).await;
    assert_eq!(bench.next().await, (State::Initial, Some(Reason::FirstChecks)));
    assert_eq!(bench.next().await, (State::Unhealthy, Some(Reason::Code(503))));
    assert_eq!(bench.next().await, (State::Healthy, None));
    // One failure between passes is not two in a row.
    assert_eq!(bench.next().await, (State::Unhealthy, Some(Reason::Code(503))));
    let line = bench.line();
    assert!(line.contains(" FAIL 503 TargetError"), "{line}");
}

#[tokio::test]
async fn anomalies_are_told_once_each_time_they_change() {
    let port = serve(answering(&[OK], None));
    let mut bench = bench();
    let mut table = balancer(check(), Version::Http1, port, 1);
    for group in Arc::make_mut(&mut table).groups.values_mut() {
        Arc::make_mut(group).mitigates_anomalies = true;
    }
    bench.checker.apply(table).await;
    for is_anomalous in [false, true, false] {
        bench.is_anomalous.store(is_anomalous, Ordering::SeqCst);
        let report = tokio::time::timeout(PATIENCE, bench.reports.recv()).await.unwrap().unwrap();
        assert_eq!((report.state, report.anomaly.is_anomalous), (State::Healthy, is_anomalous));
        // More probes come, and say nothing new.
        (0..3).for_each(|_| drop(bench.line()));
        assert!(bench.reports.try_recv().is_err());
    }
}

#[tokio::test]
async fn what_goes_wrong_has_its_reason() {
    let refused = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let mut held = Vec::new();
    let cases: Vec<(u16, Reason)> = vec![
        (refused, Reason::Failed),
        (serve(answering(&["garbage\r\n\r\n"], None)), Reason::Failed),
        (serve(answering(&["HTTP/1.1 20"], None)), Reason::Failed),
        (serve(answering(&[""], None)), Reason::Failed),
        (serve(Box::new(move |stream| held.push(stream))), Reason::Timeout),
    ];
    for (port, reason) in cases {
        let mut bench = bench();
        let timeout = if reason == Reason::Timeout { Duration::from_millis(100) } else { PATIENCE };
        let hasty = GroupCheck { timeout, unhealthy_after: 1, ..check() };
        bench.checker.apply(balancer(hasty, Version::Http1, port, 1)).await;
        assert_eq!(bench.next().await, (State::Unhealthy, Some(reason)));
    }
}

#[tokio::test]
async fn informational_answers_do_not_count() {
    let port =
        serve(answering(&["HTTP/1.1 103 Early Hints\r\nA: b\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"], None));
    let mut bench = bench();
    bench.checker.apply(balancer(check(), Version::Http1, port, 1)).await;
    assert_eq!(bench.next().await, (State::Healthy, None));
}

#[tokio::test]
async fn a_target_that_is_registered_anew_begins_anew() {
    let port = serve(answering(&[OK], None));
    let mut bench = bench();
    bench.checker.apply(balancer(check(), Version::Http1, port, 1)).await;
    let first = bench.reports.recv().await.unwrap();
    // The same table again changes nothing; a newer registration does.
    bench.checker.apply(balancer(check(), Version::Http1, port, 1)).await;
    bench.checker.apply(balancer(check(), Version::Http1, port, 2)).await;
    let second = bench.reports.recv().await.unwrap();
    assert_eq!(
        (first.registered_at, second.registered_at),
        (Timestamp::from_secs(1), Timestamp::from_secs(2))
    );
    assert_eq!((first.state, second.state), (State::Healthy, State::Healthy));
}

#[tokio::test]
async fn who_joins_is_checked_and_who_stays_is_not_checked_anew() {
    let (heads, seen) = sync_channel(64);
    let (one, two) = (serve(answering(&[OK], Some(heads))), serve(answering(&[OK], None)));
    let mut bench = bench();
    let slow = GroupCheck { interval: Duration::from_secs(300), ..check() };
    let table = balancer(slow, Version::Http1, one, 1);
    let with = |ports: &[u16]| {
        let mut table = (*table).clone();
        let group = Arc::make_mut(table.groups.get_mut("group").unwrap());
        let target = |port: &u16| Target { port: *port, ..group.targets[0].clone() };
        group.targets = ports.iter().map(target).collect();
        Arc::new(table)
    };
    for (ports, healthy) in [(&[one][..], one), (&[two, one], two), (&[two], one), (&[one], one)] {
        bench.checker.apply(with(ports)).await;
        // In the third table nobody is new.
        if ports == [two] {
            continue;
        }
        let report = tokio::time::timeout(PATIENCE, bench.reports.recv()).await.unwrap().unwrap();
        assert_eq!((report.target.port, report.state), (healthy, State::Healthy));
    }
    // Once when it came, and once when it came again.
    assert_eq!(seen.iter().take(2).count(), 2);
    assert!(seen.try_recv().is_err());
}

#[tokio::test]
async fn a_changed_check_is_due_at_once() {
    let (heads, seen) = sync_channel(64);
    let port = serve(answering(&[OK], Some(heads)));
    let bench = bench();
    let slow = GroupCheck { interval: Duration::from_secs(300), ..check() };
    bench.checker.apply(balancer(slow.clone(), Version::Http1, port, 1)).await;
    assert!(seen.recv_timeout(PATIENCE).unwrap().starts_with("GET /health?deep=1 "));
    bench
        .checker
        .apply(balancer(GroupCheck { path: "/other".into(), ..slow }, Version::Http1, port, 1))
        .await;
    assert!(seen.recv_timeout(PATIENCE).unwrap().starts_with("GET /other "));
}

#[tokio::test]
async fn a_balancer_without_nodes_is_our_own_fault() {
    let mut bench = bench();
    let mut placeless =
        (*balancer(GroupCheck { unhealthy_after: 1, ..check() }, Version::Http1, 1, 1)).clone();
    placeless.place.nodes.clear();
    bench.checker.apply(Arc::new(placeless)).await;
    assert_eq!(bench.next().await, (State::Unhealthy, Some(Reason::Internal)));
}

/// A server of HTTP/2 in the clear that answers with the status and, for gRPC, with trailers.
async fn http2_server(
    status: u16,
    grpc: Option<&'static str>,
    seen: mpsc::Sender<http::request::Parts>,
) -> u16 {
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let seen = seen.clone();
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(stream).await.unwrap();
                while let Some(Ok((request, mut respond))) = connection.accept().await {
                    let _ = seen.try_send(request.into_parts().0);
                    let response = http::Response::builder().status(status).body(()).unwrap();
                    let mut body = respond.send_response(response, grpc.is_none()).unwrap();
                    if let Some(code) = grpc {
                        let mut trailers = http::HeaderMap::new();
                        trailers.insert("grpc-status", code.parse().unwrap());
                        body.send_data(Bytes::from_static(b"\0\0\0\0\0"), false).unwrap();
                        body.send_trailers(trailers).unwrap();
                    }
                }
            });
        }
    });
    port
}

#[tokio::test]
async fn http2_targets_are_asked_over_http2() {
    let (seen, mut requests) = mpsc::channel(64);
    let port = http2_server(204, None, seen).await;
    let mut bench = bench();
    bench.checker.apply(balancer(check(), Version::Http2, port, 1)).await;
    assert_eq!(bench.next().await, (State::Healthy, None));
    let request = requests.recv().await.unwrap();
    assert_eq!((request.method.as_str(), request.uri.path()), ("GET", "/health"));
    assert_eq!(request.uri.authority().unwrap().as_str(), format!("127.0.0.1:{port}"));
    assert_eq!(request.headers["user-agent"], "ELB-HealthChecker/2.0");
}

#[tokio::test]
async fn grpc_targets_pass_by_the_status_in_their_trailers() {
    for (code, expected) in [("12", (State::Healthy, None)), ("5", (State::Unhealthy, Some(Reason::Code(5))))]
    {
        let (seen, mut requests) = mpsc::channel(64);
        let port = http2_server(200, Some(code), seen).await;
        let mut bench = bench();
        let matcher = Matcher::grpc("0,12").unwrap();
        let path = String::from("/grpc.health.v1.Health/Check");
        let grpc = GroupCheck { matcher, path, unhealthy_after: 1, ..check() };
        bench.checker.apply(balancer(grpc, Version::Grpc, port, 1)).await;
        assert_eq!(bench.next().await, expected);
        let request = requests.recv().await.unwrap();
        assert_eq!((request.method.as_str(), request.uri.path()), ("POST", "/grpc.health.v1.Health/Check"));
        assert_eq!(request.headers["content-type"], "application/grpc");
    }
}

/// A server that speaks TLS with a certificate that nobody vouched for, made out to another name.
fn tls_server(alpn: &[u8]) -> u16 {
    let made = rcgen::generate_simple_self_signed(vec!["other.test".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let mut config = builder.with_single_cert(vec![made.cert.der().clone()], key).unwrap();
    config.alpn_protocols = vec![alpn.to_vec()];
    let config = Arc::new(config);
    serve(Box::new(move |stream| {
        let mut connection = rustls::ServerConnection::new(config.clone()).unwrap();
        let mut stream = stream;
        let mut tls = rustls::Stream::new(&mut connection, &mut stream);
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") && tls.read(&mut byte).unwrap_or(0) == 1 {
            head.push(byte[0]);
        }
        let _ = tls.write_all(OK.as_bytes());
    }))
}

#[tokio::test]
async fn certificates_of_targets_are_not_verified() {
    let port = tls_server(b"http/1.1");
    let mut bench = bench();
    let secure = GroupCheck { protocol: Protocol::Https, ..check() };
    bench.checker.apply(balancer(secure, Version::Http1, port, 1)).await;
    assert_eq!(bench.next().await, (State::Healthy, None));
    assert!(bench.line().starts_with("https "));
}

#[tokio::test]
async fn a_target_without_tls_fails_an_https_check() {
    let port = serve(answering(&[OK], None));
    let mut bench = bench();
    // Its server waits for a head that never comes, as far as it can tell.
    let timeout = Duration::from_millis(100);
    let secure = GroupCheck { protocol: Protocol::Https, unhealthy_after: 1, timeout, ..check() };
    bench.checker.apply(balancer(secure, Version::Http1, port, 1)).await;
    assert_eq!(bench.next().await.0, State::Unhealthy);
}

#[tokio::test]
async fn many_targets_are_all_checked() {
    let port = serve(answering(&[OK], None));
    let mut bench = bench();
    let mut crowded =
        (*balancer(GroupCheck { interval: PATIENCE, ..check() }, Version::Http1, port, 1)).clone();
    let mut group = (*crowded.groups["group"]).clone();
    let one = group.targets.remove(0);
    group.targets = (0..300).map(|at| Target { id: format!("{at}").into(), ..one.clone() }).collect();
    crowded.groups.insert("group".into(), Arc::new(group));
    bench.checker.apply(Arc::new(crowded)).await;
    let mut healthy = std::collections::BTreeSet::new();
    while healthy.len() < 300 {
        let report = tokio::time::timeout(PATIENCE, bench.reports.recv()).await.unwrap().unwrap();
        assert_eq!(report.state, State::Healthy);
        healthy.insert(report.target.id);
    }
}
