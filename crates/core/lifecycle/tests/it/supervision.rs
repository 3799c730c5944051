//! What starts, what never does, what ends in which order: tables.

use std::time::Duration;

use base::Timestamp;
use core_lifecycle::supervision::{Action, CheckResult, Checks, Member, Run, Standing, next, stoppable};
use core_lifecycle::{
    Condition, ContainerSpec, Dependency, Exit, HealthCheck, Link, RestartPolicy, VolumesFrom,
};

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

fn spec(name: &str, depends_on: &[(&str, Condition)]) -> ContainerSpec {
    let depend = |(name, condition): &(&str, Condition)| Dependency {
        container: String::from(*name),
        condition: *condition,
    };
    ContainerSpec {
        name: String::from(name),
        depends_on: depends_on.iter().map(depend).collect(),
        ..ContainerSpec::default()
    }
}

fn essential(spec: ContainerSpec) -> ContainerSpec {
    ContainerSpec { essential: true, ..spec }
}

fn checked(spec: ContainerSpec) -> ContainerSpec {
    let health_check = Some(HealthCheck {
        command: vec![String::from("true")],
        interval: Duration::from_secs(10),
        timeout: Duration::from_secs(5),
        retries: 2,
        start_period: Duration::ZERO,
    });
    ContainerSpec { health_check, ..spec }
}

fn ended(secs: i64, code: i32) -> Run {
    Run::Ended { started_at: at(0), exit: Exit { code, at: at(secs), is_oom: false } }
}

const RUNNING: Run = Run::Running { started_at: Timestamp::EPOCH };

fn members<'a>(specs: &'a [ContainerSpec], runs: &[Run]) -> Vec<Member<'a>> {
    let member = |(spec, run): (&'a ContainerSpec, &Run)| Member {
        spec,
        run: run.clone(),
        checks: None,
        is_checking: false,
    };
    specs.iter().zip(runs).map(member).collect()
}

