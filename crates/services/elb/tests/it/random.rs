//! Histories of random requests: whatever is answered, what is kept hangs together.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_elbv2 as aws;
use aws_elbv2::op;
use base::Chance;
use core_routing::{Action, Router, State};
use store::Key;

use crate::peers::{CERTIFICATE, Made, OTHER};
use crate::world::{
    World, balancer, fixed, forward, group, listener, path_is, report, rule, strings, target,
};

struct History {
    world: World,
    chance: Chance,
}

fn certificate(arn: &str) -> Vec<aws::Certificate> {
    vec![aws::Certificate { certificate_arn: Some(arn.into()), is_default: None }]
}

impl History {
    fn pick<T: Clone>(&mut self, of: &[T]) -> Option<T> {
        let nth = self.chance.below(of.len() as u64) as usize;
        of.get(nth).cloned()
    }

    fn below(&mut self, bound: u64) -> i32 {
        self.chance.below(bound) as i32
    }

    fn balancers(&self) -> Vec<String> {
        let all = self.world.call::<op::DescribeLoadBalancers>(Default::default()).unwrap();
        all.load_balancers.unwrap().into_iter().filter_map(|one| one.load_balancer_arn).collect()
    }

    fn groups(&self) -> Vec<String> {
        let all = self.world.call::<op::DescribeTargetGroups>(Default::default()).unwrap();
        all.target_groups.unwrap().into_iter().filter_map(|one| one.target_group_arn).collect()
    }

    fn listeners(&self) -> Vec<String> {
        let of = |arn: String| {
            let request = aws::DescribeListenersInput { load_balancer_arn: Some(arn), ..Default::default() };
            self.world.call::<op::DescribeListeners>(request).unwrap().listeners.unwrap()
        };
        let all = self.balancers().into_iter().flat_map(of);
        all.filter_map(|one| one.listener_arn).collect()
    }

    fn rules(&self) -> Vec<String> {
        let of = |arn: String| {
            let request = aws::DescribeRulesInput { listener_arn: Some(arn), ..Default::default() };
            self.world.call::<op::DescribeRules>(request).unwrap().rules.unwrap()
        };
        self.listeners().into_iter().flat_map(of).filter_map(|one| one.rule_arn).collect()
    }

    fn action(&mut self) -> aws::Action {
        let groups = self.groups();
        match self.pick(&groups) {
            Some(group) if self.below(3) > 0 => forward(&group),
            _ => fixed("404"),
        }
    }

    fn targets(&mut self) -> Vec<aws::TargetDescription> {
        let count = 1 + self.below(3);
        let subnet = ["172.31.0", "172.31.16", "172.31.32"];
        (0..count)
            .map(|_| {
                let subnet = self.pick(&subnet).unwrap();
                target(&format!("{subnet}.{}", 10 + self.below(4)))
            })
            .collect()
    }

    /// One request of any kind; most are refused at times, which is an answer, too.
    fn step(&mut self) {
        match self.below(16) {
            0 => {
                let request = balancer(&format!("b{}", self.below(3)));
                drop(self.world.call::<op::CreateLoadBalancer>(request));
            }
            1 => {
                let request = group(&format!("g{}", self.below(5)));
                drop(self.world.call::<op::CreateTargetGroup>(request));
            }
            2 | 3 => self.create_listener(),
            4 | 5 => self.create_rule(),
            6 => {
                if let Some(target_group_arn) = self.pick(&self.groups()) {
                    let request = aws::RegisterTargetsInput { target_group_arn, targets: self.targets() };
                    self.world.call::<op::RegisterTargets>(request).unwrap();
                }
            }
            7 => {
                if let Some(target_group_arn) = self.pick(&self.groups()) {
                    let request = aws::DeregisterTargetsInput { target_group_arn, targets: self.targets() };
                    self.world.call::<op::DeregisterTargets>(request).unwrap();
                }
            }
            8 => self.observe(),
            9 => self.world.advance(Duration::from_secs(self.chance.below(400))),
            10 => self.delete(),
            11 => self.modify_listener(),
            12 => self.modify_rule(),
            13 => self.set_subnets(),
            14 => self.certificates(),
            _ => self.world.settle(),
        }
    }

    fn create_listener(&mut self) {
        let Some(arn) = self.pick(&self.balancers()) else { return };
        let mut request = listener(&arn, 80 + self.below(3), "");
        request.default_actions = vec![self.action()];
        if self.below(2) == 0 {
            request.protocol = Some("HTTPS".into());
            request.certificates = Some(certificate(CERTIFICATE));
        }
        drop(self.world.call::<op::CreateListener>(request));
    }

    fn create_rule(&mut self) {
        let Some(arn) = self.pick(&self.listeners()) else { return };
        let request = rule(&arn, 1 + self.below(6), vec![path_is("/a*")], self.action());
        drop(self.world.call::<op::CreateRule>(request));
    }

    fn observe(&mut self) {
        let Some(arn) = self.pick(&self.balancers()) else { return };
        let Some(table) = service_elb::table(&self.world.records(), &arn) else { return };
        let all = table.groups.values();
        let reports = all.flat_map(|group| {
            group.targets.iter().map(|one| report(&table, &group.arn, &one.id, State::Healthy, None))
        });
        self.world.take_in(reports.collect());
    }

