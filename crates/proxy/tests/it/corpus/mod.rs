//! The corpus of `conformance/data/balancer`, replayed over sockets: a plane, a listener with the
//! table's rules, targets that say what they saw.

#[path = "../../../../core/routing/tests/it/shapes.rs"]
pub mod shapes;
pub mod stage;

use std::fs;
use std::path::Path;

use core_routing::{Action, Attributes, Desync, Rule};
use serde_json::Value;

use shapes::{list, listener, text};
use stage::{Answer, Stage};

fn tables(file: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conformance/data/balancer").join(file);
    let corpus: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    list(&corpus["tables"]).cloned().collect()
}

/// Whether the case can be sent from here: another address than loopback's cannot.
fn is_sendable(case: &Value) -> bool {
    case["from"].as_str().is_none_or(|from| from == "127.0.0.1")
}

#[test]
fn every_request_comes_to_its_rule_and_answer() {
    let mut cases = 0;
    let files =
        ["hosts", "paths", "headers", "queries", "sources", "priorities", "redirects", "rewrites", "answers"];
    let mut stage = Stage::new();
    for file in files {
        for table in tables(&format!("{file}.json")) {
            // TLS has tests of its own, and changes nothing that is decided here.
            if table["listener"]["Protocol"] == "HTTPS" {
                continue;
            }
            let listener = listener(&table["listener"]);
            let rules = listener.rules.clone();
            let default = listener.default.clone();
            let attributes = Attributes { preserves_host: true, ..Attributes::default() };
            stage.serve(listener, attributes);
            for case in list(&table["cases"]).filter(|case| is_sendable(case)) {
                let place = format!("{file}, {}: {}", table["about"], case["name"]);
                let number = case["expect"]["rule"].as_u64().unwrap() as u32;
                let rule = rules.iter().find(|rule| rule.priority == number).unwrap_or(&default);
                let answer = stage.ask(&text(&case["request"]));
                check(&place, rule, &case["expect"], &answer);
                cases += 1;
            }
        }
    }
    assert!(cases > 190, "only {cases} cases");
}

fn check(place: &str, rule: &Rule, expect: &Value, answer: &Answer) {
    let same = |what: &str, got: Option<String>| {
        if let Some(expected) = expect[what].as_str() {
            assert_eq!(got.as_deref(), Some(expected), "{place}: {what}");
        }
    };
    if let Some(status) = expect["status"].as_u64() {
        assert_eq!(u64::from(answer.status), status, "{place}: {answer:?}");
    }
    same("location", answer.header("location"));
    same("content_type", answer.header("content-type"));
    same("body", Some(answer.body.clone()));
    match &rule.action {
        // The body tells the rules of a table apart.
        Action::Fixed { status, body, .. } => {
            let body = if answer.is_head { "" } else { body };
            assert_eq!((answer.status, answer.body.as_str()), (*status, body), "{place}");
            assert_eq!(answer.header("server").as_deref(), Some("awselb/2.0"), "{place}");
        }
        Action::Forward { .. } if expect["status"].is_null() => {
            let mut saw = answer.body.split('\n').map(str::to_owned);
            same("forward", saw.next());
            same("host", saw.next());
            same("target", saw.next());
        }
        Action::Forward { .. } | Action::Redirect(_) => {}
    }
}

/// What reaches a target, in each mode, of heads as attackers write them.
#[test]
fn every_head_is_treated_by_its_class_and_reaches_a_target_as_one_request() {
    let forward = Action::Forward {
        groups: vec![core_routing::WeightedGroup { group: "blue".into(), weight: 1 }],
        sticky_for: None,
    };
    let mut stage = Stage::new();
    for (mode, name) in
        [(Desync::Monitor, "monitor"), (Desync::Defensive, "defensive"), (Desync::Strictest, "strictest")]
    {
        let mut listener = listener(&tables("answers.json")[1]["listener"]);
        listener.rules.clear();
        listener.default.action = forward.clone();
        stage.serve(listener, Attributes { desync: mode, ..Attributes::default() });
        for case in list(&tables("desync.json")[0]["cases"]) {
            let place = format!("{name}: {}", case["name"]);
            let expect = &case["expect"];
            // Nobody can be asked for nothing.
            let treated =
                if expect["why"] == "MissingUri" { "refuse" } else { expect[name].as_str().unwrap() };
            let before = stage.seen();
            let answer = stage.ask(&text(&case["request"]));
            let reached = stage.seen() - before;
            match treated {
                "refuse" => {
                    let status = expect["status"].as_u64().unwrap_or(400);
                    assert_eq!((u64::from(answer.status), reached), (status, 0), "{place}: {answer:?}");
                    assert!(answer.is_closed, "{place}: the connection stays open");
                }
                treated => {
                    assert_eq!((answer.status, reached), (200, 1), "{place}: {answer:?}");
                    assert!(answer.is_closed || treated == "allow", "{place}: the connection stays open");
                }
            }
        }
    }
    stage.all_were_whole();
}