/// Actions in words, then the standing.
fn say(members: &[Member<'_>], now: i64) -> String {
    let step = next(members, at(now));
    let mut words: Vec<String> = step
        .actions
        .into_iter()
        .map(|action| match action {
            Action::Start(name) => format!("start {name}"),
            Action::Restart(name) => format!("restart {name}"),
            Action::Check(name) => format!("check {name}"),
            Action::Fail(name, failure) => format!("fail {name} {}", failure.text()),
        })
        .collect();
    words.push(match step.standing {
        Standing::Starting => String::from("starting"),
        Standing::Running => String::from("running"),
        Standing::Over => String::from("over"),
    });
    if let Some(wake_at) = step.wake_at {
        words.push(format!("wake {}", wake_at.as_secs()));
    }
    words.join(", ")
}

#[track_caller]
fn check(specs: &[ContainerSpec], runs: &[Run], now: i64, expected: &str) {
    assert_eq!(say(&members(specs, runs), now), expected);
}

/// Whether `app`, which depends on `dep`, starts.
#[track_caller]
fn depends(condition: Condition, dep: Run, expected: &str) {
    let specs = [spec("dep", &[]), essential(spec("app", &[("dep", condition)]))];
    check(&specs, &[dep, Run::Waiting], 60, expected);
}

#[test]
fn conditions() {
    use Condition::{Complete, Healthy, Start, Success};
    let class = "CannotStartContainerError: dependency graph:";
    let unsuccessful = format!(
        "fail app {class} failed to resolve container ordering dependency [dep] for target [app] as \
         dependency did not exit successfully., starting"
    );
    let unmet = format!(
        "fail app {class} failed to resolve the container ordering dependency [dep] for target [app], starting"
    );
    for condition in [Start, Complete, Success, Healthy] {
        depends(condition, Run::Starting, "starting");
    }
    depends(Start, RUNNING, "start app, starting");
    depends(Start, ended(5, 1), "start app, starting");
    depends(Start, Run::Failed, &unmet);
    depends(Complete, RUNNING, "starting, wake 10800");
    depends(Complete, ended(5, 1), "start app, starting");
    depends(Complete, Run::Failed, &unmet);
    depends(Success, ended(5, 0), "start app, starting");
    depends(Success, ended(5, 1), &unsuccessful);
    depends(Success, Run::Failed, &unsuccessful);
    depends(Healthy, ended(5, 0), &unmet);
    // Without a check it never turns healthy.
    depends(Healthy, RUNNING, &unmet);
}

#[test]
fn independent_containers_start_together() {
    let specs = [spec("a", &[]), essential(spec("b", &[])), spec("c", &[("a", Condition::Start)])];
    let waiting = [Run::Waiting, Run::Waiting, Run::Waiting];
    check(&specs, &waiting, 0, "start a, start b, starting");
    check(&specs, &[Run::Starting, Run::Starting, Run::Waiting], 0, "starting");
    check(&specs, &[RUNNING, Run::Starting, Run::Waiting], 0, "start c, starting");
    check(&specs, &[RUNNING, RUNNING, RUNNING], 0, "running");
}

#[test]
fn links_and_volumes_imply_order() {
    let mut linked = spec("web", &[]);
    linked.names.links.push(Link { container: String::from("db"), alias: String::from("database") });
    let mut mounted = essential(spec("side", &[]));
    mounted.volumes_from.push(VolumesFrom { container: String::from("web"), is_read_only: true });
    let specs = [mounted, linked, spec("db", &[])];
    check(&specs, &[Run::Waiting, Run::Waiting, Run::Waiting], 0, "start db, starting");
    check(&specs, &[Run::Waiting, Run::Waiting, RUNNING], 0, "start web, starting");
    check(&specs, &[Run::Waiting, RUNNING, RUNNING], 0, "start side, starting");
    assert_eq!(stoppable(&members(&specs, &[RUNNING, RUNNING, RUNNING])), ["side"]);
}

#[test]
fn a_start_timeout_is_the_dependencys() {
    let mut slow = checked(spec("db", &[]));
    slow.start_timeout = Some(Duration::from_secs(30));
    let specs = [slow, essential(spec("app", &[("db", Condition::Healthy)]))];
    let checks = Checks::begin(specs[0].health_check.as_ref().expect("it has one"), at(0));
    let mut all = members(&specs, &[RUNNING, Run::Waiting]);
    all[0].checks = Some(&checks);
    assert_eq!(say(&all, 0), "starting, wake 10");
    assert_eq!(say(&all, 10), "check db, starting, wake 30");
    all[0].is_checking = true;
    assert_eq!(say(&all, 29), "starting, wake 30");
    let text = say(&all, 30);
    assert_eq!(
        text,
        "fail app CannotStartContainerError: dependency graph: container ordering dependency [db] for target \
         [app] has timed out., starting"
    );
    // Healthy in time: what comes later does not matter.
    let well = CheckResult {
        began_at: at(10),
        ended_at: at(10),
        exit_code: Some(0),
        output: String::new(),
        holds_until: None,
    };
    let check = specs[0].health_check.as_ref().expect("it has one");
    let healthy = checks.clone().take(check, at(0), well.clone());
    all[0].checks = Some(&healthy);
    all[0].is_checking = false;
    assert_eq!(say(&all, 11), "start app, starting, wake 20");
    assert_eq!(say(&all, 31), "check db, start app, starting");
    // Unhealthy is not the end: it may recover until its start timeout.
    let ill = CheckResult { exit_code: Some(1), ..well };
    let unhealthy = checks.clone().take(check, at(0), ill.clone()).take(check, at(0), ill);
    all[0].checks = Some(&unhealthy);
    assert_eq!(say(&all, 11), "starting, wake 20");
}

#[test]
fn the_end_of_what_is_essential_is_the_end() {
    let specs =
        [essential(spec("web", &[])), spec("side", &[]), spec("late", &[("side", Condition::Success)])];
    check(&specs, &[RUNNING, RUNNING, Run::Waiting], 0, "starting, wake 10800");
    check(&specs, &[ended(5, 0), RUNNING, Run::Waiting], 5, "over");
    check(&specs, &[Run::Failed, ended(3, 0), Run::Waiting], 5, "over");
    check(&specs, &[RUNNING, ended(3, 0), ended(4, 0)], 5, "running");
    let none_essential = [spec("a", &[]), spec("b", &[])];
    check(&none_essential, &[ended(5, 0), RUNNING], 5, "running");
    check(&none_essential, &[ended(5, 0), Run::Failed], 5, "over");
}

#[test]
fn restarts() {
    let mut web = essential(spec("web", &[]));
    web.restart =
        Some(RestartPolicy { ignored_exit_codes: vec![0, 42], attempt_period: Duration::from_secs(60) });
    let specs = [web, spec("job", &[("web", Condition::Complete)])];
    let run = |web: Run| [web, Run::Waiting];
    check(&specs, &run(ended(60, 1)), 90, "restart web, starting");
    check(&specs, &run(ended(59, 1)), 90, "over");
    check(&specs, &run(ended(600, 42)), 900, "over");
    // While it is being started again it has not completed.
    check(&specs, &run(Run::Restarting), 90, "starting");
    check(&specs, &run(RUNNING), 90, "starting, wake 10800");
}

#[test]
fn stops_run_backwards() {
    let specs = [
        spec("db", &[]),
        spec("cache", &[]),
        essential(spec("web", &[("db", Condition::Healthy), ("cache", Condition::Start)])),
        spec("proxy", &[("web", Condition::Start)]),
    ];
    let stops = |runs: &[Run]| stoppable(&members(&specs, runs)).join(" ");
    assert_eq!(stops(&[RUNNING, RUNNING, RUNNING, RUNNING]), "proxy");
    assert_eq!(stops(&[RUNNING, RUNNING, RUNNING, Run::Starting]), "");
    assert_eq!(stops(&[RUNNING, RUNNING, RUNNING, Run::Failed]), "web");
    assert_eq!(stops(&[RUNNING, RUNNING, ended(1, 0), RUNNING]), "db cache proxy");
    assert_eq!(stops(&[RUNNING, ended(1, 0), ended(1, 0), ended(1, 0)]), "db");
    assert_eq!(stops(&[ended(1, 0), ended(1, 0), ended(1, 0), ended(1, 0)]), "");
    let circle = [spec("a", &[("b", Condition::Start)]), spec("b", &[("a", Condition::Start)])];
    assert_eq!(stoppable(&members(&circle, &[RUNNING, RUNNING])), ["a", "b"]);
}
