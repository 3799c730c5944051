//! Services on a platform whose host obeys at once: what a definition's family says decides how its
//! tasks fare.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_ecs::{self as aws, op};
use core_lifecycle::{
    Binding, ContainerObservation, Exit, Failure, Health, HealthStatus, Observation, Phase,
};
use link::{Desired, Order};
use store::Record;

use crate::balancer::{self, Deleted, GROUP, Registered, TargetType};
use crate::peers;
use crate::world::{World, container, definition, network};

/// How the tasks of a definition fare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Runs,
    /// Its image cannot be pulled.
    Fails,
    /// It is running, and ends at once.
    Crashes,
    /// The host says nothing.
    Hangs,
}

pub struct Stage {
    pub world: World,
    fates: BTreeMap<u32, Fate>,
    obeyed: usize,
    /// Tasks that run, by ARN, with what was reported of them.
    pub live: BTreeMap<String, Observation>,
    /// Targets are healthy as soon as they are registered.
    pub is_kind: bool,
    /// Targets leave as soon as they drain.
    pub is_quick: bool,
    pub digest: String,
    /// What hosts were told to run, oldest first.
    pub images: Vec<String>,
}

impl Stage {
    pub fn new() -> Stage {
        let world = World::with(|builder| builder.with(balancer::service()), balancer::published()).furnish();
        Stage {
            world,
            fates: BTreeMap::new(),
            obeyed: 0,
            live: BTreeMap::new(),
            is_kind: true,
            is_quick: true,
            digest: format!("sha256:{}", "a".repeat(64)),
            images: Vec::new(),
        }
    }

    /// Registers `app` anew; answers which revision that is.
    pub fn define(&mut self, fate: Fate) -> u32 {
        self.define_with(fate, |_| ())
    }

    pub fn define_with(&mut self, fate: Fate, change: impl FnOnce(&mut aws::ContainerDefinition)) -> u32 {
        let mut request = definition("app");
        let mut container = container("web");
        container.port_mappings =
            Some(vec![aws::PortMapping { container_port: Some(80), ..Default::default() }]);
        change(&mut container);
        request.container_definitions = vec![container];
        let answer = self.world.call::<op::RegisterTaskDefinition>(request).unwrap();
        let revision = u32::try_from(answer.task_definition.unwrap().revision.unwrap()).unwrap();
        self.fates.insert(revision, fate);
        revision
    }

    pub fn create(&mut self, revision: u32, count: i32, change: impl FnOnce(&mut aws::CreateServiceRequest)) {
        let mut request = aws::CreateServiceRequest {
            cluster: Some("main".into()),
            service_name: "web".into(),
            task_definition: Some(format!("app:{revision}")),
            desired_count: Some(count),
            launch_type: Some("FARGATE".into()),
            network_configuration: Some(network(&peers::SUBNETS)),
            ..Default::default()
        };
        change(&mut request);
        self.world.call::<op::CreateService>(request).unwrap();
        self.go();
    }

    pub fn update(&mut self, change: impl FnOnce(&mut aws::UpdateServiceRequest)) {
        let mut request = aws::UpdateServiceRequest {
            cluster: Some("main".into()),
            service: "web".into(),
            ..Default::default()
        };
        change(&mut request);
        self.world.call::<op::UpdateService>(request).unwrap();
        self.go();
    }

    pub fn deploy(&mut self, revision: u32) {
        self.update(|request| request.task_definition = Some(format!("app:{revision}")));
    }

    /// Lets everything happen that needs no time.
    pub fn go(&mut self) {
        for _ in 0..10_000 {
            self.world.settle();
            let has_orders = self.obey_all();
            if !self.balance() && !has_orders {
                return;
            }
        }
        panic!("the service does not come to rest");
    }

    /// Orders that were given since; says whether there were any.
    fn obey_all(&mut self) -> bool {
        let orders = self.world.orders[self.obeyed..].to_vec();
        self.obeyed += orders.len();
        let has_orders = !orders.is_empty();
        orders.into_iter().for_each(|order| self.obey(order));
        has_orders
    }

    /// Like [`Stage::go`], with a look after every round.
    pub fn each(&mut self, look: &mut impl FnMut(&mut Stage)) {
        for _ in 0..1000 {
            self.world.settle();
            look(self);
            let has_orders = self.obey_all();
            if !self.balance() && !has_orders {
                return;
            }
        }
        panic!("the service does not come to rest");
    }

