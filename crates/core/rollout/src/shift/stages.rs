//! The stages, forward and back, and the two sets of tasks in each of them.

use std::sync::Arc;
use std::time::Duration;

use base::{Chance, Timestamp};

use super::{Goal, Heard, Outcome, Shift, Stage, Step, Throttles, Weights, gates};
use crate::health::{Verdict, verdict};
use crate::rolling::{self, Stop, Why};
use crate::throttle::Throttle;
use crate::view::{self, TaskView};

/// So long balancers have to take weights up before anything rests on them.
const MOVES: Duration = Duration::from_secs(1);
/// More stages than there are, in case one step passes all of them; steps of traffic wait.
const MOST: usize = 24;

/// How many tasks there are.
#[derive(Debug, Clone, Copy, Default)]
pub struct Count {
    live: usize,
    healthy: usize,
}

/// The two sets, and whatever else there is.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sets {
    target: Count,
    source: Count,
    others: Count,
}

impl Sets {
    pub fn of(goal: &Goal, shift: &Shift, tasks: &[TaskView], now: Timestamp) -> Sets {
        let mut sets = Sets::default();
        for task in tasks.iter().filter(|task| task.stage != view::Stage::Leaving) {
            let set = match whose(goal, shift, task) {
                Whose::Target => &mut sets.target,
                Whose::Source => &mut sets.source,
                Whose::Others => &mut sets.others,
            };
            set.live += 1;
            set.healthy += usize::from(verdict(task, goal.set.rules, now) == Verdict::Healthy);
        }
        sets
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    Target,
    Source,
    Others,
}

fn whose(goal: &Goal, shift: &Shift, task: &TaskView) -> Whose {
    if task.revision == goal.set.current {
        Whose::Target
    } else if shift.source.as_deref() == Some(&*task.revision) {
        Whose::Source
    } else {
        Whose::Others
    }
}

/// What a stage comes to.
enum Turn {
    To(Stage),
    /// Nothing but a change moves it on, or the time that is given.
    Stay(Option<Timestamp>),
    Over(Outcome),
}

/// Takes `shift` as far as it can come now.
pub fn advance(
    goal: &Goal,
    shift: &mut Shift,
    heard: &Heard<'_>,
    sets: &Sets,
    now: Timestamp,
    chance: &mut Chance,
) -> (Option<Outcome>, Option<Timestamp>) {
    for _ in 0..MOST {
        let turn = match shift.back {
            None => forward(goal, shift, sets, now, chance),
            Some(_) => back(goal, shift, heard, sets, now),
        };
        match turn {
            Turn::To(stage) => shift.enter(stage, now),
            Turn::Stay(wake_at) => return (None, wake_at),
            Turn::Over(outcome) => return (Some(outcome), None),
        }
    }
    (None, Some(now + MOVES))
}

fn forward(goal: &Goal, shift: &mut Shift, sets: &Sets, now: Timestamp, chance: &mut Chance) -> Turn {
    let is_ready = sets.target.healthy >= goal.set.desired as usize;
    let settled_at = shift.moved_at + MOVES;
    match shift.stage {
        Stage::ReconcileService if sets.others.live > 0 => Turn::Stay(ahead(settled_at, now)),
        Stage::ReconcileService => pause(goal, shift, Stage::PreScaleUp, now, chance),
        Stage::PreScaleUp => pause(goal, shift, Stage::ScaleUp, now, chance),
        Stage::ScaleUp if is_ready => Turn::To(Stage::PostScaleUp),
        Stage::ScaleUp => Turn::Stay(None),
        Stage::PostScaleUp => pause(goal, shift, Stage::TestTrafficShift, now, chance),
        Stage::TestTrafficShift => {
            if goal.has_test && !shift.has_moved {
                if !is_ready {
                    return Turn::Stay(None);
                }
                shift.has_moved = true;
                shift.shift_to(Weights { test: 100.0, ..shift.weights }, now);
            }
            until(shift.moved_at + MOVES, Stage::PostTestTrafficShift, now)
        }
        Stage::PostTestTrafficShift => pause(goal, shift, Stage::PreProductionTrafficShift, now, chance),
        Stage::PreProductionTrafficShift => pause(goal, shift, Stage::ProductionTrafficShift, now, chance),
        Stage::ProductionTrafficShift => production(goal, shift, is_ready, now),
        Stage::PostProductionTrafficShift => pause(goal, shift, Stage::BakeTime, now, chance),
        // With nothing to go back to there is nothing to wait for.
        Stage::BakeTime if shift.source.is_none() => Turn::To(Stage::CleanUp),
        Stage::BakeTime => until(shift.since + goal.bake, Stage::CleanUp, now),
        Stage::CleanUp if sets.source.live + sets.others.live > 0 => Turn::Stay(None),
        Stage::CleanUp => Turn::Over(Outcome::Done),
    }
}

fn production(goal: &Goal, shift: &mut Shift, is_ready: bool, now: Timestamp) -> Turn {
    if !shift.has_moved {
        if !is_ready {
            return Turn::Stay(None);
        }
        shift.has_moved = true;
        let production = goal.pace.next(shift.weights.production);
        shift.shift_to(Weights { production, ..shift.weights }, now);
    }
    let settled_at = shift.moved_at + MOVES;
    // AWS: there is no bake of the step that is the last.
    if shift.weights.production >= 100.0 {
        until(settled_at, Stage::PostProductionTrafficShift, now)
    } else {
        until(settled_at.max(shift.moved_at + goal.pace.bake()), Stage::PreProductionTrafficShift, now)
    }
}

fn back(goal: &Goal, shift: &mut Shift, heard: &Heard<'_>, sets: &Sets, now: Timestamp) -> Turn {
    if shift.source.is_none() {
        return Turn::Over(Outcome::Failed);
    }
    match shift.stage {
        Stage::CleanUp if sets.target.live + sets.others.live > 0 => Turn::Stay(None),
        Stage::CleanUp if heard.is_broken => Turn::Over(Outcome::Failed),
        Stage::CleanUp => Turn::Over(Outcome::RolledBack),
        Stage::ReconcileService
        | Stage::PreScaleUp
        | Stage::ScaleUp
        | Stage::PostScaleUp
        | Stage::TestTrafficShift
        | Stage::PostTestTrafficShift
        | Stage::PreProductionTrafficShift
        | Stage::ProductionTrafficShift
        | Stage::PostProductionTrafficShift
        | Stage::BakeTime => {
            // All of the source is wanted for all of the traffic, unless the target has nothing.
            let is_whole = sets.source.healthy >= goal.set.desired as usize;
            let is_better = sets.target.healthy == 0 && sets.source.healthy > 0;
            let has_traffic = shift.weights != Weights::default();
            if has_traffic && !is_whole && !is_better {
                return Turn::Stay(None);
            }
            shift.shift_to(Weights::default(), now);
            until(shift.moved_at + MOVES, Stage::CleanUp, now)
        }
    }
}

fn pause(goal: &Goal, shift: &mut Shift, next: Stage, now: Timestamp, chance: &mut Chance) -> Turn {
    if gates::is_open(goal, shift, now, chance) {
        Turn::To(next)
    } else {
        Turn::Stay(gates::expires_at(shift))
    }
}

fn until(at: Timestamp, next: Stage, now: Timestamp) -> Turn {
    if now < at { Turn::Stay(Some(at)) } else { Turn::To(next) }
}

fn ahead(at: Timestamp, now: Timestamp) -> Option<Timestamp> {
    (now < at).then_some(at)
}

/// What becomes of a set of tasks.
enum Fate {
    /// As many as are desired, each healthy.
    Kept,
    /// As it is.
    Left,
    Ended,
}

/// Adds the tasks that start and stop.
pub fn keep(mut step: Step, goal: &Goal, tasks: &[TaskView], throttles: Throttles, now: Timestamp) -> Step {
    let (target, source) = match (step.shift.back, step.shift.stage) {
        (None, Stage::ReconcileService | Stage::PreScaleUp) => (Fate::Left, Fate::Kept),
        (None, Stage::CleanUp) => (Fate::Kept, Fate::Ended),
        (None, _) => (Fate::Kept, Fate::Kept),
        (Some(_), Stage::CleanUp) => (Fate::Ended, Fate::Kept),
        (Some(_), _) => (Fate::Left, Fate::Kept),
    };
    let shift = step.shift.clone();
    let of = |whose_are: Whose| -> Vec<TaskView> {
        tasks.iter().filter(|task| whose(goal, &shift, task) == whose_are).cloned().collect()
    };
    set(&mut step, goal, &goal.set.current, target, &of(Whose::Target), &throttles.target, now);
    if let Some(revision) = shift.source.as_deref() {
        set(&mut step, goal, &Arc::from(revision), source, &of(Whose::Source), &throttles.source, now);
    }
    // They had traffic until this deployment began.
    if now >= shift.moved_at + MOVES {
        end(&mut step, &of(Whose::Others));
    } else if tasks.iter().any(|task| whose(goal, &shift, task) == Whose::Others) {
        step.wake_by(shift.moved_at + MOVES);
    }
    step
}

fn set(
    step: &mut Step,
    goal: &Goal,
    revision: &Arc<str>,
    fate: Fate,
    tasks: &[TaskView],
    throttle: &Throttle,
    now: Timestamp,
) {
    match fate {
        Fate::Left => {
            // Somebody's verdict may still be a matter of time.
            let verdicts = tasks.iter().map(|task| verdict(task, goal.set.rules, now));
            for verdict in verdicts {
                if let Verdict::Waiting { until: Some(until) } = verdict {
                    step.wake_by(until);
                }
            }
        }
        Fate::Ended => end(step, tasks),
        Fate::Kept => {
            let kept =
                rolling::Goal { current: revision.clone(), kept: None, is_halted: false, ..goal.set.clone() };
            let done = rolling::step(&kept, tasks, throttle, now);
            step.start.extend(done.start);
            step.stop.extend(done.stop);
            step.blocked = step.blocked.or(done.blocked);
            if let Some(at) = done.wake_at {
                step.wake_by(at);
            }
        }
    }
}

fn end(step: &mut Step, tasks: &[TaskView]) {
    let live = tasks.iter().filter(|task| task.stage != view::Stage::Leaving && !task.is_protected);
    step.stop.extend(live.map(|task| Stop { task: task.id.clone(), why: Why::Replaced }));
}
