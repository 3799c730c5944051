//! `boxship down`: every task and the server, also when the server has died. While a server
//! answers, tasks end as StopTask ends them; otherwise, and with `--now`, they are killed.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use cli::{Place, RunFile};
use runtime::{Limits, Runtime};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use store::{Backend, BackendError};
use store_sqlite::Sqlite;

use crate::host::Places;

/// Longer than the server gives requests under way.
const PATIENCE: Duration = Duration::from_secs(40);
const POLL: Duration = Duration::from_millis(20);

#[derive(Debug, clap::Args)]
pub struct DownArgs {
    /// Kill the tasks: no stop signal, no time to end in order
    #[arg(long)]
    now: bool,
}

pub async fn run(place: &Place, args: &DownArgs) -> Result<ExitCode> {
    let data_dir = place.data_dir();
    let Ok(data_dir) = data_dir.canonicalize() else {
        println!("nothing to stop: {} does not exist", data_dir.display());
        return Ok(ExitCode::SUCCESS);
    };
    let records = data_dir.join("records.db");
    if !records.exists() {
        println!("nothing to stop: no server has ever used {}", data_dir.display());
        return Ok(ExitCode::SUCCESS);
    }
    let mut backend =
        Sqlite::open(&records).with_context(|| format!("{} cannot be opened", data_dir.display()))?;
    // The lock says for certain whether there is a server. Without one, the process id in the file
    // of one that died may be anybody's by now. Any other trouble with the records (a full disk)
    // keeps nobody from ending tasks.
    if let Err(BackendError::Held { .. }) = backend.hold_lease() {
        if let Some(run) = RunFile::read(&data_dir) {
            if !args.now {
                end_tasks(&run).await;
            }
            end_server(&run, &data_dir).await?;
        }
        backend.hold_lease().with_context(|| format!("{} is still in use", data_dir.display()))?;
    }
    end_proxy(&data_dir).await?;
    let places = Places::of(&data_dir);
    if rustix::process::geteuid().is_root() && places.tasks.exists() {
        let runtime = places.linux(Limits::Advisory, None)?;
        runtime.down().await.context("not every task could be ended")?;
        runtime.close().await;
        if places.run.exists() {
            let vpcs = places.vpcs(0)?;
            vpcs.down().await.context("not every network could be removed")?;
        }
    }
    drop(backend);
    RunFile::remove(&data_dir);
    println!("stopped; the data stays in {}", data_dir.display());
    Ok(ExitCode::SUCCESS)
}

/// Gives tasks their stop signal and their time. A server that does not answer is ended anyway,
/// and its tasks with it.
async fn end_tasks(run: &RunFile) {
    let steps = cli::Steps::new(false);
    steps.now("ending the tasks, each with its stop timeout (--now kills them)");
    let nothing = serde_json::Value::Object(serde_json::Map::new());
    let answer = cli::post(run.listen, "/_boxship/stop", &nothing).await;
    steps.end();
    match answer {
        Ok(answer) if answer.status().is_success() => {}
        Ok(answer) => eprintln!("the server does not end its tasks ({}): they are killed", answer.status()),
        Err(error) => eprintln!("the server does not end its tasks ({error:#}): they are killed"),
    }
}

async fn end_server(run: &RunFile, data_dir: &Path) -> Result<()> {
    if !is_ours(run.pid, b"up") {
        return Ok(());
    }
    end(run.pid).await.with_context(|| {
        let log = data_dir.join("boxship.log");
        format!("the server (process {}) does not end; see {}", run.pid, log.display())
    })
}

/// A proxy of its own goes on without a server, but not without networks.
async fn end_proxy(data_dir: &Path) -> Result<()> {
    match crate::balancers::running(data_dir) {
        Some(pid) if is_ours(pid, b"proxy") => {
            end(pid).await.with_context(|| format!("the proxy (process {pid}) does not end"))
        }
        _ => Ok(()),
    }
}

/// Asks a process to end, and waits until it has.
async fn end(process: u32) -> Result<()> {
    let Some(pid) = i32::try_from(process).ok().and_then(Pid::from_raw) else { return Ok(()) };
    if test_kill_process(pid).is_err() {
        return Ok(());
    }
    kill_process(pid, Signal::TERM).context("it takes no signal")?;
    let patience = tokio::time::sleep(PATIENCE);
    tokio::pin!(patience);
    while test_kill_process(pid).is_ok() && !is_gone(process) {
        tokio::select! {
            () = &mut patience => bail!("it was given {PATIENCE:?}"),
            () = tokio::time::sleep(POLL) => {}
        }
    }
    Ok(())
}

/// The process id may be another program's by now.
fn is_ours(pid: u32, command: &[u8]) -> bool {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    line.split(|byte| *byte == 0).any(|argument| argument == command)
}

/// Ended, and only its parent has not noticed.
fn is_gone(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z'))
}
