//! ELB as far as services need it: one group that exists, targets in records, health set by hand.

use aws_elbv2::{self as elb, op};
use base::Fault;
use core_routing::{TargetName, TargetStanding};
use serde::{Deserialize, Serialize};
use service::{Acts, Operation, Service};
use store::{Change, Key, Record, Snapshot};

pub const GROUP: &str =
    "arn:aws:elasticloadbalancing:us-east-1:000000000000:targetgroup/web/0123456789abcdef";

/// A registered target.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Registered {
    pub group: String,
    pub id: String,
    pub port: u16,
    pub state: String,
    pub reason: Option<String>,
}

/// The group was deleted.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Deleted;

/// What targets of the group are, where that is not addresses.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TargetType(pub String);

impl Record for TargetType {
    const KIND: &'static str = "test/target-type";
    fn key(&self) -> Key {
        Key::of(&["type"])
    }
}

impl Record for Registered {
    const KIND: &'static str = "test/target";
    fn key(&self) -> Key {
        Key::of(&[&self.group, &self.id, &self.port.to_string()])
    }
}

impl Record for Deleted {
    const KIND: &'static str = "test/group-deleted";
    fn key(&self) -> Key {
        Key::of(&["group"])
    }
}

pub fn published() -> service_ecs::Balancing {
    service_ecs::Balancing { touched, standing, ..service_ecs::Balancing::none() }
}

fn touched(change: &Change) -> Option<TargetName> {
    let target = change.after::<Registered>().or_else(|| change.before::<Registered>())?;
    Some(TargetName { group: target.group.as_str().into(), id: target.id.as_str().into(), port: target.port })
}

fn standing(records: &Snapshot, name: &TargetName) -> TargetStanding {
    let found = records.get::<Registered>(&Key::of(&[&name.group, &name.id, &name.port.to_string()]));
    let state = found.as_ref().map(|target| match target.state.as_str() {
        "healthy" => "healthy",
        "unhealthy" => "unhealthy",
        "draining" => "draining",
        _ => "initial",
    });
    TargetStanding { state, text: found.and_then(|target| target.reason.clone()) }
}

pub fn service() -> Service {
    let describe = Operation::read::<op::DescribeTargetGroups>(Acts::All, |view, _| {
        let kind = view.get::<TargetType>(&Key::of(&["type"])).map_or("ip".into(), |kind| kind.0.clone());
        let group = elb::TargetGroup {
            target_group_arn: Some(GROUP.into()),
            target_type: Some(kind),
            vpc_id: Some("vpc-main".into()),
            load_balancer_arns: Some(vec!["arn:balancer".into()]),
            ..Default::default()
        };
        let groups = if view.count::<Deleted>() > 0 { Vec::new() } else { vec![group] };
        Ok(elb::DescribeTargetGroupsOutput { target_groups: Some(groups), next_marker: None })
    });
    let register = Operation::write::<op::RegisterTargets>(Acts::All, |tx, request| {
        is_there(tx)?;
        for target in request.targets {
            let port = u16::try_from(target.port.unwrap_or_default()).unwrap();
            let (group, state) = (request.target_group_arn.clone(), String::from("initial"));
            tx.put(Registered { group, id: target.id, port, state, reason: None });
        }
        Ok(Default::default())
    });
    let deregister = Operation::write::<op::DeregisterTargets>(Acts::All, |tx, request| {
        is_there(tx)?;
        for target in request.targets {
            let key = Key::of(&[&request.target_group_arn, &target.id, &target.port.unwrap().to_string()]);
            let Some(found) = tx.get::<Registered>(&key) else { continue };
            tx.put(Registered { state: "draining".into(), reason: None, ..(*found).clone() });
        }
        Ok(Default::default())
    });
    Service {
        api: &aws_elbv2::API,
        operations: vec![describe, register, deregister],
        kinds: |kinds| kinds.with::<Registered>().with::<Deleted>().with::<TargetType>(),
        refuse: |what| Fault::caller("ValidationError", what),
        observe: None,
    }
}

fn is_there(records: &Snapshot) -> Result<(), Fault> {
    match records.count::<Deleted>() {
        0 => Ok(()),
        _ => Err(Fault::caller("TargetGroupNotFound", "One or more target groups not found")),
    }
}
