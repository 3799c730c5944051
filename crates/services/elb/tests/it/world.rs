//! A platform with Elastic Load Balancing on the memory store, its controllers driven by hand.

use std::cell::RefCell;
use std::time::Duration;

use aws_elbv2 as aws;
use aws_elbv2::op;
use base::clock::Clock;
use base::{AccountId, Fault, Region};
use control::{Agenda, Outcome};
use core_routing::{HealthReport, Reason, State, TargetKey};
use service::{Caller, Origin, Platform, PlatformBuilder, Principal};
use store::{Event, Memory, Snapshot, Store, Watch};

use crate::peers;

pub struct World {
    pub platform: Platform,
    runtime: tokio::runtime::Runtime,
    loops: RefCell<(Agenda, Watch)>,
}

impl World {
    pub fn new() -> World {
        World::made(false)
    }

    /// With the loop that stands in for proxies.
    pub fn simulated() -> World {
        World::made(true)
    }

    fn made(is_simulated: bool) -> World {
        let builder =
            PlatformBuilder::default().with(service_elb::service()).with(peers::ec2()).with(peers::acm());
        let store = Store::open(Memory::default().open(), builder.kinds()).unwrap();
        let watch = store.watch();
        let mut agenda = Agenda::new(7);
        agenda.add(service_elb::Provisioning);
        agenda.add(service_elb::Draining);
        if is_simulated {
            agenda.add(service_elb::Simulated { unhealthy_at: told });
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let loops = RefCell::new((agenda, watch));
        World { platform: builder.build(store, Clock::default(), 7), runtime, loops }
    }

    /// Lets every controller do what is due.
    pub fn settle(&self) {
        let (agenda, watch) = &mut *self.loops.borrow_mut();
        for _ in 0..1000 {
            while let Some(event) = watch.try_next() {
                match event {
                    Event::Commit(commit) => commit.changes.iter().for_each(|change| agenda.see(change)),
                    other => panic!("{other:?}"),
                }
            }
            let now = self.platform.clock().now();
            let store = self.platform.store().clone();
            let Some(mut planned) = agenda.next(now, &store.snapshot()) else { return };
            let body = planned.commit(self.platform.clone());
            match store.blocking_write("Plan", body) {
                Ok(()) => agenda.finish(planned.ticket, Outcome::Done, now),
                Err(error) => panic!("{}: {error}", planned.ticket.shown),
            }
        }
        panic!("the controllers do not come to rest");
    }

    pub fn caller() -> Caller {
        Caller {
            account: AccountId::default_account(),
            region: Region::default_region(),
            principal: Principal::Root,
            origin: Origin::Operator,
            host: None,
            request_id: "test".into(),
        }
    }

    pub fn call<O: wire::Operation>(&self, input: O::Input) -> Result<O::Output, Fault> {
        self.call_in::<O>("us-east-1", input)
    }

    pub fn call_in<O: wire::Operation>(&self, region: &str, input: O::Input) -> Result<O::Output, Fault> {
        let caller = Caller { region: Region::parse(region).unwrap(), ..World::caller() };
        self.runtime.block_on(self.platform.call::<O>(caller, input))
    }

    pub fn advance(&self, by: Duration) {
        self.platform.clock().advance(by);
        self.settle();
    }

    pub fn records(&self) -> Snapshot {
        self.platform.store().snapshot()
    }

    pub fn take_in(&self, reports: Vec<HealthReport>) {
        self.runtime.block_on(service_elb::take_in(&self.platform, reports)).unwrap();
    }

    /// An active balancer in two zones.
    pub fn balancer(&self, name: &str) -> String {
        let made = self.call::<op::CreateLoadBalancer>(balancer(name)).unwrap();
        let arn = made.load_balancers.unwrap().remove(0).load_balancer_arn.unwrap();
        self.settle();
        arn
    }

    /// A group of addresses on port 80.
    pub fn group(&self, name: &str) -> String {
        let made = self.call::<op::CreateTargetGroup>(group(name)).unwrap();
        made.target_groups.unwrap().remove(0).target_group_arn.unwrap()
    }

    pub fn listener(&self, balancer: &str, port: i32, group: &str) -> String {
        let made = self.call::<op::CreateListener>(listener(balancer, port, group)).unwrap();
        made.listeners.unwrap().remove(0).listener_arn.unwrap()
    }

    pub fn rule(&self, listener: &str, priority: i32, path: &str, action: aws::Action) -> String {
        let request = rule(listener, priority, vec![path_is(path)], action);
        let made = self.call::<op::CreateRule>(request).unwrap();
        made.rules.unwrap().remove(0).rule_arn.unwrap()
    }

    pub fn register(&self, group: &str, ids: &[&str]) {
        let request = aws::RegisterTargetsInput {
            target_group_arn: group.into(),
            targets: ids.iter().map(|id| target(id)).collect(),
        };
        self.call::<op::RegisterTargets>(request).unwrap();
    }

    pub fn deregister(&self, group: &str, ids: &[&str]) {
        let request = aws::DeregisterTargetsInput {
            target_group_arn: group.into(),
            targets: ids.iter().map(|id| target(id)).collect(),
        };
        self.call::<op::DeregisterTargets>(request).unwrap();
    }

    /// Id, state and reason of every target.
    pub fn health(&self, group: &str) -> Vec<(String, String, String)> {
        let request = aws::DescribeTargetHealthInput { target_group_arn: group.into(), ..Default::default() };
        let answer = self.call::<op::DescribeTargetHealth>(request).unwrap();
        let all = answer.target_health_descriptions.unwrap().into_iter();
        all.map(|one| {
            let health = one.target_health.unwrap();
            (one.target.unwrap().id, health.state.unwrap(), health.reason.unwrap_or_default())
        })
        .collect()
    }

    pub fn set(&self, group: &str, key: &str, value: &str) -> Result<(), Fault> {
        let attribute = aws::TargetGroupAttribute { key: Some(key.into()), value: Some(value.into()) };
        let request = aws::ModifyTargetGroupAttributesInput {
            target_group_arn: group.into(),
            attributes: vec![attribute],
        };
        self.call::<op::ModifyTargetGroupAttributes>(request).map(drop)
    }

    pub fn table(&self, balancer: &str) -> core_routing::Balancer {
        service_elb::table(&self.records(), balancer).unwrap()
    }
}

pub fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| String::from(*text)).collect()
}

