//! What others have to say before a deployment goes on.

use base::{Chance, Timestamp};

use super::{Goal, Heard, HookRun, HookState, Pause, Shift, Stage, Why};

/// Takes in what was said; may turn the deployment round.
pub fn hear(shift: &mut Shift, heard: &Heard<'_>, now: Timestamp) {
    if shift.back.is_some() {
        return;
    }
    let mut back = None;
    for hook in shift.hooks.iter_mut().filter(|hook| hook.state == HookState::Awaiting) {
        let answer = heard.answers.and_then(|answers| answers.get(&hook.id)).copied();
        let is_late = hook.expires_at.is_some_and(|at| at <= now);
        hook.state = match answer {
            Some(true) => HookState::Succeeded,
            Some(false) => HookState::Failed,
            None if is_late => HookState::TimedOut,
            None => HookState::Awaiting,
        };
        back = back.or(match hook.state {
            HookState::Failed => Some(Why::Answered),
            HookState::TimedOut if !hook.continues => Some(Why::TimedOut),
            HookState::TimedOut | HookState::Succeeded | HookState::Awaiting => None,
        });
    }
    let back = if heard.is_stopped {
        Some(Why::Stopped)
    } else if heard.is_broken {
        Some(Why::Broken)
    } else if heard.is_tripped && shift.stage < Stage::CleanUp {
        Some(Why::Failures)
    } else {
        back
    };
    if let Some(why) = back {
        shift.turn_back(why, now);
    }
}

/// Whether the pauses of the present stage are over; they begin when this is first asked.
pub fn is_open(goal: &Goal, shift: &mut Shift, now: Timestamp, chance: &mut Chance) -> bool {
    if !shift.has_paused {
        shift.has_paused = true;
        let stage = shift.stage;
        let due = goal.pauses.iter().filter(|pause| pause.stages.contains(&stage));
        shift.hooks.extend(due.map(|pause| run(pause, stage, now, chance)));
    }
    shift.hooks.iter().all(|hook| hook.state != HookState::Awaiting)
}

/// When the first of the pauses under way is taken for answered.
pub fn expires_at(shift: &Shift) -> Option<Timestamp> {
    let awaiting = shift.hooks.iter().filter(|hook| hook.state == HookState::Awaiting);
    awaiting.filter_map(|hook| hook.expires_at).min()
}

fn run(pause: &Pause, stage: Stage, now: Timestamp, chance: &mut Chance) -> HookRun {
    HookRun {
        // AWS: this prefix, and 43 characters.
        id: format!("ecs-pause-{}", chance.hex(43)),
        stage,
        expires_at: Some(now + pause.timeout),
        continues: pause.continues,
        state: HookState::Awaiting,
    }
}
