//! What requests leave behind: lines of logs, and counts.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};

use core_routing::Attributes;
use proxy::counts::{Metric, Reading, Subject};
use proxy::log::{Batch, LogKind, Logs};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use serde_json::json;

use crate::corpus::shapes::listener;
use crate::corpus::stage::Stage;

#[derive(Default)]
struct Kept(Mutex<Vec<(LogKind, String)>>);

impl Logs for Kept {
    fn keep(&self, batch: &Batch) {
        let mut kept = self.0.lock().unwrap();
        kept.extend(batch.lines.lines().map(|line| (batch.kind, line.to_owned())));
    }
}

impl Kept {
    fn lines(&self, kind: LogKind) -> Vec<String> {
        self.0.lock().unwrap().iter().filter(|line| line.0 == kind).map(|line| line.1.clone()).collect()
    }
}

/// `/blue` is forwarded, `/away` redirected, `/none` has no group to go to, the rest is fixed.
fn stage(kept: &Arc<Kept>) -> Stage {
    let rule = |priority: u32, path: &str, action: serde_json::Value| {
        json!({
            "Priority": priority,
            "Conditions": [{"Field": "path-pattern", "PathPatternConfig": {"Values": [path]}}],
            "Actions": [action],
        })
    };
    let forward = |weight: u32| json!({"Type": "forward", "ForwardConfig": {"TargetGroups": [{"TargetGroupName": "blue", "Weight": weight}]}});
    let away = json!({"Type": "redirect", "RedirectConfig": {
        "Protocol": "HTTPS", "Host": "#{host}", "Port": "443", "Path": "/#{path}", "Query": "#{query}",
        "StatusCode": "HTTP_301",
    }});
    let fixed = json!({"Type": "fixed-response", "FixedResponseConfig": {
        "StatusCode": "404", "ContentType": "text/plain", "MessageBody": "nothing here",
    }});
    let shape = json!({
        "Protocol": "HTTP", "Port": 8080, "DefaultActions": [fixed],
        "Rules": [rule(5, "/blue*", forward(1)), rule(7, "/away", away), rule(9, "/none", forward(0))],
    });
    let mut stage = Stage::with_logs(kept.clone());
    let logs = |name: &str| Some(String::from(name));
    let attributes = Attributes {
        access_log: logs("bucket/a"),
        connection_log: logs("bucket/c"),
        ..Attributes::default()
    };
    stage.serve(listener(&shape), attributes);
    stage
}

const REQUESTS: [&str; 5] = [
    "POST /blue?x=1 HTTP/1.1\r\nHost: a.test\r\nUser-Agent: test \"1\"\r\nContent-Length: 2\r\n\r\nhi",
    "GET /away HTTP/1.1\r\nHost: a.test\r\n\r\n",
    "GET /none HTTP/1.1\r\nHost: a.test\r\n\r\n",
    "GET /else HTTP/1.1\r\nHost: a.test\r\n\r\n",
    "GET /blue HTTP/1.1\r\nHost: a.test\r\nContent-Length: x\r\n\r\n",
];

#[test]
fn every_request_has_its_line_and_every_connection_its_own() {
    let kept = Arc::new(Kept::default());
    let mut stage = stage(&kept);
    REQUESTS.iter().for_each(|request| drop(stage.ask(request)));
    stage.close();
    let lines = kept.lines(LogKind::Access);
    let one = |part: &str| {
        let mut found = lines.iter().filter(|line| line.contains(part));
        let line = found.next().unwrap_or_else(|| panic!("{part} is in none of {lines:#?}"));
        assert!(found.next().is_none(), "{part} is in several of {lines:#?}");
        line.clone()
    };
    let forwarded = one("\"POST http://a.test:8080/blue?x=1 HTTP/1.1\" \"test \\x221\\x22\"");
    assert!(forwarded.contains(" 200 200 ") && forwarded.contains("\"forward\""), "{forwarded}");
    assert!(forwarded.contains(" blue \"Root=1-") && forwarded.contains("\" 5 20"), "{forwarded}");
    let away = one("/away HTTP/1.1");
    assert!(away.contains(" 301 - ") && away.contains("\"redirect\" \"https://a.test:443/away\""), "{away}");
    let none = one("/none HTTP/1.1");
    assert!(none.contains(" - -1 -1 -1 503 - "), "{none}");
    let fixed = one("/else HTTP/1.1");
    assert!(
        fixed.contains(" 404 - ") && fixed.contains("\" 0 20") && fixed.contains("\"fixed-response\""),
        "{fixed}"
    );
    let severe = one("\"Severe\" \"BadContentLength\"");
    assert!(severe.contains(" 400 - "), "{severe}");
    let connections = kept.lines(LogKind::Connection);
    assert_eq!(connections.len(), REQUESTS.len());
    for line in &lines {
        let id = line.split(' ').find(|field| field.starts_with("TID_")).unwrap();
        assert!(connections.iter().any(|connection| connection.contains(id)), "{id} is no connection");
    }
}

