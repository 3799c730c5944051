//! Listeners from AWS's shapes, as the corpus has them.

use std::time::Duration;

use core_routing::{
    Action, Condition, HeaderRules, Listener, Pattern, Protocol, QueryPair, Redirect, Rewrite, RewriteKind,
    Rule, WeightedGroup,
};
use serde_json::Value;

pub fn listener(shape: &Value) -> Listener {
    let mut rules: Vec<Rule> = list(&shape["Rules"]).map(rule).collect();
    rules.sort_by_key(|rule| rule.priority);
    let default = Rule {
        arn: "default".into(),
        priority: 0,
        conditions: Vec::new(),
        rewrites: Vec::new(),
        action: action(&shape["DefaultActions"][0]),
    };
    Listener {
        arn: "listener".into(),
        port: shape["Port"].as_u64().unwrap() as u16,
        protocol: if shape["Protocol"] == "HTTPS" { Protocol::Https } else { Protocol::Http },
        ssl_policy: None,
        certificates: Vec::new(),
        headers: HeaderRules::default(),
        rules,
        default,
    }
}

pub fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("a text: {value}")).to_owned()
}

fn rule(shape: &Value) -> Rule {
    let priority = shape["Priority"].as_u64().unwrap() as u32;
    Rule {
        arn: format!("rule/{priority}").into(),
        priority,
        conditions: list(&shape["Conditions"]).map(condition).collect(),
        rewrites: list(&shape["Transforms"]).flat_map(rewrites).collect(),
        action: action(&shape["Actions"][0]),
    }
}

fn patterns(config: &Value) -> Vec<Pattern> {
    let exact = list(&config["Values"]).map(|value| Pattern::Wildcard(text(value)));
    exact.chain(list(&config["RegexValues"]).map(|value| Pattern::Regex(text(value)))).collect()
}

fn texts(config: &Value) -> Vec<String> {
    list(&config["Values"]).map(text).collect()
}

fn condition(shape: &Value) -> Condition {
    match shape["Field"].as_str().unwrap() {
        "host-header" => Condition::Host(patterns(&shape["HostHeaderConfig"])),
        "path-pattern" => Condition::Path(patterns(&shape["PathPatternConfig"])),
        "http-header" => {
            let config = &shape["HttpHeaderConfig"];
            Condition::Header { name: text(&config["HttpHeaderName"]), values: patterns(config) }
        }
        "http-request-method" => Condition::Method(texts(&shape["HttpRequestMethodConfig"])),
        "query-string" => {
            let pair = |pair: &Value| QueryPair {
                key: pair["Key"].as_str().map(str::to_owned),
                value: text(&pair["Value"]),
            };
            Condition::Query(list(&shape["QueryStringConfig"]["Values"]).map(pair).collect())
        }
        "source-ip" => Condition::SourceIp(texts(&shape["SourceIpConfig"])),
        other => panic!("no condition: {other}"),
    }
}

fn action(shape: &Value) -> Action {
    match shape["Type"].as_str().unwrap() {
        "fixed-response" => {
            let config = &shape["FixedResponseConfig"];
            Action::Fixed {
                status: text(&config["StatusCode"]).parse().unwrap(),
                content_type: config["ContentType"].as_str().map(str::to_owned),
                body: text(&config["MessageBody"]),
            }
        }
        "redirect" => {
            let config = &shape["RedirectConfig"];
            let part = |name: &str| text(&config[name]);
            Action::Redirect(Redirect {
                protocol: part("Protocol"),
                host: part("Host"),
                port: part("Port"),
                path: part("Path"),
                query: part("Query"),
                status: if part("StatusCode") == "HTTP_301" { 301 } else { 302 },
            })
        }
        "forward" => {
            let config = &shape["ForwardConfig"];
            let group = |group: &Value| WeightedGroup {
                group: text(&group["TargetGroupName"]).into(),
                weight: group["Weight"].as_u64().unwrap() as u32,
            };
            let sticky = &config["TargetGroupStickinessConfig"]["DurationSeconds"];
            Action::Forward {
                groups: list(&config["TargetGroups"]).map(group).collect(),
                sticky_for: sticky.as_u64().map(Duration::from_secs),
            }
        }
        other => panic!("no action: {other}"),
    }
}

fn rewrites(shape: &Value) -> Vec<Rewrite> {
    let (kind, config) = match shape["Type"].as_str().unwrap() {
        "host-header-rewrite" => (RewriteKind::Host, &shape["HostHeaderRewriteConfig"]),
        "url-rewrite" => (RewriteKind::Url, &shape["UrlRewriteConfig"]),
        other => panic!("no transform: {other}"),
    };
    let one = |one: &Value| Rewrite { kind, regex: text(&one["Regex"]), replace: text(&one["Replace"]) };
    list(&config["Rewrites"]).map(one).collect()
}
