//! Processes that enter a container.

use std::time::Duration;

use core_lifecycle::Namespace;
use runtime::{Exec, ExecPlan, Linux, RuntimeError, Signal, TaskSandbox, TerminalSize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::fixture::{Fixture, TASK, linux, linux_with, options};

/// A container that stays.
async fn sleeping(fixture: &Fixture) {
    fixture.runtime.create_sandbox(fixture.sandbox()).await.unwrap();
    let mut plan = fixture.plan("main", "echo up; exec sleep 1000");
    plan.environment.insert("COLOR".to_owned(), "blue".to_owned());
    plan.working_directory = Some("/srv".to_owned());
    fixture.runtime.start_container(TASK, plan).await.unwrap();
}

fn plan(script: &str) -> ExecPlan {
    let command = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
    ExecPlan { command, ..ExecPlan::default() }
}

async fn all(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    String::from_utf8(bytes).unwrap()
}

/// Runs to the end: exit code, output, errors.
async fn run(fixture: &Fixture, plan: ExecPlan) -> (i32, String, String) {
    let Exec { mut output, errors, control, .. } = fixture.runtime.exec(TASK, "main", plan).await.unwrap();
    let output = all(&mut output).await;
    let errors = match errors {
        Some(mut errors) => all(&mut errors).await,
        None => String::new(),
    };
    (control.wait().await.unwrap(), output, errors)
}

async fn it_is_as_the_containers_own(fixture: Fixture) {
    sleeping(&fixture).await;
    let script = "echo $COLOR $PWD $HOME; hostname; id -u; cat /proc/1/cmdline | tr '\\0' ' '; echo; \
                  grep -E 'CapBnd|CapEff|Seccomp:|NoNewPrivs' /proc/self/status /proc/1/status | \
                  sed 's/.*status://' | sort | uniq -c | awk '{print $1}'; echo error >&2; exit 7";
    let (code, output, errors) = run(&fixture, plan(script)).await;
    assert_eq!((code, errors.as_str()), (7, "error\n"));
    assert_eq!(output, "blue /srv /root\nip-10-0-0-7\n0\nsleep 1000 \n2\n2\n2\n2\n");
    let other = ExecPlan { user: Some("web".to_owned()), ..plan("id; echo $HOME") };
    let (_, output, _) = run(&fixture, other).await;
    assert_eq!(output, "uid=33(web) gid=34(web) groups=34(web),50(logs)\n/srv\n");
    let (code, ..) = run(&fixture, plan("kill -9 $$")).await;
    assert_eq!(code, 137);
    fixture.end().await;
}

#[tokio::test]
async fn it_is_as_the_containers_own_with_our_launcher() {
    let Some(fixture) = linux() else { return };
    it_is_as_the_containers_own(fixture).await;
}

#[tokio::test]
async fn runc_enters_its_own_containers() {
    let runc = ["/usr/sbin/runc", "/usr/bin/runc"].into_iter().find(|p| std::path::Path::new(p).exists());
    let Some(runc) = runc else { return eprintln!("left out: runc") };
    let Some(fixture) = linux_with(Some(runc)) else { return };
    sleeping(&fixture).await;
    let (code, output, errors) = run(&fixture, plan("echo $COLOR $PWD; echo error >&2; exit 7")).await;
    assert_eq!((code, output.as_str(), errors.as_str()), (7, "blue /srv\n", "error\n"));
    let other = ExecPlan { user: Some("web".to_owned()), ..plan("id -u; echo $HOME") };
    assert_eq!(run(&fixture, other).await.1, "33\n/srv\n");
    let size = TerminalSize { columns: 100, rows: 30 };
    let (code, output, _) = run(&fixture, ExecPlan { terminal: Some(size), ..plan("stty size; tty") }).await;
    assert_eq!((code, output.as_str()), (0, "30 100\r\n/dev/pts/0\r\n"));
    let missing = ExecPlan { command: vec!["nope".to_owned()], ..ExecPlan::default() };
    let failed = fixture.runtime.exec(TASK, "main", missing).await.err();
    assert!(matches!(failed, Some(RuntimeError::Program { code: 127, .. })), "{failed:?}");
    fixture.end().await;
}

#[tokio::test]
async fn what_cannot_be_run_is_said() {
    let Some(fixture) = linux() else { return };
    sleeping(&fixture).await;
    std::fs::write(fixture.layer.join("etc/text"), "no program").unwrap();
    let fails = async |program: &str| {
        let plan = ExecPlan { command: vec![program.to_owned()], ..ExecPlan::default() };
        match fixture.runtime.exec(TASK, "main", plan).await.err() {
            Some(RuntimeError::Program { code, text }) => (code, text),
            other => panic!("{other:?}"),
        }
    };
    let missing = "exec: \"nope\": executable file not found in $PATH".to_owned();
    assert_eq!(fails("nope").await, (127, missing));
    assert_eq!(
        fails("/nope").await,
        (127, "exec: \"/nope\": stat /nope: no such file or directory".to_owned())
    );
    assert_eq!(fails("/etc/passwd").await, (126, "exec: \"/etc/passwd\": permission denied".to_owned()));
    let unknown = fixture.runtime.exec(TASK, "other", plan("true")).await.err();
    assert!(matches!(unknown, Some(RuntimeError::NoContainer(_))), "{unknown:?}");
    let nobody = ExecPlan { user: Some("nobody-here".to_owned()), ..plan("true") };
    let nobody = fixture.runtime.exec(TASK, "main", nobody).await.err();
    assert!(matches!(nobody, Some(RuntimeError::Plan(_))), "{nobody:?}");
    fixture.runtime.stop(TASK, "main", Signal::KILL, Duration::ZERO).await.unwrap();
    let ended = fixture.runtime.exec(TASK, "main", plan("true")).await.err();
    assert!(matches!(ended, Some(RuntimeError::NotRunning(_))), "{ended:?}");
    fixture.end().await;
}

#[tokio::test]
async fn input_ends_when_it_is_closed() {
    let Some(fixture) = linux() else { return };
    sleeping(&fixture).await;
    let plan = ExecPlan { has_input: true, ..plan("cat; echo end") };
    let mut exec = fixture.runtime.exec(TASK, "main", plan).await.unwrap();
    let mut input = exec.input.take().unwrap();
    input.write_all(b"one\ntwo\n").await.unwrap();
    drop(input);
    assert_eq!(all(&mut exec.output).await, "one\ntwo\nend\n");
    assert_eq!(exec.control.wait().await.unwrap(), 0);
    fixture.end().await;
}

/// Reads until `text` has appeared.
async fn until(stream: &mut (impl tokio::io::AsyncRead + Unpin), text: &str) -> String {
    let mut seen = String::new();
    while !seen.contains(text) {
        let mut bytes = [0; 1024];
        let got = stream.read(&mut bytes).await.unwrap();
        assert!(got > 0, "it ended before {text:?}: {seen:?}");
        seen.push_str(std::str::from_utf8(&bytes[..got]).unwrap());
    }
    seen
}

#[tokio::test]
async fn a_terminal_has_a_size_and_a_keyboard() {
    let Some(fixture) = linux() else { return };
    sleeping(&fixture).await;
    let size = TerminalSize { columns: 100, rows: 30 };
    // A signal with a trap ends a read.
    let script = "stty size; tty; echo $TERM; trap 'stty size' WINCH; \
                  while :; do read line && echo got $line; done";
    let plan = ExecPlan { terminal: Some(size), has_input: true, ..plan(script) };
    let mut exec = fixture.runtime.exec(TASK, "main", plan).await.unwrap();
    let seen = until(&mut exec.output, "xterm\r\n").await;
    assert_eq!(seen, "30 100\r\n/dev/pts/0\r\nxterm\r\n");
    let mut input = exec.input.take().unwrap();
    input.write_all(b"hello\r").await.unwrap();
    until(&mut exec.output, "got hello\r\n").await;
    exec.control.resize(TerminalSize { columns: 40, rows: 10 });
    input.write_all(b"again\r").await.unwrap();
    until(&mut exec.output, "10 40\r\n").await;
    // Interrupted as a shell is, by the keyboard.
    input.write_all(b"\x03").await.unwrap();
    assert_eq!(exec.control.wait().await.unwrap(), 130);
    fixture.end().await;
}

#[tokio::test]
async fn ten_at_once() {
    let Some(fixture) = linux() else { return };
    sleeping(&fixture).await;
    let runs = (0..10).map(|n| {
        let runtime = &fixture.runtime;
        async move {
            let plan = ExecPlan { has_input: true, ..plan("read word; echo $word; exit $word") };
            let mut exec = runtime.exec(TASK, "main", plan).await.unwrap();
            exec.input.take().unwrap().write_all(format!("{n}\n").as_bytes()).await.unwrap();
            assert_eq!(all(&mut exec.output).await, format!("{n}\n"));
            assert_eq!(exec.control.wait().await.unwrap(), n);
        }
    });
    // All of them are under way before the first has ended.
    let mut left: Vec<_> = runs.map(Box::pin).collect();
    std::future::poll_fn(|context| {
        left.retain_mut(|run| run.as_mut().poll(context).is_pending());
        if left.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    drop(left);
    fixture.end().await;
}

#[tokio::test]
async fn a_kill_reaches_what_the_shell_started() {
    let Some(fixture) = linux() else { return };
    sleeping(&fixture).await;
    let mut exec = fixture.runtime.exec(TASK, "main", plan("sleep 1000; echo over")).await.unwrap();
    exec.control.signal(Signal::KILL);
    assert_eq!(exec.control.wait().await.unwrap(), 137);
    // Nobody holds the stream any more, the sleeper included.
    assert_eq!(all(&mut exec.output).await, "");
    exec.control.signal(Signal::KILL);
    fixture.end().await;
}

#[tokio::test]
async fn it_ends_with_its_container() {
    let Some(fixture) = linux() else { return };
    sleeping(&fixture).await;
    let exec = fixture.runtime.exec(TASK, "main", plan("exec sleep 1000")).await.unwrap();
    fixture.runtime.stop(TASK, "main", Signal::KILL, Duration::ZERO).await.unwrap();
    assert_eq!(exec.control.wait().await.unwrap(), 137);
    fixture.end().await;
}

#[tokio::test]
async fn removal_does_not_wait_for_it() {
    let Some(fixture) = linux() else { return };
    sleeping(&fixture).await;
    let exec = fixture.runtime.exec(TASK, "main", plan("exec sleep 1000")).await.unwrap();
    fixture.runtime.remove_sandbox(TASK).await.unwrap();
    // Its exit was told, or the connection is over.
    let _ = exec.control.wait().await;
    fixture.end().await;
}

/// What runs in a control group of the task's container.
fn processes(fixture: &Fixture) -> usize {
    let hierarchies = launch::cgroup::Hierarchies::detect().unwrap();
    let group = options(fixture.dir.path(), None).cgroup.join(TASK).join("main");
    launch::cgroup::Cgroup::open(&hierarchies, &group).unwrap().processes().unwrap().len()
}

#[tokio::test]
async fn it_ends_with_its_server_and_the_container_goes_on() {
    let Some(mut fixture) = linux() else { return };
    let dir = fixture.dir.path().to_path_buf();
    sleeping(&fixture).await;
    // Deaf to the end of its streams and to the terminal's.
    let stubborn = plan("trap '' HUP; sleep 1000; sleep 1000");
    let size = TerminalSize { columns: 80, rows: 24 };
    let on_terminal = ExecPlan { terminal: Some(size), has_input: true, ..stubborn.clone() };
    let first = fixture.runtime.exec(TASK, "main", stubborn).await.unwrap();
    let second = fixture.runtime.exec(TASK, "main", on_terminal).await.unwrap();
    assert!(processes(&fixture) >= 3);
    fixture.runtime.close().await;
    drop((first, second));
    fixture.runtime = Box::new(Linux::open(options(&dir, None)).unwrap());
    let records = fixture.runtime.list().await.unwrap();
    assert_eq!(records[0].container("main").unwrap().exit, None);
    while processes(&fixture) > 1 {
        tokio::task::yield_now().await;
    }
    let (code, ..) = run(&fixture, plan("exit 3")).await;
    assert_eq!(code, 3);
    fixture.end().await;
}

/// With a small first process of ours, and with namespaces that the task's containers share.
#[tokio::test]
async fn whatever_the_first_process_is() {
    let Some(fixture) = linux() else { return };
    let sandbox = TaskSandbox { pid_mode: Namespace::Task, ipc_mode: Namespace::Task, ..fixture.sandbox() };
    fixture.runtime.create_sandbox(sandbox).await.unwrap();
    let mut with_init = fixture.plan("main", "echo $$ > /mine; exec sleep 1000");
    with_init.linux.has_init = true;
    with_init.linux.is_privileged = true;
    fixture.runtime.start_container(TASK, with_init).await.unwrap();
    fixture.runtime.start_container(TASK, fixture.plan("other", "exec sleep 2000")).await.unwrap();
    let script = "tr '\\0' ' ' < /proc/$(cat /mine)/cmdline; \
                  cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -c 'sleep 2000'; grep CapEff /proc/self/status";
    let (code, output, errors) = loop {
        let ran = run(&fixture, plan(script)).await;
        // It may not have written its number yet.
        if ran.1.contains("sleep 1000") {
            break ran;
        }
    };
    assert_eq!((code, output.lines().next()), (0, Some("sleep 1000 1")), "{output}{errors}");
    let full = std::fs::read_to_string("/proc/self/status").unwrap();
    let full = full.lines().find(|line| line.starts_with("CapEff")).unwrap();
    assert!(output.contains(full), "privileged, as its container: {output}");
    fixture.end().await;
}