#[test]
fn every_request_is_counted_where_aws_counts_it() {
    let mut stage = stage(&Arc::default());
    REQUESTS.iter().for_each(|request| drop(stage.ask(request)));
    // Counted once the exchange has ended, which is just after its last byte: the connection's end
    // is after that.
    let patience = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
    let counts = loop {
        let counts = stage.counts();
        assert!(tokio::time::Instant::now() < patience, "{counts:?}");
        let answered =
            get(&counts, None, Metric::HttpCodeElb4xx) + get(&counts, None, Metric::HttpCodeElb5xx);
        // The one to the target is kept.
        if answered == 3 && get(&counts, None, Metric::ActiveConnectionCount) == 1 {
            break counts;
        }
        std::thread::yield_now();
    };
    for (metric, balancer, group) in [
        (Metric::RequestCount, 1, 1),
        (Metric::HttpCodeTarget2xx, 1, 1),
        (Metric::HttpRedirectCount, 1, 0),
        (Metric::HttpFixedResponseCount, 1, 0),
        (Metric::HttpCodeElb3xx, 1, 0),
        (Metric::HttpCodeElb4xx, 2, 0),
        (Metric::HttpCodeElb503, 1, 0),
        (Metric::DesyncMitigationModeNonCompliantRequestCount, 1, 0),
        (Metric::RuleEvaluations, 1 + 2 + 3 + 3, 0),
    ] {
        let got = (get(&counts, None, metric), get(&counts, Some("blue"), metric));
        assert_eq!(got, (balancer, group), "{}", metric.name());
    }
    // How targets stand is read, not counted: one healthy target each, in no zone.
    for (metric, expected) in [
        (Metric::HealthyHostCount, 1),
        (Metric::UnhealthyHostCount, 0),
        (Metric::HealthyStateDns, 1),
        (Metric::HealthyStateRouting, 1),
        (Metric::UnhealthyStateRouting, 0),
        (Metric::AnomalousHostCount, 0),
    ] {
        assert_eq!(get(&counts, Some("blue"), metric), expected, "{}", metric.name());
    }
    // Five of clients, and one to the target.
    assert_eq!(get(&counts, None, Metric::NewConnectionCount), 6);
    let subject = counts.keys().find(|subject| subject.group.is_none()).unwrap();
    assert_eq!(counts[subject].response_time.count(), 1);
    assert!(get(&counts, None, Metric::ProcessedBytes) > 300);
    stage.close();
}

fn get(counts: &std::collections::BTreeMap<Subject, Reading>, group: Option<&str>, metric: Metric) -> u64 {
    let of_group = counts.iter().filter(|(subject, _)| subject.group.as_deref() == group);
    of_group.map(|(_, reading)| reading.get(metric)).sum()
}

#[test]
fn a_redirect_to_what_is_too_long_is_no_redirect() {
    let kept = Arc::new(Kept::default());
    let mut stage = stage(&kept);
    let ask = |stage: &mut Stage, bytes: usize| {
        stage.ask(&format!("GET /away?{} HTTP/1.1\r\nHost: a.test\r\n\r\n", "q".repeat(bytes)))
    };
    assert_eq!(ask(&mut stage, 8_000).status, 301);
    let answer = ask(&mut stage, 9_000);
    assert_eq!((answer.status, answer.header("location")), (500, None));
    let patience = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
    while get(&stage.counts(), None, Metric::HttpRedirectUrlLimitExceededCount) != 1 {
        assert!(tokio::time::Instant::now() < patience);
        std::thread::yield_now();
    }
    assert_eq!(get(&stage.counts(), None, Metric::HttpRedirectCount), 1);
    stage.close();
}

#[test]
fn logs_name_the_certificate_that_was_shown() {
    let kept = Arc::new(Kept::default());
    let stage = crate::h2_stage::Stage::logged(kept.clone());
    let config = crate::tls::trusting(&["http/1.1"]);
    for path in ["/first", "/again"] {
        let tcp = TcpStream::connect(stage.at).unwrap();
        tcp.set_read_timeout(Some(std::time::Duration::from_secs(20))).unwrap();
        let name = ServerName::try_from("a.example.com").unwrap();
        let mut stream = StreamOwned::new(ClientConnection::new(config.clone(), name).unwrap(), tcp);
        write!(stream, "GET {path} HTTP/1.1\r\nhost: a.example.com\r\n\r\n").unwrap();
        let mut status = [0; 12];
        stream.read_exact(&mut status).unwrap();
        assert_eq!(&status, b"HTTP/1.1 200");
    }
    // Ends the plane, and with it what waits to be written.
    drop(stage);
    let lines = kept.lines(LogKind::Access);
    for (path, shown) in [("/first", "\"certificate\""), ("/again", "\"session-reused\"")] {
        let line = lines.iter().find(|line| line.contains(path)).unwrap();
        assert!(line.contains(&format!(" \"a.example.com\" {shown} 0 ")), "{line}");
    }
}
