//! `boxship up --detach`.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use cli::{Place, RunFile};

/// A server on a large data directory takes so long at the most.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);

/// Starts this program again without `--detach`, in a process group of its own, and waits until it
/// is ready or has ended.
pub async fn run(place: &Place) -> Result<ExitCode> {
    let arguments = std::env::args_os().skip(1).filter(|argument| argument != "--detach");
    let (run, log) = start(place, arguments.collect()).await?;
    greet(&run, &log);
    Ok(ExitCode::SUCCESS)
}

/// What people see: there is no terminal for Ctrl-C.
fn greet(run: &RunFile, log: &Path) {
    let port = run.listen.port();
    println!("Boxship {} is ready on http://localhost:{port} ({} runtime)", run.version, run.runtime);
    let listen = cli::listen_option(port);
    println!("  next:  eval \"$(boxship{listen} env)\"   then   aws ecs list-clusters");
    println!("  `boxship down` ends it and all tasks; its log: {}", log.display());
}

/// Starts a server with these arguments. Answers what it says of itself, and where it logs.
pub async fn start(place: &Place, arguments: Vec<OsString>) -> Result<(RunFile, PathBuf)> {
    let data_dir = place.data_dir();
    std::fs::create_dir_all(&data_dir).with_context(|| format!("cannot make {}", data_dir.display()))?;
    let log_path = data_dir.join("boxship.log");
    let log = std::fs::OpenOptions::new().create(true).append(true).open(&log_path);
    let log = log.with_context(|| format!("cannot write {}", log_path.display()))?;
    // An earlier server's file would look like this one's.
    let before = RunFile::read(&data_dir).map(|run| run.pid);
    let mut child = Command::new(std::env::current_exe()?)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0)
        .spawn()?;
    let patience = tokio::time::sleep(PATIENCE);
    tokio::pin!(patience);
    loop {
        if let Some(status) = child.try_wait()? {
            let log = std::fs::read_to_string(&log_path).unwrap_or_default();
            let last = log.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default().to_owned();
            bail!("the server ended at once ({status}): {last}\n(see {})", log_path.display());
        }
        let run = RunFile::read(&data_dir).filter(|run| run.pid == child.id() && Some(run.pid) != before);
        if let Some(run) = run {
            let address = Place { listen: Some(run.listen), ..place.clone() }.address();
            if cli::get(address, "/_boxship/health").await.is_ok_and(|answer| answer.status().is_success()) {
                return Ok((run, log_path));
            }
        }
        tokio::select! {
            () = &mut patience => {
                bail!("the server is not ready after {} s; see {}", PATIENCE.as_secs(), log_path.display())
            }
            () = tokio::time::sleep(POLL) => {}
        }
    }
}
