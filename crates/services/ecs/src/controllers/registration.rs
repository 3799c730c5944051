//! A task and its load balancers: where it is registered when it becomes RUNNING, and that it lets
//! go of them before it is stopped.
//!
//! Invariant: what is written of registrations is written in the transaction that makes them.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_elbv2::{self as elb, op};
use base::Fault;
use control::{Call, Plan, World, Write};
use core_lifecycle::{NetworkMode, Task as State};
use service::{Caller, Tx};
use store::{Key, Record};

use crate::state::instance::{ContainerInstance, InstanceId};
use crate::state::member::{Standing, TaskTarget, TaskTargets};
use crate::state::rest::Rest;
use crate::state::revision::Revision;
use crate::state::service::{LoadBalancer, ServiceId};
use crate::state::task::{Task, TaskObserved};

/// What balancers know of a task, and what they should.
pub enum Registration {
    /// Where it is to be registered cannot be said yet: its host has not shown its ports.
    NotYet,
    /// Nowhere, or where it is registered already.
    Known(Option<Arc<TaskTargets>>),
    /// Where it is to be registered.
    Wanted(Vec<TaskTarget>),
}

impl Registration {
    pub fn of(task: &Task, state: &State, seen: Option<&TaskObserved>, world: &World) -> Registration {
        if task.service.is_none() || is_at_rest(state, world) {
            return Registration::Known(None);
        }
        match state {
            State::Activating { .. } => match world.get::<TaskTargets>(&task.at.key()) {
                Some(known) => Registration::Known(Some(known)),
                None => wanted(task, seen, world),
            },
            State::Running { .. } | State::Deactivating { .. } => {
                Registration::Known(world.get::<TaskTargets>(&task.at.key()))
            }
            State::Provisioning
            | State::Pending { .. }
            | State::Stopping { .. }
            | State::Deprovisioning { .. }
            | State::Stopped { .. } => Registration::Known(None),
        }
    }

    pub fn is_known(&self) -> bool {
        !matches!(self, Registration::NotYet)
    }

    pub fn is_drained(&self) -> bool {
        match self {
            Registration::Known(Some(known)) => {
                known.targets.iter().all(|target| target.state == Standing::Gone)
            }
            Registration::Known(None) | Registration::NotYet | Registration::Wanted(_) => true,
        }
    }

    /// What balancers are told where the task becomes what it is `next`.
    pub fn follow(self, plan: &mut Plan, task: &Task, next: &State) {
        match (self, next) {
            (Registration::Wanted(targets), State::Running { .. }) if !targets.is_empty() => {
                register(plan, task, targets);
            }
            (Registration::Known(Some(known)), State::Deactivating { .. }) if !known.is_leaving => {
                deregister(plan, &known);
            }
            _ => {}
        }
    }
}

/// A task that only waits for its balancers, while everything is ended, them included.
fn is_at_rest(state: &State, world: &World) -> bool {
    matches!(state, State::Deactivating { .. }) && world.get::<Rest>(&Rest::only()).is_some()
}

/// The balancers of the service's revision that the task was started from, as targets.
fn wanted(task: &Task, seen: Option<&TaskObserved>, world: &World) -> Registration {
    let Some((service, id)) = origin(task) else { return Registration::Wanted(Vec::new()) };
    let Some(revision) = world.get::<Revision>(&Revision::key_of(&service, id)) else {
        return Registration::Wanted(Vec::new());
    };
    let mut targets = Vec::new();
    for balancer in &revision.balancers {
        let Some(group) = group(balancer, revision.is_alternate) else { continue };
        let Some((id, port)) = place(task, balancer, seen, world) else { return Registration::NotYet };
        targets.push(TaskTarget { group, id, port, state: Standing::Initial, reason: None });
    }
    Registration::Wanted(targets)
}

/// The service and the revision that a task was started for.
fn origin(task: &Task) -> Option<(ServiceId, &str)> {
    let revision = task.started_by.as_deref()?.strip_prefix("ecs-svc/")?;
    let (account, region, cluster) =
        (task.at.account.clone(), task.at.region.clone(), task.at.cluster.clone());
    Some((ServiceId { account, region, cluster, name: task.service.clone()? }, revision))
}

