//! The tables that the soak puts in: always the same listeners, ever other rules and targets.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use base::Chance;
use core_routing::{
    Action, Algorithm, Attributes, Balancer, Condition, GroupCheck, GroupKind, HeaderRules, Kind, Listener,
    Matcher, MinimumHealthy, Node, Pattern, Placed, Protocol, Rule, Scheme, Target, TargetGroup, Version,
    WeightedGroup,
};

/// Target n is of group n % GROUPS, and of no other, ever.
pub const GROUPS: usize = 3;
pub const CERTIFICATE: &str = "arn:aws:acm:us-east-1:000000000000:certificate/soak";

pub struct World {
    pub plain: u16,
    pub tls: u16,
    generation: u64,
    targets: Vec<Registered>,
    rules: Vec<Rule>,
    algorithms: [Algorithm; GROUPS],
}

struct Registered {
    port: u16,
    /// `None`: deregistered and gone.
    target: Option<Target>,
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn target(port: u16) -> Target {
    Target {
        id: "127.0.0.1".into(),
        port,
        address: Ipv4Addr::LOCALHOST,
        zone: Some("us-east-1a".into()),
        registered_at: base::clock::wall(),
        draining_until: None,
    }
}

fn name(group: usize) -> Arc<str> {
    format!("group/{group}").into()
}

fn forward(group: usize, weight: u32) -> Action {
    Action::Forward { groups: vec![WeightedGroup { group: name(group), weight }], sticky_for: None }
}

fn rule(priority: u32, path: String, action: Action) -> Rule {
    let conditions = vec![Condition::Path(vec![Pattern::Wildcard(path)])];
    Rule { arn: format!("rule/{priority}").into(), priority, conditions, rewrites: Vec::new(), action }
}

fn rules(chance: &mut Chance) -> Vec<Rule> {
    let mut priority = 1;
    let mut next = || {
        priority += 1;
        priority
    };
    let mut rules = Vec::new();
    for group in 0..GROUPS {
        for _ in 0..chance.below(20) {
            let other = Action::Fixed { status: 418, content_type: None, body: String::from("never") };
            rules.push(rule(next(), format!("/other{}/*", chance.below(1_000)), other));
        }
        rules.push(rule(next(), format!("/g{group}/*"), forward(group, 1 + chance.below(999) as u32)));
    }
    rules
}

impl World {
    pub fn new(ports: Vec<u16>) -> Self {
        World {
            plain: free_port(),
            tls: free_port(),
            generation: 0,
            targets: ports.into_iter().map(|port| Registered { port, target: Some(target(port)) }).collect(),
            rules: rules(&mut Chance::new(0)),
            algorithms: [Algorithm::RoundRobin, Algorithm::LeastOutstanding, Algorithm::WeightedRandom],
        }
    }

    /// Targets of a group that new requests may go to.
    pub fn serving(&self, group: usize) -> usize {
        let own = self.targets.iter().skip(group).step_by(GROUPS);
        own.filter(|one| one.target.as_ref().is_some_and(|target| target.draining_until.is_none())).count()
    }

    /// Registers, deregisters or forgets one.
    pub fn move_a_target(&mut self, chance: &mut Chance) {
        let number = chance.below(self.targets.len() as u64) as usize;
        let has_others = self.serving(number % GROUPS) > 3;
        let one = &mut self.targets[number];
        match &mut one.target {
            None => one.target = Some(target(one.port)),
            Some(target) if target.draining_until.is_some() => one.target = None,
            Some(target) if has_others => {
                target.draining_until = Some(base::clock::wall() + Duration::from_secs(300));
            }
            Some(_) => {}
        }
    }

    pub fn change_rules(&mut self, chance: &mut Chance) {
        self.rules = rules(chance);
        self.algorithms.rotate_left(chance.below(GROUPS as u64) as usize);
    }

    pub fn table(&mut self) -> Arc<Balancer> {
        self.generation += 1;
        let groups = (0..GROUPS).map(|group| (name(group), Arc::new(self.group(group))));
        Arc::new(Balancer {
            arn: "arn:aws:elasticloadbalancing:us-east-1:000000000000:loadbalancer/app/soak/1".into(),
            generation: self.generation,
            kind: Kind::Application,
            id: "app/soak/1".into(),
            dns_name: "soak.elb.localhost".into(),
            scheme: Scheme::InternetFacing,
            place: placed(),
            attributes: Attributes::default(),
            listeners: vec![self.listener(self.plain, None), self.listener(self.tls, Some(CERTIFICATE))],
            groups: groups.collect::<BTreeMap<_, _>>(),
        })
    }

    fn listener(&self, port: u16, certificate: Option<&str>) -> Listener {
        let is_tls = certificate.is_some();
        Listener {
            arn: format!("listener/{port}").into(),
            port,
            protocol: if is_tls { Protocol::Https } else { Protocol::Http },
            ssl_policy: is_tls.then(|| "ELBSecurityPolicy-TLS13-1-2-2021-06".into()),
            certificates: certificate.map(Arc::from).into_iter().collect(),
            headers: HeaderRules::default(),
            rules: self.rules.clone(),
            default: Rule { priority: 0, conditions: Vec::new(), ..rule(0, String::new(), forward(0, 1)) },
        }
    }

    fn group(&self, group: usize) -> TargetGroup {
        let own = self.targets.iter().skip(group).step_by(GROUPS);
        TargetGroup {
            arn: name(group),
            id: format!("targetgroup/soak/{group}").into(),
            kind: GroupKind::Ip,
            protocol: Protocol::Http,
            version: Version::Http1,
            check: GroupCheck {
                protocol: Protocol::Http,
                port: None,
                path: String::from("/health"),
                interval: Duration::from_millis(200),
                timeout: Duration::from_millis(150),
                healthy_after: 2,
                unhealthy_after: 2,
                matcher: Matcher::Http(vec![(200, 299)]),
            },
            algorithm: self.algorithms[group],
            mitigates_anomalies: false,
            stickiness: None,
            slow_start_for: Duration::ZERO,
            deregistration_delay_for: Duration::from_secs(300),
            held_for: Duration::ZERO,
            cross_zone: true,
            healthy: MinimumHealthy::default(),
            targets: own.filter_map(|one| one.target.clone()).collect(),
        }
    }
}

fn placed() -> Placed {
    Placed {
        account: String::from("000000000000"),
        region: String::from("us-east-1"),
        vpc: String::from("vpc-1"),
        vpc_cidr: String::from("127.0.0.0/8"),
        on_host: true,
        nodes: vec![Node {
            zone: "us-east-1a".into(),
            subnet: String::from("subnet-1"),
            eni: String::from("eni-1"),
            address: Ipv4Addr::LOCALHOST,
        }],
        alias: None,
        security_groups: Vec::new(),
    }
}