    /// Lets time pass, second by second.
    pub fn pass(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.world.advance(Duration::from_secs(1));
            self.go();
        }
    }

    fn obey(&mut self, order: Desired) {
        let now = self.world.platform.clock().now();
        match order.order {
            Order::Run(assignment) => {
                self.images.push(assignment.containers[0].image.clone());
                let fate = self.fates.get(&assignment.revision).copied().unwrap_or(Fate::Runs);
                let mut seen = ContainerObservation { name: "web".into(), ..Default::default() };
                let mut observation = Observation { phase: Phase::Running, ..Default::default() };
                match fate {
                    Fate::Hangs => return,
                    Fate::Fails => {
                        let class = String::from("CannotPullContainerError");
                        observation.failure = Some(Failure { class, message: "no such image".into() });
                        observation.phase = Phase::Stopped;
                    }
                    Fate::Runs | Fate::Crashes => {
                        (seen.started_at, observation.started_at) = (Some(now), Some(now));
                        seen.image_digest = Some(self.digest.clone());
                    }
                }
                observation.containers = vec![seen];
                self.live.insert(order.task.to_string(), observation.clone());
                self.world.observe(&order.task, 1, observation);
                if fate == Fate::Crashes {
                    self.crash(&order.task);
                }
            }
            Order::Stop => {
                if let Some(mut observation) = self.live.remove(&*order.task) {
                    observation.phase = Phase::Stopped;
                    self.world.observe(&order.task, 2, observation);
                } else {
                    let observation = Observation { phase: Phase::Stopped, ..Default::default() };
                    self.world.observe(&order.task, 2, observation);
                }
            }
            Order::Forget => drop(self.live.remove(&*order.task)),
        }
    }

    /// A task ends by itself.
    pub fn crash(&mut self, task: &str) {
        let at = self.world.platform.clock().now();
        let mut observation = self.live.remove(task).unwrap();
        observation.containers[0].exit = Some(Exit { code: 1, at, is_oom: false });
        observation.phase = Phase::Stopped;
        self.world.observe(task, 1, observation);
    }

    pub fn health(&mut self, task: &str, status: HealthStatus) {
        let since = self.world.platform.clock().now();
        let observation = self.live.get_mut(task).unwrap();
        let health = Health { status, since, exit_code: None, output: String::new() };
        observation.containers[0].health = Some(health);
        let observation = observation.clone();
        self.world.observe(task, 1, observation);
    }

    /// The balancer looks at its targets; says whether anything has changed.
    fn balance(&mut self) -> bool {
        let (is_kind, is_quick) = (self.is_kind, self.is_quick);
        let records = self.world.platform.store().snapshot();
        let targets: Vec<_> = records.scan::<Registered>(&store::Key::all()).collect();
        let mut changed = Vec::new();
        for target in targets {
            match target.state.as_str() {
                "initial" if is_kind => {
                    changed.push((
                        target.key(),
                        Some(Registered { state: "healthy".into(), ..(*target).clone() }),
                    ));
                }
                "draining" if is_quick => changed.push((target.key(), None)),
                _ => {}
            }
        }
        let is_changed = !changed.is_empty();
        self.write(move |tx| {
            for (key, target) in changed {
                tx.delete::<Registered>(&key);
                if let Some(target) = target {
                    tx.put(target);
                }
            }
        });
        is_changed
    }

    /// A target fails its checks.
    pub fn fail_target(&mut self, address: &str) {
        let address = address.to_owned();
        self.write(move |tx| {
            let found = tx.scan::<Registered>(&store::Key::of(&[GROUP])).find(|target| target.id == address);
            let reason = Some(String::from("Health checks failed with these codes: [503]"));
            tx.put(Registered { state: "unhealthy".into(), reason, ..(*found.unwrap()).clone() });
        });
        self.go();
    }

    /// The host shows which of its ports leads to a container's.
    pub fn bind(&mut self, task: &str, container_port: u16, host_port: u16) {
        let (bind_ip, protocol) = (String::from("0.0.0.0"), String::from("tcp"));
        let observation = self.live.get_mut(task).unwrap();
        let binding = Binding { bind_ip, container_port, host_port, protocol, last: None };
        observation.containers[0].bindings = vec![binding];
        let observation = observation.clone();
        self.world.observe(task, 1, observation);
        self.go();
    }

    pub fn set_target_type(&mut self, kind: &str) {
        let kind = kind.to_owned();
        self.write(move |tx| tx.put(TargetType(kind)));
    }

    /// Registered targets: ids and ports.
    pub fn targets(&self) -> Vec<(String, u16)> {
        let records = self.world.platform.store().snapshot();
        let targets = records.scan::<Registered>(&store::Key::all());
        targets.map(|target| (target.id.clone(), target.port)).collect()
    }

    pub fn delete_group(&mut self) {
        self.write(|tx| {
            let targets: Vec<_> = tx.scan::<Registered>(&store::Key::all()).map(|it| it.key()).collect();
            for key in targets {
                tx.delete::<Registered>(&key);
            }
            tx.put(Deleted);
        });
        self.go();
    }

    pub fn write(&mut self, work: impl FnOnce(&mut service::Tx<'_>) + Send + 'static) {
        self.world
            .wait(|platform| async move {
                let work = move |tx: &mut service::Tx<'_>| {
                    work(tx);
                    Ok(())
                };
                platform.write("Test", World::caller(), work).await
            })
            .unwrap();
    }

    pub fn service(&mut self) -> aws::Service {
        let request = aws::DescribeServicesRequest {
            cluster: Some("main".into()),
            services: vec!["web".into()],
            include: None,
        };
        self.world.call::<op::DescribeServices>(request).unwrap().services.unwrap().remove(0)
    }

    /// Desired, pending, running, and of how many tasks of which definition.
    pub fn counts(&mut self) -> (i32, i32, i32) {
        let service = self.service();
        (service.desired_count.unwrap(), service.pending_count.unwrap(), service.running_count.unwrap())
    }

    /// What was told, oldest first, with ids of tasks and revisions by their order of appearance.
    pub fn events(&mut self) -> Vec<String> {
        let mut names = BTreeMap::new();
        let mut events = self.service().events.unwrap();
        events.reverse();
        events.iter().map(|event| plain(event.message.as_deref().unwrap(), &mut names)).collect()
    }

    /// ARNs of tasks that are wanted to run.
    pub fn tasks(&mut self) -> Vec<String> {
        let request = aws::ListTasksRequest {
            cluster: Some("main".into()),
            service_name: Some("web".into()),
            ..Default::default()
        };
        self.world.call::<op::ListTasks>(request).unwrap().task_arns.unwrap()
    }
}