fn group(balancer: &LoadBalancer, is_alternate: bool) -> Option<String> {
    let alternate = balancer.advanced_configuration.as_ref();
    let alternate = alternate.and_then(|advanced| advanced.alternate_target_group_arn.clone());
    alternate.filter(|_| is_alternate).or_else(|| balancer.target_group_arn.clone())
}

/// AWS: by address and the container's port with an interface of its own, else by instance and the
/// host's port.
fn place(
    task: &Task,
    balancer: &LoadBalancer,
    seen: Option<&TaskObserved>,
    world: &World,
) -> Option<(String, u16)> {
    let port = u16::try_from(balancer.container_port?).ok()?;
    match task.network_mode {
        NetworkMode::Awsvpc => Some((task.interface.as_ref()?.address.to_string(), port)),
        NetworkMode::Host => Some((instance_of(task, world)?, port)),
        NetworkMode::Bridge | NetworkMode::None => {
            let name = balancer.container_name.as_deref()?;
            let containers = &seen?.observation.containers;
            let container = containers.iter().find(|container| container.name == name)?;
            let binding = container.bindings.iter().find_map(|binding| {
                let last = binding.last.map_or(binding.container_port, |(last, _)| last);
                let is_within = binding.protocol == "tcp" && (binding.container_port..=last).contains(&port);
                is_within.then(|| binding.host_port.saturating_add(port - binding.container_port))
            })?;
            Some((instance_of(task, world)?, binding))
        }
    }
}

/// `i-…`.
fn instance_of(task: &Task, world: &World) -> Option<String> {
    let at = InstanceId::of_arn(task.container_instance.as_deref()?)?;
    world.get::<ContainerInstance>(&at.key())?.ec2_instance_id.clone()
}

fn register(plan: &mut Plan, task: &Task, targets: Vec<TaskTarget>) {
    for (group, targets) in by_group(&targets) {
        let key = task.at.key();
        let request = elb::RegisterTargetsInput { target_group_arn: group.clone(), targets };
        plan.calls.push(Call::answered::<op::RegisterTargets>(caller(task), request, move |tx, answer| {
            gone(tx, &key, &group, answer.err())
        }));
    }
    let (at, service) = (task.at.clone(), task.service.clone().unwrap_or_default());
    plan.writes.push(Write::put(TaskTargets { at, service, targets, is_leaving: false }));
}

fn deregister(plan: &mut Plan, known: &TaskTargets) {
    for (group, targets) in by_group(&known.targets) {
        let key = known.key();
        let (account, region) = (known.at.account.clone(), known.at.region.clone());
        let caller = Caller::platform("ecs.amazonaws.com", account, region);
        let request = elb::DeregisterTargetsInput { target_group_arn: group.clone(), targets };
        plan.calls.push(Call::answered::<op::DeregisterTargets>(caller, request, move |tx, answer| {
            gone(tx, &key, &group, answer.err())
        }));
    }
    plan.writes.push(Write::put(TaskTargets { is_leaving: true, ..known.clone() }));
}

/// A group that refuses a task knows nothing of it: the task goes on without.
fn gone(tx: &mut Tx<'_>, key: &Key, group: &str, refusal: Option<Fault>) -> Result<(), Fault> {
    let Some(refusal) = refusal else { return Ok(()) };
    let Some(known) = tx.get::<TaskTargets>(key) else { return Ok(()) };
    let mut known = (*known).clone();
    for target in known.targets.iter_mut().filter(|target| target.group == group) {
        target.state = Standing::Gone;
        target.reason = Some(refusal.message.clone());
    }
    tx.put(known);
    Ok(())
}

fn by_group(targets: &[TaskTarget]) -> BTreeMap<String, Vec<elb::TargetDescription>> {
    let mut groups = BTreeMap::<String, Vec<_>>::new();
    for TaskTarget { group, id, port, .. } in targets {
        let (id, port) = (id.clone(), Some(i32::from(*port)));
        let described = elb::TargetDescription { id, port, ..Default::default() };
        groups.entry(group.clone()).or_default().push(described);
    }
    groups
}

/// ECS acts on its own, as AWS does with its service-linked role.
fn caller(task: &Task) -> Caller {
    Caller::platform("ecs.amazonaws.com", task.at.account.clone(), task.at.region.clone())
}
