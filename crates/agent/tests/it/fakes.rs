//! Fakes of the agent's surroundings, and a host made of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use agent::{
    Agent, Attached, Endpoint, Images, LogBatch, LogSink, LogSource, Network, NetworkError, Own, Parts,
    PullError, Pulled, SecretError, Secrets, SinkError, Wanted,
};
use base::clock::Clock;
use core_lifecycle::simulate::LABEL;
use core_lifecycle::{
    Assignment, Binding, ContainerSpec, LogDriver, LogTarget, Logging, Observation, Phase, PullAs,
};
use link::{Desired, HostId, Observed, Order};
use runtime::spool::{Position, Reader, Stream, Writer};
use runtime::{
    ContainerPlan, ContainerRecord, ContainerStats, Exec, ExecPlan, Foretold, ImageDefaults, OutputState,
    Pending, Place, Runtime, RuntimeError, Simulated,
};
use tokio::sync::{Notify, mpsc};

/// Interfaces by task id.
#[derive(Default)]
pub struct FakeNetwork {
    pub attached: Mutex<BTreeSet<String>>,
    pub is_broken: Mutex<bool>,
}

impl Network for FakeNetwork {
    fn attach<'a>(&'a self, task: &'a Assignment) -> Pending<'a, Result<Attached, NetworkError>> {
        Box::pin(async move {
            if *self.is_broken.lock().unwrap() {
                return Err(NetworkError::Interface("no address is left".to_owned()));
            }
            self.attached.lock().unwrap().insert(task.task_id.clone());
            let shared = Place { hostname: "ip-172-31-0-5".to_owned(), ..Place::default() };
            let binding = Binding {
                bind_ip: "0.0.0.0".to_owned(),
                container_port: 80,
                host_port: 32768,
                protocol: "tcp".to_owned(),
                last: None,
            };
            let own =
                Own { place: Place { hostname: "of-its-own".to_owned(), ..Place::default() }, address: None };
            Ok(Attached {
                shared,
                own: BTreeMap::from([("bridged".to_owned(), own)]),
                bindings: BTreeMap::from([("bridged".to_owned(), vec![binding])]),
                ..Attached::default()
            })
        })
    }

    fn detach<'a>(&'a self, task: &'a Assignment) -> Pending<'a, Result<(), NetworkError>> {
        Box::pin(async move {
            self.attached.lock().unwrap().remove(&task.task_id);
            Ok(())
        })
    }
}

/// Tells every container where it is, and remembers what it was told.
#[derive(Default)]
pub struct FakeEndpoint {
    pub open: Mutex<BTreeSet<String>>,
    pub phases: Mutex<Vec<Phase>>,
}

impl Endpoint for FakeEndpoint {
    fn open(&self, task: &Assignment, _: &Attached) -> BTreeMap<String, BTreeMap<String, String>> {
        self.open.lock().unwrap().insert(task.task_id.clone());
        let told = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let told = BTreeMap::from([told("METADATA", "http://169.254.170.2"), told("MODE", "told")]);
        task.containers.iter().map(|spec| (spec.name.clone(), told.clone())).collect()
    }

    fn observe(&self, _: &Assignment, observation: &Observation) {
        self.phases.lock().unwrap().push(observation.phase);
    }

    fn close(&self, task_id: &str) {
        self.open.lock().unwrap().remove(task_id);
    }
}

/// Knows every value but those named `…missing`.
pub struct FakeSecrets;

impl Secrets for FakeSecrets {
    fn value<'a>(&'a self, _: &'a Assignment, from: &'a str) -> Pending<'a, Result<String, SecretError>> {
        Box::pin(async move {
            match from.ends_with("missing") {
                true => Err(SecretError(format!("ResourceNotFoundException: no {from}"))),
                false => Ok(format!("value of {from}")),
            }
        })
    }

    fn file<'a>(&'a self, _: &'a Assignment, arn: &'a str) -> Pending<'a, Result<String, SecretError>> {
        Box::pin(async move {
            match arn.ends_with("missing") {
                true => Err(SecretError("NoSuchKey: The specified key does not exist.".to_owned())),
                false => Ok(format!("FROM={arn}\nMODE=file\n")),
            }
        })
    }
}

/// Knows every image but those named `missing…`; `stuck…` never arrives.
#[derive(Default)]
pub struct FakeImages {
    pub pulls: Mutex<Vec<String>>,
}

