//! The index saves tries and changes no answer.

use std::net::IpAddr;

use core_routing::{
    Action, Condition, HeaderRules, Listener, Pattern, Protocol, QueryPair, RequestView, Router, Rule,
};
use proptest::prelude::*;

fn pattern() -> impl Strategy<Value = Pattern> {
    // Few letters, so that patterns and texts meet often.
    "[ab/*?.]{0,6}".prop_map(Pattern::Wildcard)
}

fn condition() -> impl Strategy<Value = Condition> {
    let patterns = || prop::collection::vec(pattern(), 1..3);
    let paths =
        prop::collection::vec("[ab/*?]{0,5}".prop_map(|text| Pattern::Wildcard(format!("/{text}"))), 1..3);
    prop_oneof![
        3 => paths.prop_map(Condition::Path),
        3 => patterns().prop_map(Condition::Host),
        1 => patterns().prop_map(|values| Condition::Header { name: "X".into(), values }),
        1 => Just(Condition::Method(vec!["GET".into()])),
        1 => ("[ab]{0,1}", "[ab*]{0,2}").prop_map(|(key, value)| Condition::Query(vec![QueryPair { key: Some(key), value }])),
        1 => Just(Condition::SourceIp(vec!["10.0.0.0/8".into()])),
    ]
}

fn listener(conditions: Vec<Vec<Condition>>) -> Listener {
    let fixed = || Action::Fixed { status: 200, content_type: None, body: String::new() };
    let rule = |(at, conditions): (usize, Vec<Condition>)| Rule {
        arn: format!("{at}").into(),
        priority: at as u32 + 1,
        conditions,
        rewrites: Vec::new(),
        action: fixed(),
    };
    Listener {
        arn: "l".into(),
        port: 80,
        protocol: Protocol::Http,
        ssl_policy: None,
        certificates: Vec::new(),
        headers: HeaderRules::default(),
        rules: conditions.into_iter().enumerate().map(rule).collect(),
        default: Rule {
            arn: "d".into(),
            priority: 0,
            conditions: Vec::new(),
            rewrites: Vec::new(),
            action: fixed(),
        },
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn it_answers_as_trying_in_turn_does(
        conditions in prop::collection::vec(prop::collection::vec(condition(), 1..3), 0..30),
        requests in prop::collection::vec(("[abAB/.]{0,6}", "[ab/]{0,6}", "[ab=&]{0,6}", "[ab.]{0,4}", any::<bool>()), 1..20),
    ) {
        let router = Router::compile(&listener(conditions)).unwrap();
        for (host, path, query, value, is_get) in requests {
            let path = format!("/{path}");
            let headers = [("X", value.as_str())];
            let view = RequestView {
                method: if is_get { b"GET" } else { b"POST" },
                host: host.as_bytes(),
                path: path.as_bytes(),
                query: query.as_bytes(),
                headers: &headers.as_slice(),
                source: IpAddr::from([if is_get { 10 } else { 11 }, 0, 0, 1]),
            };
            prop_assert_eq!(router.route(&view).priority, router.route_in_turn(&view).priority);
        }
    }

    #[test]
    fn wildcards_match_as_their_expression_does(pattern in "/[ab*?]{0,8}", path in "/[ab]{0,10}") {
        let router = Router::compile(&listener(vec![vec![Condition::Path(vec![Pattern::Wildcard(pattern.clone())])]])).unwrap();
        let expression = format!("^{}$", pattern.replace('*', ".*").replace('?', "."));
        let by_regex = Router::compile(&listener(vec![vec![Condition::Path(vec![Pattern::Regex(expression)])]])).unwrap();
        let no_headers: [(&str, &str); 0] = [];
        let view = RequestView {
            method: b"GET", host: b"", path: path.as_bytes(), query: b"",
            headers: &no_headers.as_slice(), source: IpAddr::from([127, 0, 0, 1]),
        };
        prop_assert_eq!(router.route(&view).priority, by_regex.route(&view).priority, "{} {}", pattern, path);
    }
}

#[test]
fn what_cannot_be_compiled_is_told() {
    for (condition, expected) in [
        (Condition::Path(vec![Pattern::Regex("(".into())]), "regular expression"),
        (Condition::Path(vec![Pattern::Regex("(?=x)".into())]), "regular expression"),
        (Condition::Path(vec![Pattern::Regex(r"(a)\1".into())]), "regular expression"),
        (Condition::Path(vec![Pattern::Regex("(a{1000}){1000}".into())]), "regular expression"),
        (Condition::SourceIp(vec!["10.0.0.0".into()]), "range"),
        (Condition::SourceIp(vec!["10.0.0.0/33".into()]), "range"),
    ] {
        let error = Router::compile(&listener(vec![vec![condition]])).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}
