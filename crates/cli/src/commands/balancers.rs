//! `boxship balancers`.

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::{Context, Result};
use aws_elbv2::op::{DescribeListeners, DescribeLoadBalancers, DescribeTargetGroups, DescribeTargetHealth};
use aws_elbv2::{
    DescribeListenersInput, DescribeLoadBalancersInput, DescribeTargetGroupsInput, DescribeTargetHealthInput,
    LoadBalancer, TargetHealthDescription,
};
use clap::Args;
use serde_json::{Value, json};

use crate::client::Client;
use crate::http;
use crate::screen::{Color, paint, table};

/// Pages of a list that are read at most; the API's own are of 400.
const PAGES: usize = 100;

#[derive(Debug, Args)]
pub struct BalancersArgs {
    /// Only this one, by its name
    name: Option<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// A balancer with all that is shown of it.
struct Shown {
    balancer: LoadBalancer,
    /// Protocol and port, in the order of ports.
    listeners: Vec<(i32, String)>,
    groups: Vec<Group>,
    /// An address of this machine where its listeners are open, too.
    alias: Option<String>,
}

struct Group {
    name: String,
    arn: String,
    states: Vec<String>,
}

impl Group {
    fn healthy(&self) -> usize {
        self.states.iter().filter(|state| *state == "healthy").count()
    }

