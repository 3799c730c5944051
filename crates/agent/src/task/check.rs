//! One health check: a process in the container that says by its exit code whether all is well.

use std::time::Duration;

use base::clock::Clock;
use core_lifecycle::HealthCheck;
use core_lifecycle::supervision::CheckResult;
use runtime::{Exec, ExecPlan, Runtime, RuntimeError, Signal};
use tokio::io::{AsyncRead, AsyncReadExt};

/// What is kept of what it prints, as Docker does.
const KEPT_BYTES: usize = 4096;

/// What its last words may take after its end, where something that it left behind holds its
/// streams open.
const LAST_WORDS: Duration = Duration::from_millis(50);

/// Makes the check; `None` where the container is not there to be checked.
pub(super) async fn run(
    runtime: &dyn Runtime,
    clock: &Clock,
    task: &str,
    container: &str,
    check: &HealthCheck,
) -> Option<CheckResult> {
    let began_at = clock.now();
    let (exit_code, output) = match check.program() {
        None => (None, String::from("the health check names no program")),
        Some(command) => {
            let plan = ExecPlan { command, ..ExecPlan::default() };
            let mut exec = None;
            let work = async {
                let made = exec.insert(runtime.exec(task, container, plan).await?);
                Ok::<_, RuntimeError>(finish(made).await)
            };
            match tokio::time::timeout(check.timeout, work).await {
                Ok(Ok((code, output))) => (code, output),
                Ok(Err(
                    RuntimeError::NotRunning(_) | RuntimeError::NoContainer(_) | RuntimeError::NoSandbox(_),
                )) => {
                    return None;
                }
                Ok(Err(RuntimeError::Program { code, text })) => (Some(code), text),
                Ok(Err(error)) => (None, error.to_string()),
                Err(_) => {
                    if let Some(exec) = exec {
                        exec.control.signal(Signal::KILL);
                    }
                    (None, format!("Health check exceeded timeout ({:?})", check.timeout))
                }
            }
        }
    };
    Some(CheckResult { began_at, ended_at: clock.now(), exit_code, output, holds_until: None })
}

/// Waits for its end; answers its exit code and the first bytes of what it said.
async fn finish(exec: &mut Exec) -> (Option<i32>, String) {
    let (mut said, mut complained) = (Vec::new(), Vec::new());
    let Exec { output, errors, control, .. } = exec;
    let waited = {
        let read = async {
            let errors = async {
                if let Some(errors) = errors {
                    read_some(errors, &mut complained).await;
                }
            };
            tokio::join!(read_some(output, &mut said), errors);
        };
        let mut read = std::pin::pin!(read);
        let mut is_read = false;
        let mut wait = control.wait();
        let waited = loop {
            tokio::select! {
                waited = &mut wait => break waited,
                () = &mut read, if !is_read => is_read = true,
            }
        };
        if !is_read {
            // What is still held open after that says nothing any more.
            let _ = tokio::time::timeout(LAST_WORDS, read).await;
        }
        waited
    };
    said.extend(complained);
    said.truncate(KEPT_BYTES);
    let output = String::from_utf8_lossy(&said).into_owned();
    match waited {
        Ok(code) => (Some(code), output),
        Err(error) => (None, error.to_string()),
    }
}

/// Reads a stream to its end, and keeps its beginning.
async fn read_some(stream: &mut (dyn AsyncRead + Send + Unpin), kept: &mut Vec<u8>) {
    let mut buffer = [0; 1024];
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        let room = KEPT_BYTES.saturating_sub(kept.len()).min(count);
        kept.extend_from_slice(&buffer[..room]);
    }
}