impl Images for FakeImages {
    fn pull<'a>(&'a self, wanted: Wanted<'a>) -> Pending<'a, Result<Pulled, PullError>> {
        Box::pin(async move {
            self.pulls.lock().unwrap().push(wanted.image.to_owned());
            if wanted.image.starts_with("missing") {
                let reference = format!("docker.io/library/{}", wanted.image);
                return Err(PullError::NotFound { reference });
            }
            if wanted.image.starts_with("stuck") {
                std::future::pending::<()>().await;
            }
            Ok(Pulled {
                digest: format!("sha256:{:064}", 7),
                layers: vec![PathBuf::from("/")],
                config: ImageDefaults { command: vec!["run".to_owned()], ..ImageDefaults::default() },
            })
        })
    }

    fn release<'a>(&'a self, _task: &'a str) -> Pending<'a, ()> {
        Box::pin(async {})
    }
}

/// A log store that forgets no token.
#[derive(Default)]
pub struct FakeLogs {
    /// By runtime id.
    pub streams: Mutex<BTreeMap<String, StoredStream>>,
    pub trouble: Mutex<Vec<Trouble>>,
    pub changed: Notify,
}

#[derive(Debug, Clone, Default)]
pub struct StoredStream {
    pub next: u64,
    pub lines: Vec<String>,
    pub batches: Vec<(u64, u64)>,
}

/// What happens to the next calls, last first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    NoGroup,
    Throttled,
    Refused,
    /// It is stored, but the caller never hears of it.
    AnswerLost,
}

impl FakeLogs {
    pub async fn until(&self, mut is_so: impl FnMut(&BTreeMap<String, StoredStream>) -> bool) {
        loop {
            let changed = self.changed.notified();
            if is_so(&self.streams.lock().unwrap()) {
                return;
            }
            changed.await;
        }
    }

    fn trouble(&self, kinds: &[Trouble]) -> Option<Trouble> {
        let mut trouble = self.trouble.lock().unwrap();
        let next = trouble.last().copied().filter(|next| kinds.contains(next));
        if next.is_some() {
            trouble.pop();
        }
        next
    }
}

fn sink_error(code: &str, is_retryable: bool) -> SinkError {
    SinkError {
        code: code.to_owned(),
        message: "The specified log group does not exist.".to_owned(),
        is_retryable,
    }
}

impl LogSink for FakeLogs {
    fn open<'a>(
        &'a self,
        source: &'a LogSource,
        _target: &'a LogTarget,
    ) -> Pending<'a, Result<(), SinkError>> {
        Box::pin(async move {
            if self.trouble(&[Trouble::NoGroup]).is_some() {
                return Err(sink_error("ResourceNotFoundException", false));
            }
            self.streams.lock().unwrap().entry(source.runtime_id.clone()).or_default();
            Ok(())
        })
    }

    fn put<'a>(
        &'a self,
        source: &'a LogSource,
        _target: &'a LogTarget,
        batch: LogBatch,
    ) -> Pending<'a, Result<(), SinkError>> {
        Box::pin(async move {
            let trouble = self.trouble(&[Trouble::Throttled, Trouble::Refused, Trouble::AnswerLost]);
            match trouble {
                Some(Trouble::Throttled) => return Err(sink_error("ThrottlingException", true)),
                Some(Trouble::Refused) => return Err(sink_error("InvalidParameterException", false)),
                _ => {}
            }
            {
                let mut streams = self.streams.lock().unwrap();
                let stream = streams.entry(source.runtime_id.clone()).or_default();
                stream.batches.push((batch.first, batch.next));
                if batch.first >= stream.next {
                    stream.next = batch.next;
                    stream.lines.extend(batch.events.into_iter().map(|event| event.message));
                }
            }
            self.changed.notify_waiters();
            if trouble == Some(Trouble::AnswerLost) {
                std::future::pending::<()>().await;
            }
            Ok(())
        })
    }
}

/// The simulated runtime, with output: a test writes the spools.
pub struct Chatty {
    pub inner: Simulated,
    more: Notify,
    writers: Mutex<BTreeMap<String, Writer>>,
    /// What it was told to start, in order.
    pub plans: Mutex<Vec<ContainerPlan>>,
}

impl Chatty {
    pub fn say(&self, task: &str, container: &str, line: &str) {
        let dir = self.inner.spool(task, container);
        let mut writers = self.writers.lock().unwrap();
        let key = format!("{task}/{container}");
        let writer = writers.entry(key).or_insert_with(|| Writer::open(&dir, 1 << 20).unwrap());
        writer.append(Stream::Stdout, 1_700_000_000_000, line.as_bytes(), false).unwrap();
        drop(writers);
        self.more.notify_waiters();
    }

    async fn has_ended(&self, task: &str, container: &str) -> bool {
        let state = self.inner.state(task).await.unwrap();
        state.is_none_or(|s| s.container(container).is_none_or(|c| c.exit.is_some()))
    }
}

