//! One task as the server sees it: its shim's connection and the newest record.

use std::fs::{DirBuilder, File, Permissions};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Weak};
use std::time::Duration;

use base::clock;
use core_lifecycle::Exit;
use launch::cgroup::{Cgroup, Hierarchies};
use tokio::sync::watch;

use super::connection::{Connection, address};
use super::{Shared, blocking, settle};
use crate::contract::{ContainerRecord, Event, OutputState, RuntimeError, SandboxPhase, SandboxRecord};
use crate::plan::{ContainerPlan, Signal, TaskSandbox};
use crate::protocol::{Answer, Call, Start};
use crate::record::{self, Keep, TaskDir, write_json};
use crate::shim::{Config, FAILED};
use crate::spool::Position;

/// A shim that has been executed answers within milliseconds; one that does not in this time
/// never will.
const SHIM_START: Duration = Duration::from_secs(20);

pub(super) struct Sandbox {
    dir: TaskDir,
    task: String,
    shared: Weak<Shared>,
    /// `None`: the shim is dead, the record final.
    connection: Option<Arc<Connection>>,
    record: watch::Sender<SandboxRecord>,
}

impl Sandbox {
    /// Starts a shim for a new task.
    pub async fn make(shared: &Arc<Shared>, dir: TaskDir, config: Config) -> Result<Arc<Self>, RuntimeError> {
        let (command, task) = (shared.options.shim.clone(), config.sandbox.task.clone());
        let at = dir.clone();
        blocking("start a shim", move || {
            lay_out(&at, &config)?;
            execute(&at, &command)
        })
        .await?;
        let made = tokio::time::timeout(SHIM_START, Sandbox::connect(shared, dir.clone(), &task)).await;
        match made {
            Ok(Ok(Some(sandbox))) => Ok(sandbox),
            Ok(Ok(None)) | Ok(Err(RuntimeError::ShimLost(_))) => Err(why(&dir)),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(RuntimeError::ShimLost("it does not answer".to_owned())),
        }
    }

    /// Finds a task again: a living shim is connected to, a dead one's record settled. `None` for
    /// a directory in which no shim ever came to work.
    pub async fn take_up(
        shared: &Arc<Shared>,
        dir: TaskDir,
        task: &str,
    ) -> Result<Option<Arc<Self>>, RuntimeError> {
        match Sandbox::connect(shared, dir.clone(), task).await {
            Ok(Some(sandbox)) => return Ok(Some(sandbox)),
            Ok(None) | Err(RuntimeError::ShimLost(_)) => {}
            Err(error) => return Err(error),
        }
        let cgroup = shared.cgroup_of(task);
        let (at, task) = (dir.clone(), task.to_owned());
        let record = blocking("settle a task", move || settle_on_disk(&at, &cgroup)).await?;
        Ok(record.map(|record| {
            let record = watch::Sender::new(record);
            Arc::new(Sandbox { dir, task, shared: Arc::downgrade(shared), connection: None, record })
        }))
    }

    async fn connect(
        shared: &Arc<Shared>,
        dir: TaskDir,
        task: &str,
    ) -> Result<Option<Arc<Self>>, RuntimeError> {
        let opened = Connection::open(&dir).await.map_err(|e| RuntimeError::host("reach the shim", e))?;
        let Some((connection, reader)) = opened else { return Ok(None) };
        let connection = Arc::new(connection);
        // Filled by the first answer, before anybody sees it.
        let empty = SandboxRecord {
            sandbox: TaskSandbox::empty(task),
            phase: SandboxPhase::Ready,
            containers: Vec::new(),
        };
        let sandbox = Arc::new(Sandbox {
            dir,
            task: task.to_owned(),
            shared: Arc::downgrade(shared),
            connection: Some(connection.clone()),
            record: watch::Sender::new(empty),
        });
        let listening = sandbox.clone();
        shared.spawn(async move {
            connection.receive(reader, |event| listening.take_in(event)).await;
            listening.lose().await;
        });
        match sandbox.call(Call::State).await? {
            Answer::State(record) => sandbox.record.send_replace(record),
            _ => return Err(unexpected()),
        };
        Ok(Some(sandbox))
    }

    pub fn record(&self) -> SandboxRecord {
        self.record.borrow().clone()
    }

    async fn call(&self, call: Call) -> Result<Answer, RuntimeError> {
        match &self.connection {
            Some(connection) => connection.call(call).await,
            None => Err(RuntimeError::ShimLost("it ended".to_owned())),
        }
    }

    fn tell(&self, event: Event) {
        if let Some(shared) = self.shared.upgrade() {
            shared.listeners.tell(&self.task, event);
        }
    }

