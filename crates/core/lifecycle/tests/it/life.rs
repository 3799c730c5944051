//! Transcripts: `tests/scenarios/*.txt`. A block is commands, `----`, and the states that follow.
//! `UPDATE=1 cargo test` rewrites the expectations.

use std::fmt::Write as _;
use std::path::Path;

use base::Timestamp;
use core_lifecycle::{
    Container, ContainerObservation, Exit, Facts, Failure, Goal, Observation, Phase, StopCode, Task,
    status_of,
};

struct World {
    now: Timestamp,
    task: Task,
    goal: Goal,
    seen: Option<(Observation, Timestamp)>,
    essential: Vec<String>,
    is_registered: bool,
    is_drained: bool,
    is_released: bool,
}

impl World {
    fn new() -> Self {
        World {
            now: Timestamp::EPOCH,
            task: Task::Provisioning,
            goal: Goal::Running,
            seen: None,
            essential: Vec::new(),
            is_registered: true,
            is_drained: true,
            is_released: false,
        }
    }

    fn command(&mut self, line: &str) {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let (first, text) = rest.split_once(' ').unwrap_or((rest, ""));
        self.now = Timestamp::from_secs(self.now.as_secs() + 1);
        match verb {
            "essential" => self.essential = rest.split(' ').map(String::from).collect(),
            "want-stopped" => {
                self.goal = Goal::Stopped { code: StopCode::UserInitiated, reason: String::from(rest) };
            }
            "balanced" => (self.is_registered, self.is_drained) = (false, false),
            "registered" => self.is_registered = true,
            "drained" => self.is_drained = true,
            "released" => self.is_released = true,
            "host" => self.see(|_, observation| {
                observation.phase = match first {
                    "preparing" => Phase::Preparing,
                    "running" => Phase::Running,
                    "stopping" => Phase::Stopping,
                    "stopped" => Phase::Stopped,
                    other => panic!("no phase {other}"),
                };
            }),
            "pulling" => self.see(|now, observation| observation.pull_started_at = Some(now)),
            "pulled" => self.see(|now, observation| observation.pull_stopped_at = Some(now)),
            "start" => {
                self.container(first, |now, container| container.started_at = Some(now));
                self.see(|now, observation| {
                    observation.started_at.get_or_insert(now);
                });
            }
            "exit" => self.container(first, |at, container| {
                let code = text.trim_end_matches(" oom").parse().unwrap();
                container.exit = Some(Exit { code, at, is_oom: text.ends_with("oom") });
            }),
            "fail" => {
                let failure = failure(text);
                self.container(first, |_, container| container.failure = Some(failure));
            }
            "fail-task" => self.see(|_, observation| observation.failure = Some(failure(rest))),
            other => panic!("no command {other}"),
        }
    }

    fn see(&mut self, change: impl FnOnce(Timestamp, &mut Observation)) {
        let now = self.now;
        let (observation, at) = self.seen.get_or_insert_with(|| (Observation::default(), now));
        change(now, observation);
        *at = now;
    }

    fn container(&mut self, name: &str, change: impl FnOnce(Timestamp, &mut ContainerObservation)) {
        self.see(|now, observation| {
            if !observation.containers.iter().any(|c| c.name == name) {
                let name = String::from(name);
                observation.containers.push(ContainerObservation { name, ..Default::default() });
            }
            let found = observation.containers.iter_mut().find(|c| c.name == name);
            change(now, found.unwrap());
        });
    }

    /// Every state on the way, one per line.
    fn settle(&mut self, out: &mut String) {
        for _ in 0..16 {
            let facts = Facts {
                goal: &self.goal,
                seen: self.seen.as_ref().map(|(observation, at)| (observation, *at)),
                essential: &self.essential,
                is_registered: self.is_registered,
                is_drained: self.is_drained,
                is_released: self.is_released,
            };
            let Some(event) = status_of(&self.task, &facts) else { break };
            self.task = self.task.clone().next(event, self.now);
            writeln!(out, "{}", line(&self.task)).unwrap();
        }
        for seen in self.seen.iter().flat_map(|(observation, _)| &observation.containers) {
            let text = match Container::of(Some(seen), &self.task) {
                Container::Pending => String::from("pending"),
                Container::Running { .. } => String::from("running"),
                Container::Stopped { exit_code, reason } => {
                    format!("stopped exit={exit_code:?} reason={reason:?}")
                }
            };
            writeln!(out, "  {} {text}", seen.name).unwrap();
        }
    }
}

fn failure(text: &str) -> Failure {
    let (class, message) = text.split_once(": ").unwrap();
    Failure { class: class.into(), message: message.into() }
}

fn line(task: &Task) -> String {
    let name = match task {
        Task::Provisioning => "provisioning",
        Task::Pending { .. } => "pending",
        Task::Activating { .. } => "activating",
        Task::Running { .. } => "running",
        Task::Deactivating { .. } => "deactivating",
        Task::Stopping { .. } => "stopping",
        Task::Deprovisioning { .. } => "deprovisioning",
        Task::Stopped { .. } => "stopped",
    };
    let mut text = String::from(name);
    if let Some(stop) = task.stop_cause() {
        write!(text, " {:?} \"{}\"", stop.code, stop.reason).unwrap();
    }
    let m = task.milestones();
    let times = [
        ("connected", m.connected_at),
        ("pull", m.pull_started_at),
        ("pulled", m.pull_stopped_at),
        ("started", m.started_at),
        ("stopped", task.stopped_at()),
    ];
    for (name, at) in times {
        if let Some(at) = at {
            write!(text, " {name}={}", at.as_secs()).unwrap();
        }
    }
    text
}

fn replay(text: &str) -> String {
    let mut world = World::new();
    let mut out = String::new();
    for block in text.split("\n\n") {
        let commands = block.split("----").next().unwrap();
        for command in commands.lines() {
            let command = command.trim();
            writeln!(out, "{command}").unwrap();
            if command.starts_with("task: ") {
                world = World::new();
            } else if !command.is_empty() && !command.starts_with('#') {
                world.command(command);
            }
        }
        out.push_str("----\n");
        world.settle(&mut out);
        out.push('\n');
    }
    out
}

#[test]
fn transcripts() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut count = 0;
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let found = replay(text.trim_end());
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, &found).unwrap();
        } else {
            assert_eq!(found.trim_end(), text.trim_end(), "{}", path.display());
        }
        count += 1;
    }
    assert!(count > 0);
}