impl Runtime for Chatty {
    fn restart_container<'a>(
        &'a self,
        task: &'a str,
        container: &'a str,
    ) -> Pending<'a, Result<ContainerRecord, RuntimeError>> {
        self.inner.restart_container(task, container)
    }

    fn health(&self, task: &str, container: &str) -> Option<Foretold> {
        self.inner.health(task, container)
    }

    fn exec<'a>(&'a self, _: &'a str, _: &'a str, _: ExecPlan) -> Pending<'a, Result<Exec, RuntimeError>> {
        Box::pin(async { Err(RuntimeError::Unsupported("there is no exec yet".to_owned())) })
    }

    fn stats<'a>(&'a self, _: &'a str) -> Pending<'a, Result<Vec<ContainerStats>, RuntimeError>> {
        Box::pin(async { Err(RuntimeError::Unsupported("there are no figures yet".to_owned())) })
    }

    fn create_sandbox(
        &self,
        sandbox: runtime::TaskSandbox,
    ) -> Pending<'_, Result<(), runtime::RuntimeError>> {
        self.inner.create_sandbox(sandbox)
    }
    fn start_container<'a>(
        &'a self,
        task: &'a str,
        plan: ContainerPlan,
    ) -> Pending<'a, Result<ContainerRecord, RuntimeError>> {
        self.plans.lock().unwrap().push(plan.clone());
        if plan.name.starts_with("hangs") {
            return Box::pin(std::future::pending());
        }
        self.inner.start_container(task, plan)
    }
    fn signal<'a>(
        &'a self,
        task: &'a str,
        container: &'a str,
        signal: runtime::Signal,
    ) -> Pending<'a, Result<(), runtime::RuntimeError>> {
        self.inner.signal(task, container, signal)
    }
    fn stop<'a>(
        &'a self,
        task: &'a str,
        container: &'a str,
        signal: runtime::Signal,
        timeout: Duration,
    ) -> Pending<'a, Result<core_lifecycle::Exit, runtime::RuntimeError>> {
        Box::pin(async move {
            let exit = self.inner.stop(task, container, signal, timeout).await;
            self.more.notify_waiters();
            exit
        })
    }
    fn remove_sandbox<'a>(&'a self, task: &'a str) -> Pending<'a, Result<(), runtime::RuntimeError>> {
        self.inner.remove_sandbox(task)
    }
    fn forget<'a>(&'a self, task: &'a str) -> Pending<'a, Result<(), runtime::RuntimeError>> {
        self.inner.forget(task)
    }
    fn state<'a>(
        &'a self,
        task: &'a str,
    ) -> Pending<'a, Result<Option<runtime::SandboxRecord>, runtime::RuntimeError>> {
        self.inner.state(task)
    }
    fn list(&self) -> Pending<'_, Result<Vec<runtime::SandboxRecord>, runtime::RuntimeError>> {
        self.inner.list()
    }
    fn events(&self, task: &str) -> runtime::Events {
        self.inner.events(task)
    }
    fn output<'a>(
        &'a self,
        task: &'a str,
        container: &'a str,
        from: Position,
    ) -> Pending<'a, Result<OutputState, runtime::RuntimeError>> {
        Box::pin(async move {
            loop {
                let more = self.more.notified();
                tokio::pin!(more);
                more.as_mut().enable();
                if self.has_ended(task, container).await {
                    return Ok(OutputState::Closed);
                }
                let mut reader = Reader::new(&self.inner.spool(task, container), from);
                if !reader.read(1, 1).unwrap().is_empty() {
                    return Ok(OutputState::More);
                }
                more.await;
            }
        })
    }
    fn spool(&self, task: &str, container: &str) -> PathBuf {
        self.inner.spool(task, container)
    }
    fn down(&self) -> Pending<'_, Result<(), runtime::RuntimeError>> {
        self.inner.down()
    }
    fn close(&self) -> Pending<'_, ()> {
        self.inner.close()
    }
}

/// One host: an agent, its surroundings, and what it reported.
pub struct Host {
    pub agent: Agent,
    pub runtime: Arc<Chatty>,
    pub network: Arc<FakeNetwork>,
    pub images: Arc<FakeImages>,
    pub logs: Arc<FakeLogs>,
    pub endpoint: Arc<FakeEndpoint>,
    pub clock: Clock,
    reports: mpsc::Receiver<Observed>,
    dir: tempfile::TempDir,
}

pub const TASK: &str = "0123456789abcdef0123456789abcdef";
const HOST: &str = "host";

