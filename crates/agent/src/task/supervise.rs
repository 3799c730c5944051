//! Carries out what [`supervision::next`] says about a task's containers.

use base::Timestamp;
use core_lifecycle::supervision::{self, Action, CheckResult, Member, Run, Standing};
use core_lifecycle::{Assignment, ContainerSpec, Failure};
use runtime::RuntimeError;

use super::life::Life;
use super::plan;
use super::work::{Checked, Done};
use crate::failure;

/// An [`Action`] that borrows nothing.
enum Deed {
    Start(String),
    Restart(String),
    Check(String),
    Fail(String, Failure),
}

impl Life {
    /// Does what is to be done now; answers how the task stands, and when to look again.
    pub fn act(&mut self) -> (Standing, Option<Timestamp>) {
        let Some(assignment) = self.assignment.clone() else { return (Standing::Over, None) };
        loop {
            let now = self.shared.parts.clock.now();
            let step = supervision::next(&self.members(&assignment), now);
            let (standing, wake_at) = (step.standing, step.wake_at);
            let deeds: Vec<Deed> = step.actions.into_iter().map(deed).collect();
            if deeds.is_empty() {
                return (standing, wake_at);
            }
            // Each shows in the members, so that it is not asked for again.
            for deed in deeds {
                match deed {
                    Deed::Start(name) => self.start(&assignment, &name),
                    Deed::Restart(name) => self.works.restart(self.shared.clone(), self.id.clone(), &name),
                    Deed::Check(name) => self.check(&name),
                    Deed::Fail(name, failure) => self.blame(&name, failure),
                }
            }
        }
    }

    /// The containers as they are now.
    pub fn members<'a>(&'a self, assignment: &'a Assignment) -> Vec<Member<'a>> {
        let member = |spec: &'a ContainerSpec| {
            let checks = self.note.checks.get(&spec.name);
            let is_checking = self.works.is_checking(&spec.name);
            Member { spec, run: self.run(&spec.name), checks, is_checking }
        };
        assignment.containers.iter().map(member).collect()
    }

    fn run(&self, name: &str) -> Run {
        if self.works.is_starting(name) {
            return Run::Starting;
        }
        if self.works.is_restarting(name) {
            return Run::Restarting;
        }
        let Some(seen) = self.seen(name) else { return Run::Failed };
        let exit = self.ended.get(name).or(seen.exit.as_ref());
        match (seen.started_at, exit, &seen.failure) {
            (_, _, Some(_)) => Run::Failed,
            (Some(started_at), Some(exit), None) => Run::Ended { started_at, exit: exit.clone() },
            (Some(started_at), None, None) => Run::Running { started_at },
            (None, _, None) => Run::Waiting,
        }
    }

    fn start(&mut self, assignment: &Assignment, name: &str) {
        let Some(ready) = self.ready.clone() else {
            return self.blame(name, failure::lost("the task's sandbox was not made"));
        };
        let Some(spec) = assignment.containers.iter().find(|spec| spec.name == name) else { return };
        match plan::container(assignment, spec, &ready) {
            Some(plan) => {
                self.works.start(self.shared.clone(), self.id.clone(), plan, self.turn.clone());
            }
            None => self.blame(name, failure::lost("an image was not pulled")),
        }
    }

    fn check(&mut self, name: &str) {
        let found = self.spec(name).and_then(|spec| spec.health_check.clone());
        let (Some(check), Some(seen)) = (found, self.seen(name)) else { return };
        let run = seen.restarts;
        if let Some(foretold) = self.shared.parts.runtime.health(&self.id, name) {
            let now = self.shared.parts.clock.now();
            let result = CheckResult {
                began_at: now,
                ended_at: now,
                exit_code: Some(i32::from(!foretold.is_healthy)),
                output: String::new(),
                holds_until: Some(foretold.until),
            };
            return self.checked(name, run, Some(result));
        }
        let what = Checked { task: self.id.clone(), container: name.to_owned(), check, run };
        self.works.check(self.shared.clone(), what);
    }

    /// Takes in what came of a piece of work.
    pub fn done(&mut self, done: Done) {
        match done {
            Done::Started(name, Ok(record)) => {
                tracing::debug!(task = self.id, container = name, "a container is started");
                self.take_in(&record);
            }
            Done::Started(name, Err(error)) => self.blame(&name, failure::start(error.as_ref())),
            Done::Restarted(name, Ok(record)) => {
                tracing::info!(task = self.id, container = name, restarts = record.restarts, "restarted");
                self.take_in(&record);
            }
            // The next look at the runtime's record shows that run.
            Done::Restarted(name, Err(Some(RuntimeError::StillRunning(_)))) => drop(self.ended.remove(&name)),
            Done::Restarted(name, Err(error)) => {
                let exit = self.ended.remove(&name);
                if let Some(seen) = self.seen_mut(&name) {
                    seen.exit = exit;
                }
                self.blame(&name, failure::start(error.as_ref()));
            }
            Done::Checked(name, run, result) => self.checked(&name, run, result),
        }
    }

    /// Takes in a check of the run after `run` restarts.
    fn checked(&mut self, name: &str, run: u32, result: Option<CheckResult>) {
        let Some(check) = self.spec(name).and_then(|spec| spec.health_check.clone()) else { return };
        let Some(checks) = self.note.checks.get_mut(name) else { return };
        let found = self.note.observation.containers.iter_mut().find(|seen| seen.name == name);
        let Some(seen) = found.filter(|seen| seen.restarts == run && seen.exit.is_none()) else { return };
        let Some(started_at) = seen.started_at else { return };
        let Some(result) = result else {
            // It is said to have ended, and its exit is on its way.
            checks.due_at = self.shared.parts.clock.now() + check.interval;
            return;
        };
        if result.exit_code != Some(0) {
            tracing::debug!(
                task = self.id,
                container = name,
                code = result.exit_code,
                "a health check failed"
            );
        }
        let before = (checks.status, checks.failures, checks.has_succeeded);
        *checks = checks.clone().take(&check, started_at, result);
        // Only a change is reported: a host with many healthy containers has nothing to say.
        if checks.status != before.0 {
            seen.health = Some(checks.health());
            self.has_news = true;
        } else if (checks.status, checks.failures, checks.has_succeeded) != before {
            self.save();
        }
    }

    /// Puts a failure to the container that it is about.
    pub fn blame(&mut self, container: &str, failure: Failure) {
        if let Some(seen) = self.seen_mut(container) {
            seen.failure = Some(failure);
            self.has_news = true;
        }
    }

    /// What kept an essential container from its start.
    pub fn fatal(&self) -> Option<Failure> {
        let essential = self.assignment.iter().flat_map(|a| &a.containers).filter(|spec| spec.essential);
        let mut seen = essential.filter_map(|spec| self.seen(&spec.name));
        seen.find(|seen| seen.started_at.is_none() && seen.failure.is_some())?.failure.clone()
    }

    /// Waits until nothing is being started any more, and calls off the checks.
    pub async fn settle(&mut self) {
        self.works.end_checks();
        while self.works.has_starts() {
            let done = self.works.next().await;
            self.done(done);
        }
    }
}

fn deed(action: Action<'_>) -> Deed {
    match action {
        Action::Start(name) => Deed::Start(name.to_owned()),
        Action::Restart(name) => Deed::Restart(name.to_owned()),
        Action::Check(name) => Deed::Check(name.to_owned()),
        Action::Fail(name, failure) => Deed::Fail(name.to_owned(), failure),
    }
}
