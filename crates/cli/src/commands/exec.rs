//! `boxship exec TASK [COMMAND …]`: a program in a running container. No plugin is needed.

use std::io::{ErrorKind, IsTerminal, Read, Write};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::process::ExitCode;
use std::task::{Context, Poll};

use anyhow::{Context as _, Result, bail};
use aws_ecs::op::ExecuteCommand;
use aws_ecs::{ExecuteCommandRequest, ExecuteCommandResponse, Task};
use base::{Chance, Secret, clock};
use bytes::Bytes;
use clap::Args;
use rustix::event::{PollFd, PollFlags};
use session::protocol::{CHUNK, Size};
use session::{AttachError, Ended, Grant, Local, attach, words};
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};

use super::find;
use crate::client::{Client, refused_with};
use crate::screen::RawTerminal;

/// AWS: what `aws ecs execute-command` is given by everybody.
const SHELL: &str = "/bin/sh";
/// Pieces of input that wait to be sent.
const TYPED: usize = 64;
/// What a shell answers for a program that cannot be run, is not there, or wrote to nobody.
const NOT_RUN: u8 = 126;
const NOT_THERE: u8 = 127;
const NOBODY_READS: u8 = 141;
/// The session broke: as ssh has it.
const BROKEN: u8 = 255;
/// Ended by SIGTERM.
const TERMINATED: u8 = 143;
const ENABLE: &str = "Run the task anew with --enable-execute-command and a task role \
                      (a service: update-service --enable-execute-command --force-new-deployment). \
                      Tasks of `boxship run` have it";

#[derive(Debug, Args)]
pub struct ExecArgs {
    /// A task's id, the beginning of one, its ARN, or a family with one running task
    task: String,
    /// What to run, and its arguments [default: /bin/sh]
    #[arg(trailing_var_arg = true)]
    command: Vec<String>,
    /// The container [default: the task's only one]
    #[arg(long, short)]
    container: Option<String>,
    /// The task's cluster [default: search all]
    #[arg(long)]
    cluster: Option<String>,
    /// With a terminal [default: where input and output are one]
    #[arg(long, short = 't', overrides_with = "no_tty")]
    tty: bool,
    /// Without a terminal: output and errors stay apart, and the input has an end
    #[arg(long, short = 'T')]
    no_tty: bool,
    /// Leave the input alone
    #[arg(long, short = 'n')]
    no_stdin: bool,
}

impl ExecArgs {
    fn is_terminal(&self) -> bool {
        let is_usual = std::io::stdin().is_terminal() && std::io::stdout().is_terminal() && !self.no_stdin;
        !self.no_tty && (self.tty || is_usual)
    }
}

/// Runs the program; answers with its exit code.
pub async fn run(client: &Client, args: ExecArgs) -> Result<ExitCode> {
    let is_terminal = args.is_terminal();
    let grant = grant(client, &args).await?;
    let address = client.address();
    let stream = TcpStream::connect(address).await.with_context(|| format!("{address} does not answer"))?;
    let _ = stream.set_nodelay(true);
    // From here on, every way out gives the terminal back.
    let raw = if is_terminal { RawTerminal::enter() } else { None };
    let size = is_terminal.then(sizes).transpose()?;
    let input = if args.no_stdin { mpsc::channel(1).1 } else { input() };
    let local = Local { input, output: Direct(std::io::stdout()), errors: Direct(std::io::stderr()), size };
    let seed = clock::wall().as_micros() as u64 ^ u64::from(std::process::id()) << 40;
    let mut terminated = signal(SignalKind::terminate())?;
    let ended = tokio::select! {
        ended = attach(stream, grant, local, Chance::new(seed)) => ended,
        _ = terminated.recv() => {
            drop(raw);
            return Ok(ExitCode::from(TERMINATED));
        }
    };
    drop(raw);
    outcome(ended)
}

fn outcome(ended: Result<Ended, AttachError>) -> Result<ExitCode> {
    match ended {
        Ok(Ended { exit_code, why }) => {
            if !why.is_empty() {
                // The plugin's users know the line; it is no news to anybody else.
                eprintln!("boxship: {}", why.trim_start_matches("----------ERROR-------\n"));
            }
            let unknown = if why.is_empty() { BROKEN } else { not_run(&why) };
            Ok(ExitCode::from(exit_code.map_or(unknown, |code| u8::try_from(code).unwrap_or(BROKEN))))
        }
        Err(AttachError::Output(_)) => Ok(ExitCode::from(NOBODY_READS)),
        Err(AttachError::Broken) => {
            eprintln!("the connection to the session broke. `boxship status` says whether the server runs");
            Ok(ExitCode::from(BROKEN))
        }
        Err(error) => Err(error.into()),
    }
}

/// The exit code of a program that did not run.
fn not_run(why: &str) -> u8 {
    let why = why.to_ascii_lowercase();
    if !why.contains("unable to start command") {
        BROKEN
    } else if why.contains("no such file") || why.contains("not found") {
        NOT_THERE
    } else {
        NOT_RUN
    }
}

