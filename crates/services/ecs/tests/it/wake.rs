//! Services that sleep while nobody asks for them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aws_ecs::{self as aws, op};
use service_ecs::Sleeper;

use crate::balancer::GROUP;
use crate::stage::{Fate, Stage};
use crate::world::{INVALID, refused};

const TAG: &str = "boxship:scale-to-zero";

fn tags(value: &str) -> Vec<aws::Tag> {
    vec![aws::Tag { key: Some(TAG.into()), value: Some(value.into()) }]
}

fn behind_balancer(request: &mut aws::CreateServiceRequest) {
    request.load_balancers = Some(vec![aws::LoadBalancer {
        target_group_arn: Some(GROUP.into()),
        container_name: Some("web".into()),
        container_port: Some(80),
        ..Default::default()
    }]);
}

/// A service of two tasks that may sleep, at rest.
fn rested() -> Stage {
    let mut stage = Stage::new();
    let app = stage.define(Fate::Runs);
    stage.create(app, 2, |request| {
        behind_balancer(request);
        request.tags = Some(tags("300"));
    });
    assert_eq!(stage.counts(), (2, 0, 2));
    stage
}

fn sleeper(stage: &Stage) -> Sleeper {
    let mut all = service_ecs::sleepers(&stage.world.platform.store().snapshot());
    assert_eq!(all.len(), 1);
    all.remove(0)
}

fn sleep(stage: &mut Stage) {
    let service = sleeper(stage).service;
    stage.world.wait(|platform| async move { service_ecs::sleep(&platform, service).await }).unwrap();
    stage.go();
}

fn wake(stage: &mut Stage, group: &str) {
    let group: Arc<str> = group.into();
    stage.world.wait(|platform| async move { service_ecs::wake(&platform, group).await }).unwrap();
    stage.go();
}

fn arn(stage: &mut Stage) -> String {
    stage.service().service_arn.unwrap()
}

#[test]
fn what_its_owner_wants_outlives_sleep() {
    let mut stage = rested();
    let known = sleeper(&stage);
    assert_eq!((known.groups, known.idle_for), (vec![GROUP.into()], Duration::from_secs(300)));
    assert!(!known.is_asleep && !known.is_busy);
    sleep(&mut stage);
    assert_eq!(stage.counts(), (2, 0, 0), "two are wanted, and none runs");
    assert!(sleeper(&stage).is_asleep);
    assert!(stage.targets().is_empty());
    // Told again, nothing more happens.
    sleep(&mut stage);
    // Another group's requests are not for it.
    wake(
        &mut stage,
        "arn:aws:elasticloadbalancing:us-east-1:000000000000:targetgroup/other/0123456789abcdef",
    );
    assert!(sleeper(&stage).is_asleep);
    stage.update(|request| request.desired_count = Some(3));
    assert_eq!(stage.counts(), (3, 0, 0));
    wake(&mut stage, GROUP);
    assert_eq!(stage.counts(), (3, 0, 3));
    assert!(!sleeper(&stage).is_asleep);
    wake(&mut stage, GROUP);
    let events = stage.events();
    let told = |text: &str| events.iter().filter(|event| event.contains(text)).count();
    assert_eq!(told("(service web) has gone to sleep after 300 seconds without a request."), 1);
    assert_eq!(told("(service web) has been woken by a request."), 1);
}

#[test]
fn a_deployment_is_not_slept_through() {
    let mut stage = rested();
    sleep(&mut stage);
    let next = stage.define(Fate::Runs);
    stage.deploy(next);
    assert_eq!(stage.counts(), (2, 0, 2), "it has to show that it works");
    // Nor does it sleep while one is under way.
    let stuck = stage.define(Fate::Hangs);
    stage.deploy(stuck);
    assert!(sleeper(&stage).is_busy);
    sleep(&mut stage);
    assert!(!sleeper(&stage).is_asleep);
}

#[test]
fn without_its_tag_a_service_is_awake() {
    let mut stage = rested();
    sleep(&mut stage);
    let resource_arn = arn(&mut stage);
    let request = aws::UntagResourceRequest { resource_arn, tag_keys: vec![TAG.into()] };
    stage.world.call::<op::UntagResource>(request).unwrap();
    stage.go();
    assert_eq!(stage.counts(), (2, 0, 2));
    assert!(service_ecs::sleepers(&stage.world.platform.store().snapshot()).is_empty());
}

#[test]
fn requests_are_held_for_services_that_may_sleep() {
    let mut stage = Stage::new();
    let app = stage.define(Fate::Runs);
    stage.create(app, 1, behind_balancer);
    let held = |stage: &Stage| service_ecs::held_for(&stage.world.platform.store().snapshot(), GROUP);
    assert!(held(&stage).is_zero());
    let resource_arn = arn(&mut stage);
    let mut watch = stage.world.platform.store().watch();
    stage.world.call::<op::TagResource>(aws::TagResourceRequest { resource_arn, tags: tags("60") }).unwrap();
    assert_eq!(held(&stage), Duration::from_secs(60), "as long as a request waits, whatever the tag says");
    // Whoever serves hears of it.
    let records = stage.world.platform.store().snapshot();
    let mut touched = BTreeMap::new();
    while let Some(store::Event::Commit(commit)) = watch.try_next() {
        for change in &commit.changes {
            for group in service_ecs::touched_held(&records, change) {
                *touched.entry(group.to_string()).or_insert(0) += 1;
            }
        }
    }
    assert!(touched.contains_key(GROUP) && touched.len() == 1, "{touched:?}");
    // Nobody wants a task: nothing to wait for.
    stage.update(|request| request.desired_count = Some(0));
    assert!(held(&stage).is_zero());
}

#[test]
fn tags_that_cannot_be_acted_upon_are_refused_by_name() {
    let mut stage = rested();
    let resource_arn = arn(&mut stage);
    let message = |value: &str| {
        format!(
            "The tag {TAG} is a number of seconds from 1 to 86400, after which a service without requests \
             sleeps: not '{value}'."
        )
    };
    for value in ["0", "86401", "soon"] {
        let request = aws::TagResourceRequest { resource_arn: resource_arn.clone(), tags: tags(value) };
        refused(stage.world.call::<op::TagResource>(request), INVALID, &message(value));
    }
    let request = aws::CreateServiceRequest {
        cluster: Some("main".into()),
        service_name: "lone".into(),
        task_definition: Some("app".into()),
        desired_count: Some(1),
        launch_type: Some("FARGATE".into()),
        network_configuration: Some(crate::world::network(&crate::peers::SUBNETS)),
        tags: Some(tags("60")),
        ..Default::default()
    };
    let needs =
        "The tag boxship:scale-to-zero needs a service with load balancers: nothing else can wake it.";
    refused(stage.world.call::<op::CreateService>(request), INVALID, needs);
}