pub fn balancer(name: &str) -> aws::CreateLoadBalancerInput {
    aws::CreateLoadBalancerInput {
        name: name.into(),
        subnets: Some(strings(&["subnet-a", "subnet-b"])),
        ..Default::default()
    }
}

pub fn group(name: &str) -> aws::CreateTargetGroupInput {
    aws::CreateTargetGroupInput {
        name: name.into(),
        protocol: Some("HTTP".into()),
        port: Some(80),
        vpc_id: Some("vpc-main".into()),
        target_type: Some("ip".into()),
        ..Default::default()
    }
}

pub fn listener(balancer: &str, port: i32, group: &str) -> aws::CreateListenerInput {
    aws::CreateListenerInput {
        load_balancer_arn: balancer.into(),
        protocol: Some("HTTP".into()),
        port: Some(port),
        default_actions: vec![forward(group)],
        ..Default::default()
    }
}

pub fn rule(
    listener: &str,
    priority: i32,
    conditions: Vec<aws::RuleCondition>,
    action: aws::Action,
) -> aws::CreateRuleInput {
    aws::CreateRuleInput {
        listener_arn: listener.into(),
        priority,
        conditions,
        actions: vec![action],
        ..Default::default()
    }
}

pub fn forward(group: &str) -> aws::Action {
    aws::Action { r#type: "forward".into(), target_group_arn: Some(group.into()), ..Default::default() }
}

pub fn fixed(status: &str) -> aws::Action {
    aws::Action {
        r#type: "fixed-response".into(),
        fixed_response_config: Some(aws::FixedResponseActionConfig {
            status_code: status.into(),
            ..Default::default()
        }),
        ..Default::default()
    }
}

pub fn redirect(config: aws::RedirectActionConfig) -> aws::Action {
    aws::Action { r#type: "redirect".into(), redirect_config: Some(config), ..Default::default() }
}

pub fn path_is(path: &str) -> aws::RuleCondition {
    aws::RuleCondition {
        field: Some("path-pattern".into()),
        values: Some(strings(&[path])),
        ..Default::default()
    }
}

pub fn target(id: &str) -> aws::TargetDescription {
    aws::TargetDescription { id: id.into(), ..Default::default() }
}

/// A report about a target as its balancer's table has it.
pub fn report(
    table: &core_routing::Balancer,
    group: &str,
    id: &str,
    state: State,
    reason: Option<Reason>,
) -> HealthReport {
    let target = table.groups[group].targets.iter().find(|target| &*target.id == id).unwrap();
    HealthReport {
        target: TargetKey { group: group.into(), id: id.into(), port: target.port },
        registered_at: target.registered_at,
        state,
        reason,
        anomaly: core_routing::Anomaly::default(),
        at: target.registered_at,
    }
}

/// Asserts a refusal's code and text.
#[track_caller]
pub fn refused<T: std::fmt::Debug>(answer: Result<T, Fault>, code: &str, text: &str) {
    let fault = answer.expect_err("a refusal");
    assert_eq!(fault.code, code, "{}", fault.message);
    assert!(fault.message.contains(text), "{:?} has no {text:?}", fault.message);
}

/// Targets whose address ends in 66 fail their checks from a minute on after the first was looked at.
fn told(_: &Snapshot, target: &core_routing::TargetName) -> Option<base::Timestamp> {
    static AT: std::sync::OnceLock<base::Timestamp> = std::sync::OnceLock::new();
    let at = AT.get_or_init(|| base::clock::wall() + Duration::from_secs(60));
    target.id.ends_with(".66").then_some(*at)
}