    fn shown(&self) -> String {
        let (healthy, all) = (self.healthy(), self.states.len());
        let color = match healthy {
            _ if all == 0 => Color::Faint,
            0 => Color::Bad,
            _ if healthy < all => Color::Pending,
            _ => Color::Good,
        };
        format!("{} {}", self.name, paint(&format!("{healthy}/{all}"), color))
    }
}

pub async fn run(client: &Client, args: &BalancersArgs) -> Result<ExitCode> {
    let aliases = aliases(client).await?;
    let mut all = Vec::new();
    for balancer in balancers(client, args.name.as_deref()).await? {
        all.push(shown(client, balancer, &aliases).await?);
    }
    if args.json {
        let port = client.address().port();
        let rows: Vec<_> = all.iter().map(|one| one.json(port)).collect();
        println!("{}", serde_json::to_string_pretty(&rows)?);
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<_> = all.iter().map(|one| one.row(client.address().port())).collect();
    table(&["NAME", "STATE", "LISTENERS", "URL", "ALIAS", "TARGETS"], &rows);
    Ok(ExitCode::SUCCESS)
}

/// Addresses of this machine, by ARN.
async fn aliases(client: &Client) -> Result<BTreeMap<String, String>> {
    let answer = http::get(client.address(), "/_boxship/balancers").await?;
    let value: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
    let alias = |one: &Value| Some((one["arn"].as_str()?.to_owned(), one["alias"].as_str()?.to_owned()));
    Ok(value["balancers"].as_array().into_iter().flatten().filter_map(alias).collect())
}

/// Where people and browsers find what a balancer balances.
pub struct Links {
    /// By the balancer's name, through the one port.
    pub url: Option<String>,
    /// At an address of this machine of the balancer's own.
    pub alias: Option<String>,
}

impl Links {
    /// Those that there are, the one for browsers first.
    pub fn all(&self) -> Vec<&str> {
        [&self.url, &self.alias].into_iter().flatten().map(String::as_str).collect()
    }
}

/// The links of the balancers that send requests to a target group.
pub async fn links(client: &Client, group: &str) -> Result<Links> {
    let request =
        DescribeTargetGroupsInput { target_group_arns: Some(vec![group.to_owned()]), ..Default::default() };
    let groups = client.call::<DescribeTargetGroups>(request).await?.target_groups.unwrap_or_default();
    let arn = groups.into_iter().flat_map(|group| group.load_balancer_arns.unwrap_or_default()).next();
    let none = Links { url: None, alias: None };
    let Some(arn) = arn else { return Ok(none) };
    let request = DescribeLoadBalancersInput { load_balancer_arns: Some(vec![arn]), ..Default::default() };
    let balancer = client.call::<DescribeLoadBalancers>(request).await?.load_balancers;
    let Some(balancer) = balancer.into_iter().flatten().next() else { return Ok(none) };
    let shown = shown(client, balancer, &aliases(client).await?).await?;
    Ok(Links { url: shown.url(client.address().port()), alias: shown.alias_url() })
}

async fn balancers(client: &Client, name: Option<&str>) -> Result<Vec<LoadBalancer>> {
    let mut found = Vec::new();
    let mut marker = None;
    for _ in 0..PAGES {
        let request = DescribeLoadBalancersInput {
            names: name.map(|name| vec![name.to_owned()]),
            marker,
            ..Default::default()
        };
        let page = client.call::<DescribeLoadBalancers>(request).await?;
        found.extend(page.load_balancers.into_iter().flatten());
        marker = page.next_marker;
        if marker.is_none() {
            break;
        }
    }
    found.sort_by(|a, b| a.load_balancer_name.cmp(&b.load_balancer_name));
    Ok(found)
}

async fn shown(client: &Client, balancer: LoadBalancer, aliases: &BTreeMap<String, String>) -> Result<Shown> {
    let arn = balancer.load_balancer_arn.clone().context("a load balancer without an ARN")?;
    let request = DescribeListenersInput {
        load_balancer_arn: Some(arn.clone()),
        page_size: Some(400),
        ..Default::default()
    };
    let listeners = client.call::<DescribeListeners>(request).await?.listeners.unwrap_or_default();
    let mut listeners: Vec<_> = listeners
        .into_iter()
        .map(|one| (one.port.unwrap_or_default(), one.protocol.unwrap_or_default()))
        .collect();
    listeners.sort();
    let request = DescribeTargetGroupsInput {
        load_balancer_arn: Some(arn.clone()),
        page_size: Some(400),
        ..Default::default()
    };
    let found = client.call::<DescribeTargetGroups>(request).await?.target_groups.unwrap_or_default();
    let mut groups = Vec::new();
    for group in found {
        let arn = group.target_group_arn.unwrap_or_default();
        let request = DescribeTargetHealthInput { target_group_arn: arn.clone(), ..Default::default() };
        let health = client.call::<DescribeTargetHealth>(request).await?;
        let state = |one: TargetHealthDescription| one.target_health.and_then(|health| health.state);
        let states = health.target_health_descriptions.unwrap_or_default();
        let states = states.into_iter().map(|one| state(one).unwrap_or_default()).collect();
        groups.push(Group { name: group.target_group_name.unwrap_or_default(), arn, states });
    }
    Ok(Shown { alias: aliases.get(&arn).cloned(), balancer, listeners, groups })
}

/// `http://host/`, with the port where a browser needs it.
fn url(protocol: &str, host: &str, port: i32) -> String {
    let scheme = protocol.to_ascii_lowercase();
    match (scheme.as_str(), port) {
        ("http", 80) | ("https", 443) => format!("{scheme}://{host}/"),
        _ => format!("{scheme}://{host}:{port}/"),
    }
}

impl Shown {
    /// Through the one port by name: curl and browsers know where names under localhost lead.
    fn url(&self, one_port: u16) -> Option<String> {
        // The simulated runtime has no alias, and serves none.
        let name = self.alias.as_deref().and(self.balancer.dns_name.as_deref())?;
        let (port, protocol) = self.main()?;
        let scheme = protocol.to_ascii_lowercase();
        let is_main = matches!((scheme.as_str(), port), ("http", 80) | ("https", 443));
        let name = if is_main { name.to_owned() } else { format!("p{port}.{name}") };
        Some(format!("{scheme}://{name}:{one_port}/"))
    }

    /// At an address of this machine, with the listener's own port.
    fn alias_url(&self) -> Option<String> {
        let (port, protocol) = self.main()?;
        Some(url(protocol, self.alias.as_deref()?, *port))
    }

    /// The listener that people mean: port 80, or else the first one.
    fn main(&self) -> Option<&(i32, String)> {
        self.listeners.iter().find(|(port, _)| *port == 80).or_else(|| self.listeners.first())
    }

    fn row(&self, one_port: u16) -> Vec<String> {
        let state = self.balancer.state.as_ref().and_then(|state| state.code.as_deref()).unwrap_or_default();
        let color = if state == "active" { Color::Good } else { Color::Pending };
        let listeners: Vec<_> = self.listeners.iter().map(|(port, kind)| format!("{kind}:{port}")).collect();
        let groups: Vec<_> = self.groups.iter().map(Group::shown).collect();
        vec![
            self.balancer.load_balancer_name.clone().unwrap_or_default(),
            paint(state, color),
            dash(listeners.join(" ")),
            dash(self.url(one_port).unwrap_or_default()),
            dash(self.alias_url().unwrap_or_default()),
            dash(groups.join(", ")),
        ]
    }

    fn json(&self, one_port: u16) -> Value {
        let balancer = &self.balancer;
        json!({
            "name": balancer.load_balancer_name,
            "arn": balancer.load_balancer_arn,
            "dnsName": balancer.dns_name,
            "state": balancer.state.as_ref().and_then(|state| state.code.as_ref()),
            "url": self.url(one_port),
            "alias": self.alias,
            "aliasUrl": self.alias_url(),
            "listeners": self.listeners.iter().map(|(port, protocol)| json!({
                "port": port,
                "protocol": protocol,
            })).collect::<Vec<_>>(),
            "targetGroups": self.groups.iter().map(|group| json!({
                "name": group.name,
                "arn": group.arn,
                "healthy": group.healthy(),
                "targets": group.states.len(),
            })).collect::<Vec<_>>(),
        })
    }
}

pub fn dash(text: String) -> String {
    if text.is_empty() { String::from("-") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_balancer_is_reached_by_its_name_and_at_its_alias() {
        let one = |listeners: &[(i32, &str)]| {
            let shown = Shown {
                balancer: LoadBalancer {
                    dns_name: Some("web-1.x.elb.localhost".into()),
                    ..Default::default()
                },
                listeners: listeners.iter().map(|(port, kind)| (*port, (*kind).to_owned())).collect(),
                groups: Vec::new(),
                alias: Some("127.1.2.3".into()),
            };
            (shown.url(4566).unwrap_or_default(), shown.alias_url().unwrap_or_default())
        };
        let by_name = |text: &str| String::from(text);
        assert_eq!(
            one(&[(80, "HTTP"), (443, "HTTPS")]),
            (by_name("http://web-1.x.elb.localhost:4566/"), by_name("http://127.1.2.3/"))
        );
        assert_eq!(
            one(&[(8080, "HTTP")]),
            (by_name("http://p8080.web-1.x.elb.localhost:4566/"), by_name("http://127.1.2.3:8080/"))
        );
        assert_eq!(
            one(&[(443, "HTTPS")]),
            (by_name("https://web-1.x.elb.localhost:4566/"), by_name("https://127.1.2.3/"))
        );
        assert_eq!(one(&[]), (String::new(), String::new()));
    }
}
