//! Lines of logs, held against AWS's examples.

use std::net::Ipv4Addr;
use std::time::Duration;

use base::Timestamp;
use core_routing::desync::{Body, Verdict, Why};
use core_routing::logs::{AccessLine, ConnectionLine, HealthLine, MatchedRule, Transform, Tried};
use core_routing::{Reason, http_date, log_time};
use proptest::prelude::*;

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

fn forwarded<'a>(targets: &'a [Tried]) -> AccessLine<'a> {
    AccessLine {
        kind: "http",
        at: at("2018-07-02T22:23:00.186641Z"),
        balancer: "app/my-loadbalancer/50dc6c495c0c9188",
        client: Some("192.168.131.39:2817".parse().unwrap()),
        targets,
        request_for: Some(Duration::ZERO),
        target_for: Some(Duration::from_micros(1_000)),
        response_for: Some(Duration::ZERO),
        status: Some(200),
        received_bytes: 34,
        sent_bytes: 366,
        method: b"GET",
        scheme: "http",
        host: b"www.example.com",
        port: 80,
        target: b"/",
        version: "HTTP/1.1",
        user_agent: Some(b"curl/7.46.0"),
        group_arn: Some(
            "arn:aws:elasticloadbalancing:us-east-2:123456789012:targetgroup/my-targets/73e2d6bc24d8a067",
        ),
        trace_id: Some(b"Root=1-58337262-36d228ad5d99923122bbe354"),
        rule: MatchedRule::Priority(0),
        came_at: at("2018-07-02T22:22:48.364000Z"),
        actions: &["forward"],
        connection_id: Some("TID_1234abcd5678ef90"),
        node: Some(Ipv4Addr::new(10, 0, 0, 9)),
        ..AccessLine::default()
    }
}

fn line(line: &AccessLine<'_>) -> String {
    let mut text = String::new();
    line.write(&mut text);
    text
}

fn tried(status: Option<u16>) -> [Tried; 1] {
    [Tried { address: "10.0.0.1:80".parse().unwrap(), status }]
}

#[test]
fn a_forwarded_request() {
    let expected = "http 2018-07-02T22:23:00.186641Z app/my-loadbalancer/50dc6c495c0c9188 \
        192.168.131.39:2817 10.0.0.1:80 0.000 0.001 0.000 200 200 34 366 \
        \"GET http://www.example.com:80/ HTTP/1.1\" \"curl/7.46.0\" - - \
        arn:aws:elasticloadbalancing:us-east-2:123456789012:targetgroup/my-targets/73e2d6bc24d8a067 \
        \"Root=1-58337262-36d228ad5d99923122bbe354\" \"-\" \"-\" \
        0 2018-07-02T22:22:48.364000Z \"forward\" \"-\" \"-\" \"10.0.0.1:80\" \"200\" \"-\" \"-\" \
        TID_1234abcd5678ef90 \"-\" \"-\" \"-\" 10.0.0.9";
    assert_eq!(line(&forwarded(&tried(Some(200)))), expected);
}

#[test]
fn a_request_that_reached_nobody() {
    let bad = AccessLine {
        status: Some(400),
        method: b"",
        host: b"",
        target: b"",
        version: "",
        user_agent: None,
        group_arn: None,
        trace_id: None,
        rule: MatchedRule::None,
        actions: &[],
        connection_id: None,
        node: None,
        verdict: Verdict { why: Some(Why::BadMethod), body: Body::None },
        ..forwarded(&[])
    };
    let expected = "http 2018-07-02T22:23:00.186641Z app/my-loadbalancer/50dc6c495c0c9188 \
        192.168.131.39:2817 - -1 -1 -1 400 - 34 366 \"- http://-:80- - \" \"-\" - - - \
        \"-\" \"-\" \"-\" - 2018-07-02T22:22:48.364000Z \"-\" \"-\" \"-\" \"-\" \"-\" \"Severe\" \"BadMethod\" \
        - \"-\" \"-\" \"-\" -";
    assert_eq!(line(&bad), expected);
}

