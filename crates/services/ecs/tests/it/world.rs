//! A platform with ECS on the memory store, its controllers driven by hand, and a host that obeys.

use std::time::Duration;

use aws_ecs as aws;
use base::clock::Clock;
use base::{AccountId, Fault, Region};
use control::{Agenda, Outcome};
use core_lifecycle::Observation;
use link::{Desired, HostId, Observed};
use service::PlatformBuilder;
use service::{Caller, Origin, Platform, Principal};
use store::{Event, Memory, Store, Watch};

use crate::peers;

pub struct World {
    pub platform: Platform,
    pub agenda: Agenda,
    /// Every order that was sent, oldest first.
    pub orders: Vec<Desired>,
    watch: Watch,
    runtime: tokio::runtime::Runtime,
    sequence: u64,
}

impl World {
    pub fn new() -> World {
        World::with(|builder| builder, service_ecs::Balancing::none())
    }

    /// With more peers, and what they publish of targets.
    pub fn with(
        peers_of: impl FnOnce(PlatformBuilder) -> PlatformBuilder,
        balancing: service_ecs::Balancing,
    ) -> World {
        let config =
            service_ecs::Config { authority: "127.0.0.1:4566".into(), secret: base::Secret::new("secret") };
        let ecs = service_ecs::service(&config);
        let builder = PlatformBuilder::default().with(ecs).with(peers::ec2()).with(peers::iam());
        let builder = peers_of(builder);
        let store = Store::open(Memory::default().open(), builder.kinds()).unwrap();
        let watch = store.watch();
        let mut agenda = Agenda::new(7);
        agenda.add(service_ecs::Tasks);
        agenda.add(service_ecs::Tokens);
        agenda.add(service_ecs::Definitions);
        agenda.add(service_ecs::Clusters);
        agenda.add(service_ecs::Instances);
        agenda.add(service_ecs::Sessions);
        agenda.add(service_ecs::Protections);
        agenda.add(service_ecs::Services::of(balancing));
        agenda.add(service_ecs::Targets::of(balancing));
        agenda.add(service_ecs::Waiting);
        agenda.add(service_ecs::Wake);
        World {
            platform: builder.build(store, Clock::default(), 7),
            agenda,
            orders: Vec::new(),
            watch,
            runtime: tokio::runtime::Builder::new_current_thread().build().unwrap(),
            sequence: 0,
        }
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

    pub fn call<O: wire::Operation>(&mut self, input: O::Input) -> Result<O::Output, Fault> {
        self.call_in::<O>("us-east-1", input)
    }

    pub fn call_in<O: wire::Operation>(&mut self, region: &str, input: O::Input) -> Result<O::Output, Fault> {
        let caller = Caller { region: Region::parse(region).unwrap(), ..World::caller() };
        self.runtime.block_on(self.platform.call::<O>(caller, input))
    }

    /// Waits for work on the platform that is no operation.
    pub fn wait<T, F: Future<Output = T>>(&mut self, work: impl FnOnce(Platform) -> F) -> T {
        self.runtime.block_on(work(self.platform.clone()))
    }

    pub fn advance(&mut self, by: Duration) {
        self.platform.clock().advance(by);
        self.settle();
    }

    /// Lets every controller do what is due; returns the orders that it sent.
    pub fn settle(&mut self) -> Vec<Desired> {
        let mut sent = Vec::new();
        for _ in 0..1000 {
            while let Some(event) = self.watch.try_next() {
                match event {
                    Event::Commit(commit) => commit.changes.iter().for_each(|change| self.agenda.see(change)),
                    other => panic!("{other:?}"),
                }
            }
            let now = self.platform.clock().now();
            let store = self.platform.store().clone();
            let Some(mut planned) = self.agenda.next(now, &store.snapshot()) else {
                self.orders.extend(sent.iter().cloned());
                return sent;
            };
            let body = planned.commit(self.platform.clone());
            let outcome = match store.blocking_write("Plan", body) {
                Ok(()) => Outcome::Done,
                Err(error) => panic!("{}: {error}", planned.ticket.shown),
            };
            sent.append(&mut planned.plan.commands);
            self.agenda.finish(planned.ticket, outcome, now);
        }
        panic!("the controllers do not come to rest");
    }

    /// The host reports on a task, and the controllers act on it.
    pub fn observe(&mut self, task: &str, generation: u64, observation: Observation) -> Vec<Desired> {
        self.sequence += 1;
        let observed = Observed {
            host: HostId("local".into()),
            task: task.into(),
            generation,
            sequence: self.sequence,
            observation,
        };
        self.report(observed)
    }

    /// A report as it stands.
    pub fn report(&mut self, observed: Observed) -> Vec<Desired> {
        self.runtime.block_on(self.platform.observe(World::caller(), observed)).unwrap();
        self.settle()
    }

    pub fn describe(&mut self, arn: &str) -> aws::Task {
        let cluster = arn.split('/').nth(1).map(String::from);
        let tasks = vec![String::from(arn)];
        let include = Some(vec!["TAGS".into()]);
        let answer = self
            .call::<aws::op::DescribeTasks>(aws::DescribeTasksRequest { cluster, tasks, include })
            .unwrap();
        answer.tasks.unwrap().remove(0)
    }

    /// A cluster `main` and a definition `app:1` that Fargate takes.
    pub fn furnished() -> World {
        World::new().furnish()
    }

    pub fn furnish(self) -> World {
        let mut world = self;
        let name = Some(String::from("main"));
        world
            .call::<aws::op::CreateCluster>(aws::CreateClusterRequest {
                cluster_name: name,
                ..Default::default()
            })
            .unwrap();
        world.call::<aws::op::RegisterTaskDefinition>(definition("app")).unwrap();
        world
    }
}

/// A definition that Fargate takes: one container `web`.
pub fn definition(family: &str) -> aws::RegisterTaskDefinitionRequest {
    aws::RegisterTaskDefinitionRequest {
        family: family.into(),
        network_mode: Some("awsvpc".into()),
        requires_compatibilities: Some(vec!["FARGATE".into()]),
        cpu: Some("256".into()),
        memory: Some("512".into()),
        container_definitions: vec![container("web")],
        ..Default::default()
    }
}

pub fn container(name: &str) -> aws::ContainerDefinition {
    aws::ContainerDefinition { name: Some(name.into()), image: Some("busybox".into()), ..Default::default() }
}

/// Runs `app` in `main` on Fargate.
pub fn run_request() -> aws::RunTaskRequest {
    aws::RunTaskRequest {
        cluster: Some("main".into()),
        task_definition: "app".into(),
        launch_type: Some("FARGATE".into()),
        network_configuration: Some(network(&peers::SUBNETS)),
        ..Default::default()
    }
}

pub fn network(subnets: &[&str]) -> aws::NetworkConfiguration {
    let subnets = subnets.iter().map(|id| String::from(*id)).collect();
    let configuration = aws::AwsVpcConfiguration { subnets, ..Default::default() };
    aws::NetworkConfiguration { awsvpc_configuration: Some(configuration) }
}

/// Asserts a refusal's code and text.
#[track_caller]
pub fn refused<T: std::fmt::Debug>(answer: Result<T, Fault>, code: &str, message: &str) {
    let fault = answer.expect_err("a refusal");
    assert_eq!((fault.code.as_ref(), fault.message.as_str()), (code, message));
}

pub const INVALID: &str = "InvalidParameterException";
pub const CLIENT: &str = "ClientException";