/// Asks for a session, and says what to do where there is none to be had.
async fn grant(client: &Client, args: &ExecArgs) -> Result<Grant> {
    let (cluster, task) = find::find(client, &args.task, args.cluster.as_deref()).await?;
    let id = find::id(&task).to_owned();
    let status = task.last_status.as_deref().unwrap_or_default();
    if status != "RUNNING" {
        bail!("task {id} is {status}: a command runs in a running task. `boxship ps` lists those");
    }
    let container = container(&task, args.container.as_deref())?;
    if task.enable_execute_command != Some(true) {
        bail!("task {id} was not run with execute command enabled. {ENABLE}");
    }
    let command = if args.command.is_empty() { SHELL.to_owned() } else { words::join(&args.command) };
    let request = ExecuteCommandRequest {
        cluster: Some(cluster),
        container: Some(container.clone()),
        command,
        interactive: true,
        task: task.task_arn.clone().unwrap_or_default(),
    };
    let answer = match client.call::<ExecuteCommand>(request).await {
        Err(error) if refused_with(&error, "InvalidParameterException") => {
            // Task and container are as they should be: it is not up yet, or not any more.
            return Err(error.context(format!("container {container} of task {id} takes no command now")));
        }
        other => other?,
    };
    granted(answer).context("ExecuteCommand answered without a session")
}

fn granted(answer: ExecuteCommandResponse) -> Option<Grant> {
    let session = answer.session?;
    let token = Secret::new(session.token_value?);
    Some(Grant { session: session.session_id?, stream_url: session.stream_url?, token })
}

fn container(task: &Task, named: Option<&str>) -> Result<String> {
    let names: Vec<&str> =
        task.containers.iter().flatten().filter_map(|container| container.name.as_deref()).collect();
    match (named, names.as_slice()) {
        (None, [only]) => Ok((*only).to_owned()),
        (None, _) => bail!("the task has several containers, choose one with -c: {}", names.join(", ")),
        (Some(name), names) if names.contains(&name) => Ok(name.to_owned()),
        (Some(name), names) => bail!("the task has no container {name}, only: {}", names.join(", ")),
    }
}

/// A stream that is written at once. Who reads it slowly stops the session meanwhile, and that is
/// all that this process does.
struct Direct<W>(W);

impl<W: Write + AsFd + Unpin> AsyncWrite for Direct<W> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        loop {
            match self.0.write(bytes) {
                // Somebody else made the stream so.
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    rustix::event::poll(&mut [PollFd::new(&self.0, PollFlags::OUT)], None)?;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                written => return Poll::Ready(written),
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(self.0.flush())
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        self.poll_flush(context)
    }
}

/// What is typed or piped in. The thread ends with the process: nothing can wake it.
fn input() -> mpsc::Receiver<Bytes> {
    let (sender, typed) = mpsc::channel(TYPED);
    std::thread::spawn(move || {
        let mut stdin = std::io::stdin().lock();
        let mut piece = [0; CHUNK];
        while let Ok(length) = stdin.read(&mut piece) {
            if length == 0 || sender.blocking_send(Bytes::copy_from_slice(&piece[..length])).is_err() {
                return;
            }
        }
    });
    typed
}

/// The terminal's size, now and as it changes.
fn sizes() -> Result<watch::Receiver<Size>> {
    let (sender, sizes) = watch::channel(size());
    let mut changed = signal(SignalKind::window_change())?;
    tokio::spawn(async move { while changed.recv().await.is_some() && sender.send(size()).is_ok() {} });
    Ok(sizes)
}

fn size() -> Size {
    let told = rustix::termios::tcgetwinsize(std::io::stdout()).ok();
    let told = told.filter(|size| size.ws_col > 0 && size.ws_row > 0);
    told.map_or(Size { cols: 80, rows: 24 }, |size| Size {
        cols: size.ws_col.into(),
        rows: size.ws_row.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(names: &[&str]) -> Task {
        let container =
            |name: &&str| aws_ecs::Container { name: Some((*name).to_owned()), ..Default::default() };
        Task {
            task_arn: Some(String::from("arn:aws:ecs:us-east-1:000000000000:task/demo/0123abcd")),
            task_definition_arn: Some(String::from(
                "arn:aws:ecs:us-east-1:000000000000:task-definition/web:3",
            )),
            containers: Some(names.iter().map(container).collect()),
            ..Default::default()
        }
    }

    #[test]
    fn one_container_needs_no_name() {
        assert_eq!(container(&task(&["app"]), None).unwrap(), "app");
        assert_eq!(container(&task(&["app", "side"]), Some("side")).unwrap(), "side");
        let text = container(&task(&["app", "side"]), None).unwrap_err().to_string();
        assert!(text.contains("-c: app, side"), "{text}");
        let text = container(&task(&["app"]), Some("web")).unwrap_err().to_string();
        assert!(text.contains("no container web, only: app"), "{text}");
    }

    #[test]
    fn tasks_go_by_id_and_family() {
        assert_eq!(find::id(&task(&[])), "0123abcd");
        assert_eq!(find::family(&task(&[])), "web");
    }

    #[test]
    fn what_did_not_run_has_a_shells_exit_code() {
        let start = "----------ERROR-------\nUnable to start command: ";
        assert_eq!(not_run(&format!("{start}exec bash: No such file or directory")), NOT_THERE);
        assert_eq!(not_run(&format!("{start}exec /etc/passwd: Permission denied")), NOT_RUN);
        assert_eq!(not_run("The session has been idle for 20 minutes."), BROKEN);
    }
}