impl Host {
    pub async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Host::over(dir, Clock::default(), Arc::default(), Arc::default(), Arc::default()).await
    }

    async fn over(
        dir: tempfile::TempDir,
        clock: Clock,
        network: Arc<FakeNetwork>,
        images: Arc<FakeImages>,
        logs: Arc<FakeLogs>,
    ) -> Self {
        let inner = Simulated::open(dir.path().join("tasks"), clock.clone()).unwrap();
        let runtime = Arc::new(Chatty {
            inner,
            more: Notify::new(),
            writers: Mutex::default(),
            plans: Mutex::default(),
        });
        let (up, reports) = mpsc::channel(256);
        let endpoint = Arc::new(FakeEndpoint::default());
        let parts = Parts {
            host: HostId(HOST.into()),
            clock: clock.clone(),
            dir: dir.path().join("agent"),
            runtime: runtime.clone(),
            network: network.clone(),
            images: images.clone(),
            logs: logs.clone(),
            endpoint: endpoint.clone(),
            secrets: Arc::new(FakeSecrets),
            up,
            parallel_starts: 2,
        };
        let agent = Agent::open(parts).await.unwrap();
        Host { agent, runtime, network, images, logs, endpoint, clock, reports, dir }
    }

    /// The agent and its runtime's process die; new ones take over.
    pub async fn restart(self) -> Self {
        self.agent.close().await;
        self.runtime.close().await;
        let Host { dir, clock, network, images, logs, agent, runtime, .. } = self;
        drop((agent, runtime));
        Host::over(dir, clock, network, images, logs).await
    }

    pub fn order(&self, task: &str, generation: u64, order: Order) {
        let desired = Desired { host: HostId(HOST.into()), task: arn(task).into(), generation, order };
        self.agent.order(desired).unwrap();
    }

    pub fn run(&self, assignment: Assignment) {
        self.order(&assignment.task_id.clone(), 1, Order::Run(std::sync::Arc::new(assignment)));
    }

    /// The next report of a task for which it is so.
    pub async fn report(&mut self, task: &str, is_so: impl Fn(&Observed) -> bool) -> Observed {
        let mut last = 0;
        loop {
            let observed = self.reports.recv().await.expect("the agent runs");
            assert!(observed.sequence > last, "sequence numbers grow");
            last = observed.sequence;
            if &*observed.task == arn(task).as_str() && is_so(&observed) {
                return observed;
            }
        }
    }

    /// A report that has been sent and not been looked at.
    pub fn next_report(&mut self) -> Option<Observed> {
        self.reports.try_recv().ok()
    }

    /// Until the task waits for something to happen. Room for its reports is the caller's to make.
    pub async fn settle(&self) {
        while !self.agent.is_idle() {
            tokio::task::yield_now().await;
        }
    }

    pub async fn phase(&mut self, task: &str, phase: Phase) -> Observation {
        self.report(task, |observed| observed.observation.phase == phase).await.observation
    }

    /// Moves the clock, and lets what is due happen.
    pub fn advance(&self, by: Duration) {
        self.clock.advance(by);
        self.runtime.inner.settle();
    }

    pub fn leftovers(&self) -> Vec<PathBuf> {
        let dirs = ["tasks", "agent"].map(|name| self.dir.path().join(name));
        dirs.iter().flat_map(|dir| std::fs::read_dir(dir).unwrap()).map(|e| e.unwrap().path()).collect()
    }
}

pub fn arn(task: &str) -> String {
    format!("arn:aws:ecs:us-east-1:000000000000:task/default/{task}")
}

/// A task with a container per `(name, essential, directions)`.
pub fn assignment(task: &str, containers: &[(&str, bool, &str)]) -> Assignment {
    Assignment {
        task_arn: arn(task),
        task_id: task.to_owned(),
        account: "000000000000".to_owned(),
        region: "us-east-1".to_owned(),
        cluster: "default".to_owned(),
        family: "web".to_owned(),
        revision: 1,
        architecture: "X86_64".to_owned(),
        cpu_units: Some(256),
        memory_mib: Some(512),
        containers: containers.iter().map(|(name, essential, label)| spec(name, *essential, label)).collect(),
        ..Assignment::default()
    }
}

fn spec(name: &str, essential: bool, label: &str) -> ContainerSpec {
    ContainerSpec {
        name: name.to_owned(),
        image: "web".to_owned(),
        pull_as: PullAs { account: "000000000000".to_owned(), region: "us-east-1".to_owned() },
        essential,
        stop_timeout: Duration::from_secs(30),
        labels: BTreeMap::from([(LABEL.to_owned(), label.to_owned())]),
        ..ContainerSpec::default()
    }
}

pub fn log() -> Logging {
    let target = LogTarget {
        group: "/ecs/web".to_owned(),
        region: "us-east-1".to_owned(),
        stream: "ecs/web/1".to_owned(),
        ..LogTarget::default()
    };
    Logging { driver: LogDriver::Awslogs(target), ..Logging::default() }
}
