//! Transcripts of tasks' lives: `tests/scenarios/*.txt`. A block is commands, `----`, and what the
//! API shows and the host is told after it. `UPDATE=1 cargo test` rewrites the expectations.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use aws_ecs as aws;
use aws_ecs::op;
use core_lifecycle::{ContainerObservation, Exit, Failure, Observation, Phase};
use link::{Desired, Order};

use crate::world::{World, container, definition, run_request};

struct Scene {
    world: World,
    /// The tasks by the names that the transcript gives them.
    tasks: BTreeMap<String, (String, u64, Observation)>,
}

impl Scene {
    fn command(&mut self, line: &str, out: &mut String) {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let (name, text) = rest.split_once(' ').unwrap_or((rest, ""));
        let sent = match verb {
            "register" => {
                let mut request = definition("app");
                request.container_definitions = rest.split(' ').map(definition_of).collect();
                self.world.call::<op::RegisterTaskDefinition>(request).unwrap();
                Vec::new()
            }
            "run" => {
                let answer = self.world.call::<op::RunTask>(run_request()).unwrap();
                let task = answer.tasks.unwrap().remove(0);
                self.tasks.insert(name.into(), (task.task_arn.unwrap(), 0, Observation::default()));
                self.world.settle()
            }
            "stop" => {
                let reason = (!text.is_empty()).then(|| text.into());
                let task = self.tasks[name].0.clone();
                let request = aws::StopTaskRequest { cluster: Some("main".into()), task, reason };
                self.world.call::<op::StopTask>(request).unwrap();
                self.world.settle()
            }
            "advance" => {
                let before = self.world.orders.len();
                self.world.advance(Duration::from_secs(rest.parse().unwrap()));
                self.world.orders[before..].to_vec()
            }
            _ => self.report(verb, name, text),
        };
        for order in &sent {
            self.told(order, out);
        }
    }

    /// The host saw something and reports the whole of what it knows.
    fn report(&mut self, verb: &str, name: &str, text: &str) -> Vec<Desired> {
        let now = self.world.platform.clock().now();
        let (arn, generation, observation) = self.tasks.get_mut(name).unwrap();
        let (first, rest) = text.split_once(' ').unwrap_or((text, ""));
        match verb {
            "preparing" => observation.phase = Phase::Preparing,
            "running" => observation.phase = Phase::Running,
            "stopping" => observation.phase = Phase::Stopping,
            "stopped" => observation.phase = Phase::Stopped,
            "start" => of(observation, first).started_at = Some(now),
            "exit" => {
                let code = rest.trim_end_matches(" oom").parse().unwrap();
                of(observation, first).exit = Some(Exit { code, at: now, is_oom: rest.ends_with("oom") });
                observation.execution_stopped_at.get_or_insert(now);
            }
            "fail" => {
                let (class, message) = rest.split_once(": ").unwrap();
                let failure = Failure { class: class.into(), message: message.into() };
                of(observation, first).failure = Some(failure);
            }
            other => panic!("no command {other}"),
        }
        if verb == "start" {
            observation.started_at.get_or_insert(now);
        }
        let (arn, generation, observation) = (arn.clone(), (*generation).max(1), observation.clone());
        self.world.observe(&arn, generation, observation)
    }

    fn told(&mut self, order: &Desired, out: &mut String) {
        let found = self.tasks.iter_mut().find(|(_, (arn, ..))| **arn == *order.task);
        let (name, (_, generation, _)) = found.unwrap();
        *generation = order.generation;
        let verb = match &order.order {
            Order::Run(assignment) => format!("run {} containers", assignment.containers.len()),
            Order::Stop => "stop".into(),
            Order::Forget => "forget".into(),
        };
        writeln!(out, "host: {verb} {name} #{}", order.generation).unwrap();
    }

    fn show(&mut self, out: &mut String) {
        for (name, (arn, ..)) in &self.tasks {
            let ask = aws::DescribeTasksRequest {
                cluster: Some("main".into()),
                tasks: vec![arn.clone()],
                include: None,
            };
            let answer = self.world.call::<op::DescribeTasks>(ask).unwrap();
            let Some(task) = answer.tasks.unwrap().pop() else {
                writeln!(out, "{name} is gone").unwrap();
                continue;
            };
            let word = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".into());
            write!(out, "{name} {} desired={}", word(&task.last_status), word(&task.desired_status)).unwrap();
            if let Some(code) = &task.stop_code {
                write!(out, " {code} \"{}\"", word(&task.stopped_reason)).unwrap();
            }
            let times = [
                ("connected", task.connectivity_at),
                ("started", task.started_at),
                ("executionStopped", task.execution_stopped_at),
                ("stopping", task.stopping_at),
                ("stopped", task.stopped_at),
            ];
            let known: Vec<_> = times.iter().filter(|(_, at)| at.is_some()).map(|(name, _)| *name).collect();
            writeln!(out, " [{}]", known.join(" ")).unwrap();
            for container in task.containers.unwrap() {
                write!(out, "  {} {}", word(&container.name), word(&container.last_status)).unwrap();
                if let Some(code) = container.exit_code {
                    write!(out, " exit={code}").unwrap();
                }
                if let Some(reason) = container.reason {
                    write!(out, " \"{reason}\"").unwrap();
                }
                out.push('\n');
            }
        }
    }
}

fn definition_of(word: &str) -> aws::ContainerDefinition {
    match word.strip_suffix('?') {
        Some(name) => aws::ContainerDefinition { essential: Some(false), ..container(name) },
        None => container(word),
    }
}

fn of<'a>(observation: &'a mut Observation, name: &str) -> &'a mut ContainerObservation {
    if !observation.containers.iter().any(|c| c.name == name) {
        observation.containers.push(ContainerObservation { name: name.into(), ..Default::default() });
    }
    observation.containers.iter_mut().find(|c| c.name == name).unwrap()
}

fn replay(text: &str) -> String {
    let mut scene = Scene { world: World::furnished(), tasks: BTreeMap::new() };
    let mut out = String::new();
    for block in text.split("\n\n") {
        let commands = block.split("----").next().unwrap();
        let mut told = String::new();
        for command in commands.lines().map(str::trim).filter(|line| !line.is_empty()) {
            writeln!(out, "{command}").unwrap();
            if !command.starts_with('#') {
                scene.command(command, &mut told);
            }
        }
        out.push_str("----\n");
        out.push_str(&told);
        scene.show(&mut out);
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