    fn take_in(&self, event: Event) {
        if let Event::Exited { container, exit } = &event {
            self.record.send_modify(|record| {
                if let Some(known) = record.containers.iter_mut().find(|c| c.name == *container) {
                    known.exit.get_or_insert_with(|| exit.clone());
                }
            });
        }
        self.tell(event);
    }

    /// The shim's socket closed.
    async fn lose(&self) {
        let Some(shared) = self.shared.upgrade() else { return };
        let (dir, cgroup) = (self.dir.clone(), shared.cgroup_of(&self.task));
        if !dir.sandbox().exists() {
            return;
        }
        match blocking("settle a task", move || settle_on_disk(&dir, &cgroup)).await {
            Ok(Some(record)) => {
                let was_removed = self.record.borrow().phase == SandboxPhase::Removed;
                let is_sudden = record.containers.iter().any(|c| c.exit_reason.is_some()) || !was_removed;
                self.record.send_replace(record);
                if is_sudden && !was_removed {
                    self.tell(Event::SandboxLost { reason: "the task's shim died".to_owned() });
                }
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(task = self.task, %error, "a lost task cannot be settled"),
        }
    }

    pub async fn start(&self, plan: ContainerPlan) -> Result<ContainerRecord, RuntimeError> {
        if let Some(known) = self.record.borrow().container(&plan.name) {
            return Ok(known.clone());
        }
        if !record::is_name(&plan.name) {
            return Err(RuntimeError::Plan(format!("{:?} is not a container's name", plan.name)));
        }
        let dir = self.dir.container(&plan.name);
        let sandbox = self.record.borrow().sandbox.clone();
        let cgroup = self.shared.upgrade().map(|shared| shared.cgroup_of(&self.task)).unwrap_or_default();
        let cgroup = cgroup.join(&plan.name);
        let spec = crate::spec::translate(&sandbox, &plan, &dir.join("rootfs"), &self.dir.path, &cgroup)?;
        let start = Start {
            name: plan.name,
            runtime_id: plan.runtime_id,
            layers: plan.layers,
            user: plan.user.or(plan.image.user),
            output: plan.output,
            ulimits: plan.ulimits,
        };
        blocking("write a specification", move || {
            DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
            write_json(&dir.join("config.json"), &spec, Keep::Kill)
        })
        .await?;
        match self.call(Call::Start(Box::new(start))).await? {
            Answer::Container(started) => {
                self.record.send_modify(|record| record.containers.push(started.clone()));
                let event = Event::Started { container: started.name.clone(), at: started.started_at };
                self.tell(event);
                Ok(started)
            }
            _ => Err(unexpected()),
        }
    }

    pub async fn signal(&self, container: &str, signal: Signal) -> Result<(), RuntimeError> {
        if self.exit_of(container)?.is_some() {
            return Ok(());
        }
        let call = Call::Signal { container: container.to_owned(), signal };
        match self.call(call).await? {
            Answer::Done => Ok(()),
            _ => Err(unexpected()),
        }
    }

    fn exit_of(&self, container: &str) -> Result<Option<Exit>, RuntimeError> {
        let record = self.record.borrow();
        let known = record.container(container);
        known.map(|c| c.exit.clone()).ok_or_else(|| RuntimeError::NoContainer(container.to_owned()))
    }

    pub async fn stop(
        &self,
        container: &str,
        signal: Signal,
        timeout: Duration,
    ) -> Result<Exit, RuntimeError> {
        self.signal(container, signal).await?;
        match tokio::time::timeout(timeout, self.exited(container)).await {
            Ok(exit) => exit,
            Err(_) => {
                self.signal(container, Signal::KILL).await?;
                self.exited(container).await
            }
        }
    }

    async fn exited(&self, container: &str) -> Result<Exit, RuntimeError> {
        let mut changes = self.record.subscribe();
        loop {
            if let Some(exit) = self.exit_of(container)? {
                return Ok(exit);
            }
            if changes.changed().await.is_err() {
                return Err(RuntimeError::ShimLost("it ended".to_owned()));
            }
        }
    }

    pub async fn output(&self, container: &str, from: Position) -> Result<OutputState, RuntimeError> {
        if self.record.borrow().phase == SandboxPhase::Removed {
            return Ok(OutputState::Closed);
        }
        let call = Call::Output { container: container.to_owned(), from };
        match self.call(call).await {
            Ok(Answer::Output(state)) => Ok(state),
            Ok(_) => Err(unexpected()),
            // What the shim has written is all there will be.
            Err(RuntimeError::ShimLost(_)) => Ok(OutputState::Closed),
            Err(error) => Err(error),
        }
    }

    pub async fn remove(&self) -> Result<(), RuntimeError> {
        if self.record.borrow().phase != SandboxPhase::Removed {
            // Said before the socket closes, so that the end is not taken for a loss.
            self.record.send_modify(|record| record.phase = SandboxPhase::Removed);
            match self.call(Call::Shutdown).await {
                Ok(_) | Err(RuntimeError::ShimLost(_)) => {}
                Err(error) => {
                    self.record.send_modify(|record| record.phase = SandboxPhase::Ready);
                    return Err(error);
                }
            }
        }
        let dir = self.dir.clone();
        let names: Vec<String> = self.record.borrow().containers.iter().map(|c| c.name.clone()).collect();
        blocking("remove a task's root file systems", move || {
            for name in names {
                for part in ["upper", "work", "rootfs", "oci"] {
                    record::remove_tree(&dir.container(&name).join(part))?;
                }
            }
            Ok(())
        })
        .await
    }
}

fn unexpected() -> RuntimeError {
    RuntimeError::ShimLost("it gave an answer to another question".to_owned())
}

/// Makes the task's directory, with everything that a shim reads.
fn lay_out(dir: &TaskDir, config: &Config) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(&dir.path)?;
    let sandbox = &config.sandbox;
    let hostname = format!("{}\n", sandbox.hostname);
    let files = [("resolv.conf", &sandbox.resolv_conf), ("hosts", &sandbox.hosts), ("hostname", &hostname)];
    for (name, content) in files {
        let path = dir.path.join(name);
        std::fs::write(&path, content)?;
        // Every user of a container reads them, whatever our umask.
        std::fs::set_permissions(&path, Permissions::from_mode(0o644))?;
    }
    // A shim that died before its first record leaves these.
    let _ = std::fs::remove_file(dir.path.join(FAILED));
    write_json(&dir.sandbox(), config, Keep::Kill)
}