/// Ids of 32 and of 19 digits as `t1`, `r1` …; the group's ARN as `group`.
fn plain(message: &str, names: &mut BTreeMap<String, String>) -> String {
    let message = message.replace(GROUP, "group");
    let mut out = String::new();
    let mut rest = message.as_str();
    while let Some(at) = rest.find(|c: char| c.is_ascii_alphanumeric()) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
        let word = &rest[..end];
        rest = &rest[end..];
        let is_task = word.len() == 32 && word.bytes().all(|b| b.is_ascii_hexdigit());
        let is_revision = word.len() == 19 && word.bytes().all(|b| b.is_ascii_digit());
        if is_task || is_revision {
            let letter = if is_task { 't' } else { 'r' };
            let next = names.values().filter(|name| name.starts_with(letter)).count() + 1;
            out.push_str(names.entry(word.into()).or_insert_with(|| format!("{letter}{next}")));
        } else {
            out.push_str(word);
        }
    }
    out.push_str(rest);
    out
}

pub fn percents(minimum: i32, maximum: i32) -> Option<aws::DeploymentConfiguration> {
    Some(aws::DeploymentConfiguration {
        minimum_healthy_percent: Some(minimum),
        maximum_percent: Some(maximum),
        ..Default::default()
    })
}

pub fn breaker(rolls_back: bool) -> Option<aws::DeploymentConfiguration> {
    Some(aws::DeploymentConfiguration {
        deployment_circuit_breaker: Some(aws::DeploymentCircuitBreaker {
            enable: true,
            rollback: rolls_back,
            ..Default::default()
        }),
        ..Default::default()
    })
}

pub fn behind_balancer(request: &mut aws::CreateServiceRequest) {
    request.load_balancers = Some(vec![aws::LoadBalancer {
        target_group_arn: Some(GROUP.into()),
        container_name: Some("web".into()),
        container_port: Some(80),
        ..Default::default()
    }]);
}
