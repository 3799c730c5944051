//! Brings every task to where its owner wants it: follows what its host saw, orders what is
//! missing, has its balancers know of it and let go of it, gives its interface back, and forgets it
//! an hour after its end.

use std::sync::Arc;
use std::time::Duration;

use aws_ec2::op as ec2;
use base::Timestamp;
use control::{Call, Controller, Plan, World, Write};
use core_lifecycle::{Facts, Goal, Phase, Task as State, status_of};
use link::{Desired, Order};
use service::Caller;
use store::Change;

use super::registration::Registration;
use crate::state::member::TaskTargets;
use crate::state::task::{Task, TaskAssignment, TaskId, TaskObserved, TaskStatus};

/// Orders only grow: a host that has seen one takes none before it.
const RUN: u64 = 1;
const STOP: u64 = 2;
const FORGET: u64 = 3;

/// An order is given again while the host does not show it.
const RESEND_AFTER: Duration = Duration::from_secs(5);
/// A host is told to forget a task for so long after the last that was heard of it.
const FORGET_FOR: Duration = Duration::from_secs(60);
/// AWS: a stopped task stays visible for an hour.
const VISIBLE_FOR: Duration = Duration::from_secs(3600);

/// The loop over tasks.
#[derive(Debug, Default)]
pub struct Tasks;

impl Controller for Tasks {
    type Key = TaskId;

    fn name(&self) -> &'static str {
        "ecs/tasks"
    }

    fn touched(&self, change: &Change) -> Vec<TaskId> {
        let of = |task: Option<Arc<Task>>| task.map(|task| task.at.clone());
        let status = |status: Option<Arc<TaskStatus>>| status.map(|status| status.at.clone());
        let seen = |seen: Option<Arc<TaskObserved>>| seen.map(|seen| seen.at.clone());
        let targets = |targets: Option<Arc<TaskTargets>>| targets.map(|targets| targets.at.clone());
        let key = of(change.after()).or_else(|| status(change.after())).or_else(|| seen(change.after()));
        key.or_else(|| targets(change.after())).into_iter().collect()
    }

    fn plan(&self, key: &TaskId, world: &World) -> Plan {
        let at = key.key();
        let (Some(task), Some(status)) = (world.get::<Task>(&at), world.get::<TaskStatus>(&at)) else {
            return Plan::default();
        };
        let seen = world.get::<TaskObserved>(&at);
        let mut plan = Plan::default();
        let registration = Registration::of(&task, &status.state, seen.as_deref(), world);
        match next_state(&task, &status, seen.as_deref(), &registration, world.now) {
            Some(state) => {
                registration.follow(&mut plan, &task, &state);
                if status.state.has_ended() {
                    plan.calls.extend(release(&task));
                }
                // The write touches the task again: its orders follow from the new state.
                let (at, version) = (task.at.clone(), status.version + 1);
                plan.writes.push(Write::put(TaskStatus {
                    at,
                    state,
                    version,
                    service: task.service.clone(),
                }));
            }
            None => match status.state.stopped_at() {
                Some(stopped_at) => retire(&mut plan, &task, seen.as_deref(), stopped_at, world.now),
                None => order(&mut plan, &task, &status.state, seen.as_deref(), world),
            },
        }
        plan
    }
}

fn next_state(
    task: &Task,
    status: &TaskStatus,
    seen: Option<&TaskObserved>,
    registration: &Registration,
    now: Timestamp,
) -> Option<State> {
    let facts = Facts {
        goal: &task.goal,
        seen: seen.map(|seen| (&seen.observation, seen.received_at)),
        essential: &task.essential(),
        is_registered: registration.is_known(),
        is_drained: registration.is_drained(),
        // The interface goes in the same commit as the state that says so.
        is_released: true,
    };
    let event = status_of(&status.state, &facts)?;
    Some(status.state.clone().next(event, now))
}

/// Gives the interface back, where it has one. One that is gone already is as good.
fn release(task: &Task) -> Option<Call> {
    let interface = task.interface.as_ref()?;
    let caller = Caller::platform("ecs.amazonaws.com", task.at.account.clone(), task.at.region.clone());
    let request = aws_ec2::DeleteNetworkInterfaceRequest {
        network_interface_id: interface.eni.clone(),
        ..Default::default()
    };
    Some(Call::answered::<ec2::DeleteNetworkInterface>(caller, request, |_, answer| match answer {
        Err(fault) if fault.code != "InvalidNetworkInterfaceID.NotFound" => Err(fault),
        Ok(_) | Err(_) => Ok(()),
    }))
}

/// What the host must do and does not show yet.
fn order(plan: &mut Plan, task: &Task, state: &State, seen: Option<&TaskObserved>, world: &World) {
    let shown = seen.map_or(0, |seen| seen.generation);
    let has_stopped = seen.is_some_and(|seen| seen.observation.phase == Phase::Stopped);
    let desired = match state {
        State::Provisioning | State::Pending { .. } | State::Activating { .. } | State::Running { .. }
            if task.goal == Goal::Running && shown < RUN =>
        {
            let Some(found) = world.get::<TaskAssignment>(&task.at.key()) else {
                plan.report.add("the task has no assignment");
                return;
            };
            desired(task, RUN, Order::Run(Arc::clone(&found.assignment)))
        }
        State::Stopping { .. } if shown < STOP && !has_stopped => desired(task, STOP, Order::Stop),
        State::Provisioning
        | State::Pending { .. }
        | State::Activating { .. }
        | State::Running { .. }
        | State::Deactivating { .. }
        | State::Stopping { .. }
        | State::Deprovisioning { .. }
        | State::Stopped { .. } => return,
    };
    plan.commands.push(desired);
    plan.wake_by(world.now + RESEND_AFTER);
}

fn desired(task: &Task, generation: u64, order: Order) -> Desired {
    Desired { host: task.host.clone(), task: Arc::from(task.at.arn().as_str()), generation, order }
}

fn retire(plan: &mut Plan, task: &Task, seen: Option<&TaskObserved>, stopped_at: Timestamp, now: Timestamp) {
    let gone_at = stopped_at + VISIBLE_FOR;
    if now >= gone_at {
        let key = task.at.key();
        plan.writes.push(Write::delete::<Task>(key.clone()));
        plan.writes.push(Write::delete::<TaskAssignment>(key.clone()));
        plan.writes.push(Write::delete::<TaskStatus>(key.clone()));
        plan.writes.push(Write::delete::<TaskObserved>(key.clone()));
        plan.writes.push(Write::delete::<TaskTargets>(key));
        return;
    }
    let heard_at = seen.map_or(stopped_at, |seen| seen.received_at.max(stopped_at));
    if now < heard_at + FORGET_FOR {
        plan.commands.push(desired(task, FORGET, Order::Forget));
    }
    plan.wake_by(gone_at);
}