/// Executes the shim, its listening socket as descriptor 0.
fn execute(dir: &TaskDir, command: &[std::ffi::OsString]) -> io::Result<()> {
    let (_open, path) = address(dir)?;
    let _ = std::fs::remove_file(dir.path.join(crate::shim::SOCKET));
    let listener = std::os::unix::net::UnixListener::bind(&path)?;
    let log = File::options().create(true).append(true).open(dir.log())?;
    let (program, arguments) =
        command.split_first().ok_or_else(|| io::Error::other("no command to start a shim"))?;
    let mut shim = tokio::process::Command::new(program);
    shim.args(arguments).arg(&dir.path).env_clear().current_dir("/");
    shim.stdin(Stdio::from(OwnedFd::from(listener))).stdout(Stdio::null()).stderr(Stdio::from(log));
    // Dropping the child leaves it running; the async runtime reaps it when it ends.
    shim.spawn().map(drop)
}

/// Why a shim that was just executed is gone.
fn why(dir: &TaskDir) -> RuntimeError {
    if let Ok(Some(error)) = record::read_json(&dir.path.join(FAILED)) {
        return error;
    }
    let mut log = String::new();
    let read = File::open(dir.log()).and_then(|file| file.take(4096).read_to_string(&mut log));
    let text = match read {
        Ok(_) if !log.trim().is_empty() => log.trim().to_owned(),
        _ => "it ended at once".to_owned(),
    };
    RuntimeError::ShimLost(text)
}

/// The shim is dead: ends what it left, and completes the record.
fn settle_on_disk(dir: &TaskDir, cgroup: &Path) -> io::Result<Option<SandboxRecord>> {
    let Some(mut record) = dir.read_record()? else { return Ok(None) };
    if record.phase == SandboxPhase::Removed {
        return Ok(Some(record));
    }
    if let Ok(hierarchies) = Hierarchies::detect() {
        for container in &record.containers {
            end(&hierarchies, &cgroup.join(&container.name))?;
        }
        end(&hierarchies, cgroup)?;
    }
    settle(&mut record, clock::wall());
    write_json(&dir.state(), &record, Keep::Power)?;
    Ok(Some(record))
}

fn end(hierarchies: &Hierarchies, path: &Path) -> io::Result<()> {
    let cgroup = Cgroup::open(hierarchies, path).map_err(io::Error::other)?;
    if cgroup.directories().iter().any(|dir| dir.exists()) {
        cgroup.kill_all().map_err(io::Error::other)?;
        cgroup.remove().map_err(io::Error::other)?;
    }
    Ok(())
}
