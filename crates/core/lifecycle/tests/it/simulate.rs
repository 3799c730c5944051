use std::time::Duration;

use core_lifecycle::simulate::{Directions, PlannedExit};

#[track_caller]
fn check(label: &str, expected: Result<Directions, &str>) {
    let found = Directions::parse(label).map_err(|e| e.to_string());
    assert_eq!(found, expected.map_err(String::from), "{label}");
}

fn exit(code: i32, millis: u64) -> Option<PlannedExit> {
    Some(PlannedExit { code, after: Duration::from_millis(millis) })
}

#[test]
fn directions() {
    check("", Ok(Directions::default()));
    check("exit=3 after=10s", Ok(Directions { exit: exit(3, 10_000), ..Default::default() }));
    check("exit=0", Ok(Directions { exit: exit(0, 0), ..Default::default() }));
    check(
        "unhealthy after=5s",
        Ok(Directions { unhealthy_after: Some(Duration::from_secs(5)), ..Default::default() }),
    );
    check(
        "cpu=80 memory=60 unhealthy after=2m exit=1 after=1500ms",
        Ok(Directions {
            exit: exit(1, 1500),
            unhealthy_after: Some(Duration::from_secs(120)),
            cpu_percent: Some(80),
            memory_percent: Some(60),
        }),
    );
}

#[test]
fn what_is_no_direction_is_named() {
    check("exit=256", Err("boxship.simulate: 'exit=256' is not an exit code (0 to 255)"));
    check("exit=1 exit=2", Err("boxship.simulate: 'exit=2' is given twice"));
    check("after=1s", Err("boxship.simulate: 'after=1s' belongs behind 'exit=…' or 'unhealthy'"));
    check("cpu=1 after=1s", Err("boxship.simulate: 'cpu=1' takes no 'after'"));
    check("cpu=-1", Err("boxship.simulate: 'cpu=-1' is not a percentage (0 to 10000)"));
    check("explode", Err("boxship.simulate: 'explode' is not a direction"));
    for bad in ["", "1", "s", "1d", "-1s", "99999999999999999999s", "9000h", "1é"] {
        let text = format!("boxship.simulate: 'after={bad}' is not a duration such as 500ms, 10s, 5m or 2h");
        check(&format!("unhealthy after={bad}"), Err(&text));
    }
}
