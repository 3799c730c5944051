//! One task as the server sees it: its shim's connection and the newest record.

use std::collections::BTreeSet;
use std::fs::{DirBuilder, File, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;

use base::clock;
use core_lifecycle::Exit;
use launch::cgroup::{Cgroup, CgroupError, Hierarchies};
use tokio::net::unix::OwnedReadHalf;
use tokio::sync::{oneshot, watch};

use super::connection::Connection;
use super::spare::Spares;
use super::{LinuxOptions, Shared, blocking, settle};
use crate::contract::{ContainerRecord, Event, Exec, OutputState, RuntimeError, SandboxPhase, SandboxRecord};
use crate::plan::{ContainerPlan, ExecPlan, Network, Place, Signal, TaskSandbox};
use crate::protocol::{Answer, Call, Start};
use crate::record::{self, Keep, TaskDir, write_json};
use crate::shim::Config;
use crate::spec::{Layout, translate};
use crate::spool::Position;
use crate::storage::disk;

/// A shim that has been executed answers within milliseconds; one that does not in this time
/// never will.
pub(super) const SHIM_START: Duration = Duration::from_secs(20);

/// How often a lost task is settled until that succeeds: a disk may be full for a while.
const SETTLEMENTS: u32 = 600;
const SETTLEMENT_PAUSE: Duration = Duration::from_secs(1);

pub(super) struct Sandbox {
    dir: TaskDir,
    task: String,
    shared: Weak<Shared>,
    /// `None`: the shim is dead, the record final.
    connection: Option<Arc<Connection>>,
    record: watch::Sender<SandboxRecord>,
    /// The shim is dead, and what it left has been seen to.
    is_settled: watch::Sender<bool>,
}

impl Sandbox {
    /// Gives a new task to a shim: one that waits, or else a new one.
    pub async fn make(shared: &Arc<Shared>, dir: TaskDir, config: Config) -> Result<Arc<Self>, RuntimeError> {
        let mut config = config;
        config.sandbox.place = known_place(config.sandbox.place);
        let task = config.sandbox.task.clone();
        let has_disk = config.sandbox.storage_gib == Some(disk::DEFAULT_GIB);
        let at = dir.clone();
        blocking("lay out a task's directory", move || lay_out(&at, &config)).await?;
        Sandbox::give(shared, dir, &task, has_disk).await
    }

    /// Gives the task that lies in `dir` to a shim.
    async fn give(
        shared: &Arc<Shared>,
        dir: TaskDir,
        task: &str,
        has_disk: bool,
    ) -> Result<Arc<Self>, RuntimeError> {
        let create = || Call::Create { dir: dir.path.clone() };
        if let Some(spare) = shared.spares.take(has_disk) {
            let made = Sandbox::over(shared, dir.clone(), task, Connection::over(spare), create()).await;
            match made {
                // It died while it waited.
                Err(RuntimeError::ShimLost(_)) => {}
                made => return made,
            }
        }
        let stream = Spares::execute(&shared.options, has_disk)?.stream;
        let made = Sandbox::over(shared, dir.clone(), task, Connection::over(stream), create());
        match tokio::time::timeout(SHIM_START, made).await {
            Ok(Err(RuntimeError::ShimLost(_))) => Err(RuntimeError::ShimLost(why(&shared.options))),
            Ok(made) => made,
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
            let is_settled = watch::Sender::new(true);
            Arc::new(Sandbox {
                dir,
                task,
                shared: Arc::downgrade(shared),
                connection: None,
                record,
                is_settled,
            })
        }))
    }

    /// A task whose shim died gets another, which knows what ran and has ended: its containers can be
    /// started again. A shim that lives all the same is taken up.
    pub async fn revive(shared: &Arc<Shared>, dir: TaskDir, task: &str) -> Result<Arc<Self>, RuntimeError> {
        if let Some(found) = Sandbox::take_up(shared, dir.clone(), task).await?
            && found.connection.is_some()
        {
            return Ok(found);
        }
        // Removed on purpose, its files are gone too.
        if !dir.disk().exists() {
            return Err(RuntimeError::NoSandbox(task.to_owned()));
        }
        Sandbox::give(shared, dir, task, false).await
    }

    async fn connect(
        shared: &Arc<Shared>,
        dir: TaskDir,
        task: &str,
    ) -> Result<Option<Arc<Self>>, RuntimeError> {
        let opened = Connection::open(&dir).await.map_err(|e| RuntimeError::host("reach the shim", e))?;
        match opened {
            Some(connection) => Sandbox::over(shared, dir, task, connection, Call::State).await.map(Some),
            None => Ok(None),
        }
    }

    /// Takes a connection into use. `first` is answered with the state.
    async fn over(
        shared: &Arc<Shared>,
        dir: TaskDir,
        task: &str,
        (connection, reader): (Connection, OwnedReadHalf),
        first: Call,
    ) -> Result<Arc<Self>, RuntimeError> {
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
            is_settled: watch::Sender::new(false),
        });
        let listening = sandbox.clone();
        shared.spawn(async move {
            let on_answer = |answer: &Answer| listening.take_in_answer(answer);
            connection.receive(reader, on_answer, |event| listening.take_in(event)).await;
            listening.lose().await;
            listening.is_settled.send_replace(true);
        });
        match sandbox.call(first).await? {
            Answer::State(_) => Ok(sandbox),
            _ => Err(unexpected()),
        }
    }

    /// Whether the shim is dead; everything that follows from that has happened then.
    pub async fn is_lost(&self) -> bool {
        if self.connection.as_ref().is_some_and(|connection| connection.is_open()) {
            return false;
        }
        // It fails only with this sandbox itself.
        self.is_settled.subscribe().wait_for(|is_settled| *is_settled).await.is_ok()
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

    fn take_in_answer(&self, answer: &Answer) {
        match answer {
            Answer::State(record) => {
                self.record.send_replace(record.clone());
            }
            Answer::Container(started) => {
                self.record.send_modify(|record| {
                    match record.containers.iter_mut().find(|c| c.name == started.name) {
                        Some(known) if known.restarts < started.restarts => *known = started.clone(),
                        Some(_) => {}
                        None => record.containers.push(started.clone()),
                    }
                });
                self.tell(Event::Started { container: started.name.clone(), at: started.started_at });
            }
            _ => {}
        }
    }

    fn take_in(&self, event: Event) {
        let note = |container: &str, change: &dyn Fn(&mut ContainerRecord)| {
            self.record.send_modify(|record| {
                if let Some(known) = record.containers.iter_mut().find(|c| c.name == container) {
                    change(known);
                }
            });
        };
        match &event {
            Event::Exited { container, exit } => note(container, &|known| {
                known.exit.get_or_insert_with(|| exit.clone());
            }),
            Event::Dropped { container, lines } => note(container, &|known| known.dropped_lines = *lines),
            Event::Started { .. } | Event::SandboxLost { .. } => {}
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
        for _ in 0..SETTLEMENTS {
            let (dir, cgroup) = (dir.clone(), cgroup.clone());
            match blocking("settle a task", move || settle_on_disk(&dir, &cgroup)).await {
                Ok(Some(record)) => {
                    let was_removed = self.record.borrow().phase == SandboxPhase::Removed;
                    self.record.send_replace(record);
                    if !was_removed {
                        self.tell(Event::SandboxLost { reason: "the task's shim died".to_owned() });
                    }
                    return;
                }
                Ok(None) => return,
                Err(error) => tracing::warn!(task = self.task, %error, "a lost task cannot be settled"),
            }
            tokio::time::sleep(SETTLEMENT_PAUSE).await;
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
        let files = if plan.place.is_some() { &dir } else { &self.dir.path };
        let shm = self.dir.shm();
        let layout = Layout { root: &dir.join("rootfs"), files, shm: &shm, cgroup: &cgroup };
        let mut plan = plan;
        plan.place = plan.place.map(known_place);
        let spec = translate(&sandbox, &plan, &layout)?;
        let place = plan.place.take();
        let start = Start {
            name: plan.name,
            runtime_id: plan.runtime_id,
            layers: plan.layers,
            user: plan.user.or(plan.image.user),
            output: plan.output,
            ulimits: plan.ulimits,
            has_terminal: plan.linux.has_terminal,
            is_interactive: plan.linux.is_interactive,
            mounts: plan.mounts,
            volumes: plan.image.volumes,
            linux: plan.linux,
        };
        blocking("write a specification", move || {
            DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
            if let Some(place) = &place {
                write_names(&dir, place)?;
            }
            write_json(&dir.join("config.json"), &spec, Keep::Kill)
        })
        .await?;
        match self.call(Call::Start(Box::new(start))).await? {
            Answer::Container(started) => Ok(started),
            _ => Err(unexpected()),
        }
    }

    pub async fn restart(&self, container: &str) -> Result<ContainerRecord, RuntimeError> {
        self.exit_of(container)?.ok_or_else(|| RuntimeError::StillRunning(container.to_owned()))?;
        if self.record.borrow().phase == SandboxPhase::Removed {
            return Err(RuntimeError::NoSandbox(self.task.clone()));
        }
        match self.call(Call::Restart { container: container.to_owned() }).await? {
            Answer::Container(started) => Ok(started),
            _ => Err(unexpected()),
        }
    }

    pub async fn exec(&self, container: &str, plan: ExecPlan) -> Result<Exec, RuntimeError> {
        if self.exit_of(container)?.is_some() {
            return Err(RuntimeError::NotRunning(container.to_owned()));
        }
        let ended = || RuntimeError::ShimLost("it ended".to_owned());
        let connection = self.connection.as_ref().ok_or_else(ended)?.clone();
        let container = container.to_owned();
        let (sender, started) = oneshot::channel();
        self.shared.upgrade().ok_or_else(ended)?.spawn(async move {
            let exec = crate::exec::start(&connection, &container, plan).await;
            if let Err(Ok(unwanted)) = sender.send(exec) {
                unwanted.control.signal(Signal::KILL);
            }
        });
        started.await.map_err(|_| ended())?
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
        let group =
            self.shared.upgrade().map(|shared| (shared.hierarchies.clone(), shared.cgroup_of(&self.task)));
        blocking("remove a task's root file systems", move || {
            // A shim that was killed may have left another runtime's program at work, which came too late to
            // be seen then.
            if let Some((Some(hierarchies), group)) = group {
                end(&hierarchies, &group)?;
            }
            for name in names {
                for part in ["rootfs", "oci"] {
                    record::remove_tree(&dir.container(&name).join(part))?;
                }
            }
            record::remove_tree(&dir.disk())?;
            record::remove_file(&dir.image())
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
    write_names(&dir.path, &config.sandbox.place)?;
    write_json(&dir.sandbox(), config, Keep::Kill)
}

/// The files that tell containers of a network who and where they are.
fn write_names(dir: &Path, place: &Place) -> io::Result<()> {
    let hostname = format!("{}\n", place.hostname);
    let files = [("resolv.conf", &place.resolv_conf), ("hosts", &place.hosts), ("hostname", &hostname)];
    for (name, content) in files {
        let path = dir.join(name);
        std::fs::write(&path, content)?;
        // Every user of a container reads them, whatever our umask.
        std::fs::set_permissions(&path, Permissions::from_mode(0o644))?;
    }
    Ok(())
}

/// In the host's network a container has the host's names, where it is not given others.
fn known_place(mut place: Place) -> Place {
    if place.network != Network::Host {
        return place;
    }
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    if place.hostname.is_empty() {
        place.hostname = read("/proc/sys/kernel/hostname").trim().to_owned();
    }
    if place.resolv_conf.is_empty() {
        place.resolv_conf = read("/etc/resolv.conf");
    }
    if place.hosts.is_empty() {
        place.hosts = read("/etc/hosts");
    }
    place
}

/// What shims that have no task yet had to say.
fn why(options: &LinuxOptions) -> String {
    let mut log = String::new();
    let read = File::open(Spares::log(options)).and_then(|file| file.take(4096).read_to_string(&mut log));
    match read {
        Ok(_) if !log.trim().is_empty() => log.trim().to_owned(),
        _ => "it ended at once".to_owned(),
    }
}

/// The shim is dead: ends what it left, and completes the record.
fn settle_on_disk(dir: &TaskDir, cgroup: &Path) -> io::Result<Option<SandboxRecord>> {
    let Some(mut record) = dir.read_record()? else { return Ok(None) };
    if record.phase == SandboxPhase::Removed {
        return Ok(Some(record));
    }
    if let Ok(hierarchies) = Hierarchies::detect() {
        end(&hierarchies, cgroup)?;
    }
    settle(&mut record, clock::wall());
    write_json(&dir.state(), &record, Keep::Power)?;
    Ok(Some(record))
}

/// Ends everything in a control group and in those below it, whoever made them, and removes them.
fn end(hierarchies: &Hierarchies, path: &Path) -> io::Result<()> {
    let cgroup = Cgroup::open(hierarchies, path).map_err(io::Error::other)?;
    let directories: Vec<_> = cgroup.directories().into_iter().filter(|dir| dir.exists()).collect();
    if directories.is_empty() {
        return Ok(());
    }
    let mut below = BTreeSet::new();
    for entry in directories.iter().flat_map(std::fs::read_dir).flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            below.insert(entry.file_name());
        }
    }
    for name in below {
        end(hierarchies, &path.join(name))?;
    }
    // Another runtime's program may be at work in it still: what it adds is ended the next time.
    let mut removed = Ok(());
    for _ in 0..REMOVALS {
        cgroup.kill_all().map_err(io::Error::other)?;
        removed = cgroup.remove();
        if !matches!(removed, Err(CgroupError::Busy { .. })) {
            break;
        }
    }
    removed.map_err(io::Error::other)
}

/// How often a control group is emptied and removed; once takes up to a second.
const REMOVALS: u32 = 5;

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream as Stream;

    use base::Timestamp;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::linux::{Limits, Linux};
    use crate::protocol::{Message, encode};

    /// One thread, so that both messages are read before the caller is told of the first.
    #[tokio::test]
    async fn an_exit_right_behind_the_start_is_seen() {
        let tasks = tempfile::tempdir().unwrap();
        let options = LinuxOptions {
            tasks: tasks.path().to_path_buf(),
            cgroup: "none".into(),
            shim: Vec::new(),
            oci_runtime: None,
            limits: Limits::Enforced,
        };
        let shared = Linux::open(options).unwrap().shared;
        let (own, theirs) = Stream::pair().unwrap();
        own.set_nonblocking(true).unwrap();
        theirs.set_nonblocking(true).unwrap();
        tokio::spawn(quick_shim(tokio::net::UnixStream::from_std(theirs).unwrap()));
        let connection = Connection::over(tokio::net::UnixStream::from_std(own).unwrap());
        let dir = TaskDir::new(tasks.path(), "t");
        let sandbox = Sandbox::over(&shared, dir, "t", connection, Call::State).await.unwrap();
        sandbox.call(Call::State).await.unwrap();
        assert_eq!(sandbox.exit_of("c").unwrap().map(|exit| exit.code), Some(7));
    }

    /// Answers the first request with an empty state, the second with a container and its end.
    async fn quick_shim(mut stream: tokio::net::UnixStream) {
        let mut request = Vec::new();
        let record = SandboxRecord {
            sandbox: TaskSandbox::empty("t"),
            phase: SandboxPhase::Ready,
            containers: Vec::new(),
        };
        stream.read_buf(&mut request).await.unwrap();
        stream
            .write_all(&encode(&Message::Answer { id: 1, result: Ok(Answer::State(record)) }))
            .await
            .unwrap();
        stream.read_buf(&mut request).await.unwrap();
        let started = ContainerRecord {
            name: "c".to_owned(),
            runtime_id: "t-1".to_owned(),
            pid: 1,
            started_at: Timestamp::EPOCH,
            exit: None,
            restarts: 0,
            exit_reason: None,
            warnings: Vec::new(),
            dropped_lines: 0,
        };
        let exit = Exit { code: 7, at: Timestamp::EPOCH, is_oom: false };
        let mut frames = encode(&Message::Answer { id: 2, result: Ok(Answer::Container(started)) });
        frames.extend(encode(&Message::Event(Event::Exited { container: "c".to_owned(), exit })));
        stream.write_all(&frames).await.unwrap();
        // Until the other end closes.
        stream.read_to_end(&mut request).await.unwrap();
    }
}