#[test]
fn several_targets_transforms_and_tls() {
    let targets = [tried(None)[0], Tried { address: "10.0.0.2:80".parse().unwrap(), status: Some(502) }];
    let more = AccessLine {
        kind: "h2",
        tls_cipher: Some("TLS_AES_128_GCM_SHA256"),
        tls_version: Some("TLSv1.3"),
        domain: Some("www.example.com"),
        certificate_arn: Some("arn:aws:acm:x"),
        rewritten_host: Some(b"inner.test"),
        rewritten_target: Some(b"/new"),
        transform: Transform::Done,
        ..forwarded(&targets)
    };
    let text = line(&more);
    for part in [
        " 10.0.0.2:80 0.000 ",
        " 200 502 34 ",
        " TLS_AES_128_GCM_SHA256 TLSv1.3 ",
        "\"www.example.com\" \"arn:aws:acm:x\"",
        "\"10.0.0.1:80 10.0.0.2:80\" \"- 502\"",
        "\"inner.test\" \"/new\" \"TransformSuccess\" ",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
}

/// Fields as a reader of AWS's format takes them apart.
fn fields(line: &str) -> Vec<&str> {
    let mut fields = Vec::new();
    let mut rest = line;
    while !rest.is_empty() {
        let (field, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap(),
            None => rest.split_once(' ').map_or((rest, ""), |(field, _)| (field, &rest[field.len()..])),
        };
        fields.push(field);
        rest = after.strip_prefix(' ').unwrap_or(after);
    }
    fields
}

proptest! {
    /// Whatever a client sends, a line stays one line of 34 fields.
    #[test]
    fn clients_cannot_forge_fields(method in any::<Vec<u8>>(), host in any::<Vec<u8>>(), target in any::<Vec<u8>>(), agent in any::<Vec<u8>>(), trace in any::<Vec<u8>>()) {
        let tried = tried(Some(200));
        let forged = AccessLine { method: &method, host: &host, target: &target, user_agent: Some(&agent), trace_id: Some(&trace), ..forwarded(&tried) };
        let text = line(&forged);
        prop_assert!(text.bytes().all(|byte| (0x20..0x7f).contains(&byte)));
        prop_assert_eq!(fields(&text).len(), 34, "{}", text);
    }
}

#[test]
fn a_user_agent_is_cut() {
    let agent = vec![b'a'; 20_000];
    let tried = tried(Some(200));
    let text = line(&AccessLine { user_agent: Some(&agent), ..forwarded(&tried) });
    assert!(text.contains(&"a".repeat(8_192)) && !text.contains(&"a".repeat(8_193)));
}

#[test]
fn a_connection() {
    let connection = ConnectionLine {
        at: at("2023-10-04T17:05:15.514108Z"),
        client: "203.0.113.1:36280".parse().unwrap(),
        port: 443,
        tls_version: Some("TLSv1.2"),
        tls_cipher: Some("ECDHE-RSA-AES128-GCM-SHA256"),
        handshake_for: Some(Duration::from_millis(4_036)),
        status: "Success",
        connection_id: "TID_1",
        key_exchange: Some("x25519"),
    };
    let mut text = String::new();
    connection.write(&mut text);
    assert_eq!(
        text,
        "2023-10-04T17:05:15.514108Z 203.0.113.1 36280 443 TLSv1.2 ECDHE-RSA-AES128-GCM-SHA256 4.036 \
         \"-\" - - Success TID_1 x25519"
    );
}

#[test]
fn health_checks() {
    let check = |kind, code, failure: Option<Reason>| {
        let mut text = String::new();
        HealthLine {
            kind,
            at: at("2025-10-31T12:44:59.875678Z"),
            target: "172.31.20.97:80".parse().unwrap(),
            group: "targetgroup/HCLogsTestIPs/0123456789abcdef",
            took: Duration::from_nanos(19_584_011),
            code,
            failure: failure.as_ref(),
        }
        .write(&mut text);
        text
    };
    let start = "2025-10-31T12:44:59.875678Z 0.019584011 172.31.20.97:80 HCLogsTestIPs";
    for (kind, code, failure, end) in [
        ("http", Some(200), None, "PASS 200 -"),
        ("https", Some(502), Some(Reason::Code(502)), "FAIL 502 TargetError"),
        ("http", Some(404), Some(Reason::Code(404)), "FAIL 404 ResponseCodeMismatch"),
        ("grpc", Some(5), Some(Reason::Code(5)), "FAIL 5 GRPCUnexpectedStatus"),
        ("http", None, Some(Reason::Timeout), "FAIL - RequestTimedOut"),
        ("http", None, Some(Reason::Failed), "FAIL - ConnectionReset"),
    ] {
        assert_eq!(check(kind, code, failure), format!("{kind} {start} {end}"));
    }
}

proptest! {
    #[test]
    fn dates_are_those_of_a_calendar(micros in 0i64..4_102_444_800_000_000) {
        let at = Timestamp::from_micros(micros);
        prop_assert_eq!(Timestamp::parse(&log_time(at)), Some(at));
    }
}

#[test]
fn http_dates() {
    for (text, expected) in [
        ("1970-01-01T00:00:00Z", "Thu, 01 Jan 1970 00:00:00 GMT"),
        ("2024-02-27T11:21:53Z", "Tue, 27 Feb 2024 11:21:53 GMT"),
        ("2024-02-29T23:59:59Z", "Thu, 29 Feb 2024 23:59:59 GMT"),
        ("2100-03-01T00:00:00Z", "Mon, 01 Mar 2100 00:00:00 GMT"),
    ] {
        assert_eq!(http_date(at(text)), expected);
    }
}
