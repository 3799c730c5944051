//! A bound on what a task writes.

use std::path::Path;

use runtime::{MountPlan, MountSource, TaskSandbox};

use crate::fixture::{Fixture, TASK, linux};
use crate::settings::run;

/// A machine whose storage can be bounded.
fn with_disks() -> Option<Fixture> {
    let means = ["/usr/sbin/mkfs.ext4", "/dev/loop-control"];
    if let Some(missing) = means.iter().find(|path| !Path::new(path).exists()) {
        eprintln!("left out: storage with a bound ({missing} is not there)");
        return None;
    }
    linux()
}

fn bounded(fixture: &Fixture, gib: u32) -> TaskSandbox {
    TaskSandbox { storage_gib: Some(gib), ..fixture.sandbox() }
}

/// Images of loop devices that lie in this directory.
fn images(dir: &Path) -> Vec<String> {
    let devices = std::fs::read_dir("/sys/block").unwrap().flatten();
    let files =
        devices.filter_map(|entry| std::fs::read_to_string(entry.path().join("loop/backing_file")).ok());
    files.filter(|file| file.starts_with(dir.to_str().unwrap())).collect()
}

fn task(name: &str, target: &str) -> MountPlan {
    MountPlan { source: MountSource::Task(name.to_owned()), target: target.to_owned(), is_read_only: false }
}

#[tokio::test]
async fn a_full_disk_is_the_tasks_own() {
    let Some(fixture) = with_disks() else { return };
    fixture.runtime.create_sandbox(bounded(&fixture, 1)).await.unwrap();
    // What the root, a volume and another container write counts together.
    let script = "exec 2>&1; df -k / | tail -n 1; fallocate -l 400M /a && fallocate -l 400M /v/b && echo both; \
                  fallocate -l 400M /c || echo full; rm /c";
    let (_, output) = run(&fixture, "first", script, |plan| plan.mounts = vec![task("v", "/v")]).await;
    assert!(output.contains("both\n") && output.contains("No space left on device\n"), "{output}");
    assert!(output.ends_with("full\n"), "{output}");
    let (_, output) = run(
        &fixture,
        "second",
        "exec 2>&1; fallocate -l 400M /d || echo full; rm /d; echo x > /x && echo small",
        |_| {},
    )
    .await;
    assert!(output.contains("full\nsmall\n"), "{output}");
    // Nor does it get past its bound through the files that we give it; what they say stays.
    let script = "exec 2>&1; cp /etc/hosts /was; dd if=/dev/zero bs=1M count=1100 >> /etc/hosts || echo full; \
                  head -c $(wc -c < /was) /etc/hosts | cmp - /was && echo same";
    let (_, output) = run(&fixture, "third", script, |_| {}).await;
    assert!(output.contains("full\n") && output.ends_with("same\n"), "{output}");
    let dir = fixture.dir.path().to_owned();
    assert!(images(&dir).iter().any(|image| image.trim_end().ends_with("disk.img")), "{:?}", images(&dir));
    fixture.runtime.remove_sandbox(TASK).await.unwrap();
    assert!(!dir.join("tasks").join(TASK).join("disk.img").exists());
    fixture.end().await;
    until_released(&dir).await;
}

/// The kernel releases a device when the last process with the mount is gone, by and by.
async fn until_released(dir: &Path) {
    while !images(dir).is_empty() {
        tokio::task::yield_now().await;
    }
}

/// As on Fargate, whose tasks find theirs made ahead.
#[tokio::test]
async fn the_default_size_made_ahead_or_not() {
    let Some(fixture) = with_disks() else { return };
    let dir = fixture.dir.path().to_owned();
    fixture.runtime.list().await.unwrap();
    // One that waits has an image already, which has no name.
    while images(&dir).is_empty() {
        tokio::task::yield_now().await;
    }
    for _ in 0..3 {
        fixture.runtime.create_sandbox(bounded(&fixture, 20)).await.unwrap();
        let script = "df -k / | tail -n 1; echo x > /etc/x && cat /etc/x";
        let (code, output) = run(&fixture, "main", script, |_| {}).await;
        let kib: u64 = output.split_whitespace().nth(1).unwrap().parse().unwrap();
        let log = std::fs::read_to_string(dir.join("tasks").join(TASK).join("shim.log")).unwrap();
        assert!((19 << 20..=20 << 20).contains(&kib), "{output}{log}");
        assert_eq!(code, 0, "{output}");
        assert!(dir.join("tasks").join(TASK).join("disk.img").exists());
        fixture.runtime.remove_sandbox(TASK).await.unwrap();
        fixture.runtime.forget(TASK).await.unwrap();
    }
    fixture.end().await;
    until_released(&dir).await;
}

#[tokio::test]
async fn a_killed_shim_keeps_no_device() {
    let Some(fixture) = with_disks() else { return };
    let dir = fixture.dir.path().to_owned();
    fixture.runtime.create_sandbox(bounded(&fixture, 1)).await.unwrap();
    let mut events = fixture.runtime.events(TASK);
    let script = "echo run >> /runs; cat /runs; test $(grep -c run /runs) = 2 || exec sleep 1000";
    let record = fixture.runtime.start_container(TASK, fixture.plan("main", script)).await.unwrap();
    fixture.runtime.output(TASK, "main", Default::default()).await.unwrap();
    let status = std::fs::read_to_string(format!("/proc/{}/status", record.pid)).unwrap();
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap().trim().parse().unwrap();
    let shim = rustix::process::Pid::from_raw(parent).unwrap();
    rustix::process::kill_process(shim, rustix::process::Signal::KILL).unwrap();
    while !matches!(events.recv().await.expect("the loss is told"), runtime::Event::SandboxLost { .. }) {}
    // Its files are there for another shim.
    fixture.runtime.restart_container(TASK, "main").await.unwrap();
    while !matches!(events.recv().await.expect("it ends"), runtime::Event::Exited { .. }) {}
    assert_eq!(fixture.output("main").await, "run\nrun\nrun\n");
    fixture.runtime.remove_sandbox(TASK).await.unwrap();
    fixture.end().await;
    until_released(&dir).await;
}

#[tokio::test]
async fn what_is_not_there_is_said() {
    let Some(fixture) = with_disks() else { return };
    let disks = fixture.dir.path().join("disks");
    // An image that is none: the host cannot bound the task.
    std::fs::create_dir(&disks).unwrap();
    std::fs::write(disks.join("21-gib.ext4"), "nothing").unwrap();
    let error = fixture.runtime.create_sandbox(bounded(&fixture, 21)).await.unwrap_err();
    assert!(error.to_string().starts_with("ephemeral storage of 21 GiB: "), "{error}");
    assert!(matches!(error, runtime::RuntimeError::Limit(_)), "{error:?}");
    fixture.end().await;
}
