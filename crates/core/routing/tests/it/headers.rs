//! What becomes of headers.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use base::{Chance, Timestamp};
use core_routing::headers::{
    TraceIds, count_addresses, forwarded_for, is_hop_by_hop, is_named_by_connection, is_valid_name, own_page,
    trace_id,
};
use core_routing::{Attributes, ForwardedFor, HeaderRules};
use serde_json::Value;

use crate::shapes::{list, text};

fn corpus() -> Value {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../conformance/data/balancer/forwarded.json");
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn forwarded_for_is_as_the_corpus_has_it() {
    let corpus = corpus();
    let cases: Vec<_> = list(&corpus["tables"][0]["forwarded_for"]).collect();
    assert!(cases.len() > 10);
    for case in cases {
        let attributes = Attributes {
            forwarded_for: match case["mode"].as_str().unwrap() {
                "append" => ForwardedFor::Append,
                "preserve" => ForwardedFor::Preserve,
                _ => ForwardedFor::Remove,
            },
            forwards_client_port: case["client_port"].as_bool().unwrap(),
            ..Attributes::default()
        };
        let came: Vec<String> = list(&case["came"]).map(text).collect();
        let client: SocketAddr = text(&case["client"]).parse().unwrap();
        // What is there before stays there.
        let mut value = b"X: ".to_vec();
        let is_there = forwarded_for(&attributes, came.iter().map(String::as_bytes), client, &mut value);
        let got = is_there.then(|| String::from_utf8(value[3..].to_vec()).unwrap());
        assert_eq!(got.as_deref(), case["expect"].as_str(), "{}", case["name"]);
    }
}

#[test]
fn trace_ids_are_as_the_corpus_has_it() {
    let corpus = corpus();
    let cases: Vec<_> = list(&corpus["tables"][0]["trace_id"]).collect();
    assert!(cases.len() > 5);
    let now = Timestamp::from_secs(0x6789_1233);
    for case in cases {
        let mut ids = TraceIds::new(Chance::new(1));
        let mut value = Vec::new();
        trace_id(case["came"].as_str().map(str::as_bytes), false, &mut ids, now, &mut value);
        let got = String::from_utf8(value).unwrap();
        let expect = text(&case["expect"]);
        let (before, after) = expect.split_once("{id}").unwrap();
        let id = got.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
        let id = id.unwrap_or_else(|| panic!("{}: {got}", case["name"]));
        let digits = id.strip_prefix("1-67891233-").unwrap_or_else(|| panic!("{}: {got}", case["name"]));
        assert!(digits.len() == 24 && digits.bytes().all(|b| b.is_ascii_hexdigit()), "{got}");
    }
}

#[test]
fn a_trace_id_begins_anew_where_headers_are_large() {
    let mut ids = TraceIds::new(Chance::new(1));
    let mut value = Vec::new();
    trace_id(Some(b"Root=1-2-3;A=b"), true, &mut ids, Timestamp::EPOCH, &mut value);
    let value = String::from_utf8(value).unwrap();
    assert!(value.starts_with("Root=1-00000000-") && !value.contains(';'), "{value}");
}

#[test]
fn trace_ids_differ() {
    let mut ids = TraceIds::new(Chance::new(1));
    let mut one = || {
        let mut value = Vec::new();
        trace_id(None, false, &mut ids, Timestamp::EPOCH, &mut value);
        value
    };
    assert_ne!(one(), one());
}

#[test]
fn addresses_are_counted_over_all_headers() {
    let thirty = ["10.0.0.1"; 30].join(", ");
    for (came, count) in [
        (vec![], 0),
        (vec!["10.0.0.1"], 1),
        (vec!["10.0.0.1, 10.0.0.2", "10.0.0.3"], 3),
        (vec![""], 0),
        (vec![",, ,"], 0),
        (vec![thirty.as_str()], 30),
        (vec![thirty.as_str(), "10.0.0.31"], 31),
    ] {
        assert_eq!(count_addresses(came.iter().map(|value| value.as_bytes())), count, "{came:?}");
    }
}

#[test]
fn what_belongs_to_a_connection_stays_on_it() {
    for name in
        ["Connection", "keep-alive", "TE", "Trailer", "Transfer-Encoding", "UPGRADE", "Proxy-Connection"]
    {
        assert!(is_hop_by_hop(name.as_bytes()), "{name}");
    }
    for name in ["Host", "Content-Length", "Cookie", "Authorization", "Proxy-Authorization", "Tea", ""] {
        assert!(!is_hop_by_hop(name.as_bytes()), "{name}");
    }
    assert!(is_named_by_connection(b"close, X-Mine", b"x-mine"));
    assert!(!is_named_by_connection(b"close, X-Mine2", b"x-mine"));
}

#[test]
fn names_are_valid_by_awss_rule() {
    for (name, is_valid) in [
        ("X-Amzn-Trace-Id", true),
        ("a1", true),
        ("-", true),
        ("", false),
        ("a_b", false),
        ("a b", false),
        ("a.b", false),
        ("ä", false),
    ] {
        assert_eq!(is_valid_name(name.as_bytes()), is_valid, "{name}");
    }
}

#[test]
fn a_listener_renames_and_overrides() {
    let rules = HeaderRules {
        renamed: [("X-Amzn-Tls-Version".to_owned(), "X-Tls".to_owned())].into(),
        set: [("Strict-Transport-Security".to_owned(), "max-age=1".to_owned())].into(),
        hides_server: false,
    };
    assert_eq!(rules.name_of("x-amzn-tls-version"), "X-Tls");
    assert_eq!(rules.name_of("X-Amzn-Tls-Cipher-Suite"), "X-Amzn-Tls-Cipher-Suite");
    assert!(rules.overrides(b"strict-transport-security") && !rules.overrides(b"server"));
}

#[test]
fn every_answer_of_its_own_has_a_page() {
    for status in [400, 403, 405, 408, 413, 414, 460, 463, 464, 500, 501, 502, 503, 504, 505] {
        let page = own_page(status).unwrap();
        assert!(page.contains(&format!("<title>{status} ")) && page.ends_with("</html>\r\n"), "{page}");
    }
    assert_eq!(own_page(200), None);
}