    fn delete(&mut self) {
        match self.below(4) {
            0 => {
                if let Some(load_balancer_arn) = self.pick(&self.balancers()) {
                    let request = aws::DeleteLoadBalancerInput { load_balancer_arn };
                    self.world.call::<op::DeleteLoadBalancer>(request).unwrap();
                }
            }
            1 => {
                if let Some(listener_arn) = self.pick(&self.listeners()) {
                    let request = aws::DeleteListenerInput { listener_arn };
                    self.world.call::<op::DeleteListener>(request).unwrap();
                }
            }
            2 => {
                if let Some(rule_arn) = self.pick(&self.rules()) {
                    drop(self.world.call::<op::DeleteRule>(aws::DeleteRuleInput { rule_arn }));
                }
            }
            _ => {
                if let Some(target_group_arn) = self.pick(&self.groups()) {
                    let request = aws::DeleteTargetGroupInput { target_group_arn };
                    drop(self.world.call::<op::DeleteTargetGroup>(request));
                }
            }
        }
    }

    fn modify_listener(&mut self) {
        let Some(listener_arn) = self.pick(&self.listeners()) else { return };
        let request = aws::ModifyListenerInput {
            listener_arn,
            port: Some(80 + self.below(3)),
            protocol: self.pick(&strings(&["HTTP", "HTTPS"])),
            default_actions: Some(vec![self.action()]),
            ..Default::default()
        };
        drop(self.world.call::<op::ModifyListener>(request));
    }

    fn modify_rule(&mut self) {
        let Some(rule_arn) = self.pick(&self.rules()) else { return };
        let actions = Some(vec![self.action()]);
        let request = aws::ModifyRuleInput { rule_arn, actions, ..Default::default() };
        drop(self.world.call::<op::ModifyRule>(request));
    }

    fn set_subnets(&mut self) {
        let Some(load_balancer_arn) = self.pick(&self.balancers()) else { return };
        let choices = [["subnet-a", "subnet-b"], ["subnet-b", "subnet-c"], ["subnet-a", "subnet-tiny"]];
        let subnets = Some(strings(&self.pick(&choices).unwrap()));
        let request = aws::SetSubnetsInput { load_balancer_arn, subnets, ..Default::default() };
        drop(self.world.call::<op::SetSubnets>(request));
    }

    fn certificates(&mut self) {
        let Some(listener_arn) = self.pick(&self.listeners()) else { return };
        let certificates = certificate(&self.pick(&strings(&[CERTIFICATE, OTHER])).unwrap());
        if self.below(2) == 0 {
            let request = aws::AddListenerCertificatesInput { listener_arn, certificates };
            drop(self.world.call::<op::AddListenerCertificates>(request));
        } else {
            let request = aws::RemoveListenerCertificatesInput { listener_arn, certificates };
            drop(self.world.call::<op::RemoveListenerCertificates>(request));
        }
    }

    /// What must hold after any history.
    fn check(&self) {
        self.world.settle();
        let records = self.world.records();
        let mut nodes = 0;
        let mut served = BTreeSet::new();
        for arn in service_elb::balancers(&records) {
            let table = service_elb::table(&records, &arn).unwrap();
            nodes += table.place.nodes.len();
            let zones: BTreeSet<_> = table.place.nodes.iter().map(|node| node.zone.clone()).collect();
            assert_eq!(zones.len(), table.place.nodes.len(), "a node per zone");
            let ports: BTreeSet<_> = table.listeners.iter().map(|one| one.port).collect();
            assert_eq!(ports.len(), table.listeners.len(), "a listener per port");
            let mut used = BTreeSet::new();
            for listener in &table.listeners {
                Router::compile(listener).unwrap();
                assert_eq!(
                    listener.protocol == core_routing::Protocol::Https,
                    !listener.certificates.is_empty()
                );
                assert_eq!(listener.ssl_policy.is_some(), !listener.certificates.is_empty());
                let priorities: Vec<_> = listener.rules.iter().map(|rule| rule.priority).collect();
                assert!(priorities.is_sorted_by(|one, other| one < other), "{priorities:?}");
                for rule in listener.rules.iter().chain([&listener.default]) {
                    if let Action::Forward { groups, .. } = &rule.action {
                        used.extend(groups.iter().map(|one| one.group.clone()));
                    }
                }
            }
            assert_eq!(table.groups.keys().cloned().collect::<BTreeSet<_>>(), used);
            for group in used {
                assert!(served.insert(group), "a group serves one balancer");
            }
            let targets = table.groups.values().flat_map(|group| &group.targets);
            assert!(targets.into_iter().all(|one| one.zone.as_ref().is_none_or(|zone| zones.contains(zone))));
        }
        assert_eq!(records.scan::<Made>(&Key::all()).count(), nodes, "an interface per node");
        for group in self.groups() {
            let is_used = served.contains(&*group);
            for (id, state, reason) in self.world.health(&group) {
                let is_idle = reason == "Target.NotInUse";
                assert!(is_used || is_idle, "{id} {state} {reason} in an idle group");
            }
        }
    }
}

#[test]
fn random_histories_hang_together() {
    for seed in 0..12 {
        let mut history = History { world: World::new(), chance: Chance::new(seed) };
        for _ in 0..10 {
            (0..30).for_each(|_| history.step());
            history.check();
        }
        // Everything can be taken down, and nothing is left of it.
        for load_balancer_arn in history.balancers() {
            let request = aws::DeleteLoadBalancerInput { load_balancer_arn };
            history.world.call::<op::DeleteLoadBalancer>(request).unwrap();
        }
        for target_group_arn in history.groups() {
            let request = aws::DeleteTargetGroupInput { target_group_arn };
            history.world.call::<op::DeleteTargetGroup>(request).unwrap();
        }
        history.check();
        let left = history.world.records().changes().map(|change| change.kind).collect::<Vec<_>>();
        assert!(left.is_empty(), "seed {seed} leaves {left:?}");
    }
}
