//! The corpus of `conformance/data/balancer`, decided here without a socket.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use base::Chance;
use core_routing::desync::{Treatment, Verdict, classify, refusal, split, treatment};
use core_routing::{
    CompiledAction, CompiledRule, Desync, HeaderValues, RedirectFrom, RequestView, Router, TargetParts,
};
use serde_json::Value;

use crate::shapes::{list, listener, text};

fn each_table(file: &str, mut check: impl FnMut(&str, &Value)) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../conformance/data/balancer").join(file);
    let corpus: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let tables = list(&corpus["tables"]).collect::<Vec<_>>();
    assert!(!tables.is_empty(), "{file} is empty");
    for table in tables {
        check(&format!("{file}, {}", table["about"]), table);
    }
}

struct Headers<'a>(Vec<(&'a [u8], &'a [u8])>);

impl HeaderValues for Headers<'_> {
    fn any(&self, name: &str, fits: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        self.0.iter().any(|(known, value)| known.eq_ignore_ascii_case(name.as_bytes()) && fits(value))
    }
}

/// Compares what one request comes to with what the case expects.
fn check(place: &str, table: &Value, router: &Router, case: &Value) {
    let place = format!("{place}: {}", case["name"]);
    let request = text(&case["request"]);
    let head = split(request.as_bytes());
    let headers = Headers(head.headers.iter().map(|header| (header.name, header.value)).collect());
    let parts = TargetParts::of(head.line.target);
    let named = headers.0.iter().find(|(name, _)| name.eq_ignore_ascii_case(b"host"));
    let host = parts.authority.or(named.map(|(_, host)| *host)).unwrap_or_default();
    let from: IpAddr = case["from"].as_str().unwrap_or("127.0.0.1").parse().unwrap();
    let query = parts.query.unwrap_or_default();
    let view = RequestView {
        method: head.line.method,
        host,
        path: parts.path,
        query,
        headers: &headers,
        source: from,
    };
    let rule = router.route(&view);
    assert!(std::ptr::eq(rule, router.route_in_turn(&view)), "{place}: the index differs");
    let expect = &case["expect"];
    assert_eq!(u64::from(rule.priority), expect["rule"].as_u64().unwrap(), "{place}: rule");
    let mut come = Come { place, table, expect, host, target: head.line.target };
    come.to(rule, &RedirectFrom { host, path: parts.path, query, ..redirect_from(table) });
}

fn redirect_from(table: &Value) -> RedirectFrom<'static> {
    let listener = listener(&table["listener"]);
    RedirectFrom { protocol: listener.protocol, host: b"", port: listener.port, path: b"", query: b"" }
}

struct Come<'a> {
    place: String,
    table: &'a Value,
    expect: &'a Value,
    host: &'a [u8],
    target: &'a [u8],
}

impl Come<'_> {
    fn to(&mut self, rule: &CompiledRule, from: &RedirectFrom<'_>) {
        match &rule.action {
            CompiledAction::Fixed(fixed) => {
                self.same("status", fixed.status.into());
                self.same("content_type", fixed.content_type.as_deref().into());
                self.same("body", String::from_utf8_lossy(&fixed.body).into());
            }
            CompiledAction::Redirect(redirect) => {
                self.same("status", redirect.status.into());
                self.same("location", String::from_utf8_lossy(&redirect.location(from)).into());
            }
            CompiledAction::Forward(forward) => {
                let Ok(rewritten) = rule.rewrite(self.host, self.target) else {
                    return self.same("status", 500.into());
                };
                let shown = |text: Option<Vec<u8>>, or: &[u8]| {
                    Value::from(String::from_utf8_lossy(text.as_deref().unwrap_or(or)).into_owned())
                };
                self.same("host", shown(rewritten.host, self.host));
                self.same("target", shown(rewritten.target, self.target));
                // Whatever chance says.
                for seed in 0..20 {
                    let group = forward.deal(&mut Chance::new(seed)).map(|group| group.group.to_string());
                    match group {
                        Some(group) => {
                            assert!(self.table["groups"][&group].is_object(), "{}: no group", self.place);
                            self.same("forward", group.into());
                        }
                        None => self.same("status", 503.into()),
                    }
                }
            }
        }
    }

    /// What a case does not mention is not looked at.
    fn same(&self, what: &str, got: Value) {
        let expected = &self.expect[what];
        if !expected.is_null() {
            assert_eq!(&got, expected, "{}: {what}", self.place);
        }
    }
}

#[test]
fn every_request_comes_to_its_rule_and_answer() {
    let mut cases = 0;
    let files =
        ["hosts", "paths", "headers", "queries", "sources", "priorities", "redirects", "rewrites", "answers"];
    for file in files {
        each_table(&format!("{file}.json"), |place, table| {
            let router = Router::compile(&listener(&table["listener"])).unwrap();
            for case in list(&table["cases"]) {
                check(place, table, &router, case);
                cases += 1;
            }
        });
    }
    assert!(cases > 200, "only {cases} cases");
}

#[test]
fn every_head_has_its_class_and_each_mode_its_treatment() {
    each_table("desync.json", |place, table| {
        for case in list(&table["cases"]) {
            let place = format!("{place}: {}", case["name"]);
            let request = text(&case["request"]);
            let end = request.find("\r\n\r\n").map(|at| at + 4);
            let end = end.or(request.find("\n\n").map(|at| at + 2)).unwrap_or(request.len());
            let head = split(&request.as_bytes()[..end]);
            let verdict = classify(head.line, head.headers.iter().copied(), head.oddities);
            let expect = &case["expect"];
            assert_eq!(verdict.why.map(|why| why.name()), expect["why"].as_str(), "{place}");
            assert_eq!(verdict.class().name(), expect["class"], "{place}");
            let headers = head.headers.iter();
            let codings = headers.filter(|header| header.name.eq_ignore_ascii_case(b"transfer-encoding"));
            let status = u64::from(refusal(verdict, codings.map(|header| header.value)));
            assert_eq!(status, expect["status"].as_u64().unwrap_or(400), "{place}");
            for (mode, name) in [
                (Desync::Monitor, "monitor"),
                (Desync::Defensive, "defensive"),
                (Desync::Strictest, "strictest"),
            ] {
                assert_eq!(treated(mode, verdict), expect[name], "{place}: {name}");
            }
        }
    });
}

fn treated(mode: Desync, verdict: Verdict) -> &'static str {
    match treatment(mode, verdict) {
        Treatment::Allow => "allow",
        Treatment::AllowAndClose => "close",
        Treatment::Refuse => "refuse",
    }
}
