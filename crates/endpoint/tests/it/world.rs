//! A platform, a simulated task that runs, and doors to knock at.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use agent::{Attached, Endpoint as _, Own};
use base::clock::Clock;
use base::{AccountId, Region, Secret, Timestamp};
use core_lifecycle::{
    Assignment, ContainerObservation, ContainerSpec, Interface, LaunchType, LogDriver, LogTarget, Logging,
    NetworkMode, Observation, Phase,
};
use endpoint::{Door, FaultError, FaultKind, Faults, NetworkFault, Parts, TaskEndpoint};
use runtime::{ContainerPlan, Pending, Runtime, Simulated, TaskSandbox};
use serde_json::Value;
use service::{Caller, Platform, PlatformBuilder};
use store::{Memory, Store};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;

pub const TASK: &str = "0123456789abcdef0123456789abcdef";
pub const VPC: &str = "000000000000/us-east-1/vpc-1";
pub const OWN: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 1);
pub const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const START: i64 = 1_800_000_000;

std::thread_local! {
    /// Of this test, whose runtime has one thread. The store's writer has its own: the start.
    static PASSED: Cell<i64> = const { Cell::new(0) };
}

pub fn wall() -> Timestamp {
    Timestamp::from_secs(START + PASSED.get())
}

/// Lets wall time pass.
pub fn pass(secs: i64) {
    PASSED.set(PASSED.get() + secs);
}

pub struct World {
    pub platform: Platform,
    pub endpoint: TaskEndpoint,
    pub runtime: Arc<Simulated>,
    pub faults: Arc<FakeFaults>,
    _dir: tempfile::TempDir,
    _stop: watch::Sender<bool>,
    stopped: watch::Receiver<bool>,
}

/// Remembers what runs; makes no latency.
#[derive(Default)]
pub struct FakeFaults {
    pub running: Mutex<Vec<FaultKind>>,
}

impl Faults for FakeFaults {
    fn start<'a>(
        &'a self,
        _: &'a Assignment,
        fault: &'a NetworkFault,
    ) -> Pending<'a, Result<(), FaultError>> {
        Box::pin(async move {
            if fault.kind() == FaultKind::Latency {
                return Err(FaultError::Unsupported("this kernel has no netem".into()));
            }
            self.running.lock().unwrap().push(fault.kind());
            Ok(())
        })
    }

    fn stop<'a>(&'a self, _: &'a Assignment, fault: &'a FaultKind) -> Pending<'a, Result<(), FaultError>> {
        self.running.lock().unwrap().retain(|running| running != fault);
        Box::pin(async { Ok(()) })
    }

    fn is_running<'a>(
        &'a self,
        _: &'a Assignment,
        fault: &'a FaultKind,
    ) -> Pending<'a, Result<bool, FaultError>> {
        let is_running = self.running.lock().unwrap().contains(fault);
        Box::pin(async move { Ok(is_running) })
    }
}

fn platform() -> Platform {
    let sts = service_sts::Config { secret: Secret::new("s"), wall };
    let builder = PlatformBuilder::default()
        .issuing(service_sts::keys(&sts))
        .with(service_sts::service(&sts))
        .with(service_iam::service())
        .with(crate::ecs::service());
    let store = Store::open(Memory::default().open(), builder.kinds()).unwrap();
    builder.build(store, Clock::default(), 7)
}

impl World {
    pub fn new() -> World {
        let dir = tempfile::tempdir().unwrap();
        let runtime = Arc::new(Simulated::open(dir.path().join("tasks"), Clock::default()).unwrap());
        let (platform, faults) = (platform(), Arc::new(FakeFaults::default()));
        let (stop, stopped) = watch::channel(false);
        let endpoint = TaskEndpoint::new(Parts {
            platform: platform.clone(),
            runtime: runtime.clone(),
            faults: faults.clone(),
            secret: Secret::new("s"),
            api_url: Some("http://169.254.170.2:4566".into()),
            wall,
        });
        World { platform, endpoint, runtime, faults, _dir: dir, _stop: stop, stopped }
    }

    /// The role `app`, which `service` may assume.
    pub async fn role(&self, service: &str) {
        let request = aws_iam::CreateRoleRequest {
            role_name: "app".into(),
            assume_role_policy_document: trust(service),
            ..Default::default()
        };
        self.platform.call::<aws_iam::op::CreateRole>(caller(), request).await.unwrap();
    }

    /// From now on `service` may assume it, and nobody else.
    pub async fn trust(&self, service: &str) {
        let request = aws_iam::UpdateAssumeRolePolicyRequest {
            role_name: "app".into(),
            policy_document: trust(service),
        };
        self.platform.call::<aws_iam::op::UpdateAssumeRolePolicy>(caller(), request).await.unwrap();
    }

    /// Opens a task whose containers run; answers what its containers are told.
    pub fn open(&self, task: &Assignment) -> BTreeMap<String, BTreeMap<String, String>> {
        let own = |name: &str| (name.to_owned(), Own { address: Some(OWN), ..Own::default() });
        let own = match task.network_mode {
            NetworkMode::Bridge => BTreeMap::from([own("web"), own("db")]),
            _ => BTreeMap::new(),
        };
        let told = self.endpoint.open(task, &Attached { own, ..Attached::default() });
        self.endpoint.observe(task, &observation());
        told
    }

    /// Opens a door; it stays open as long as this world is.
    pub async fn listen(&self, door: Door) -> SocketAddr {
        let listener = TcpListener::bind((OWN, 0)).await.unwrap();
        let at = listener.local_addr().unwrap();
        let (endpoint, stop) = (self.endpoint.clone(), self.stopped.clone());
        tokio::spawn(async move { endpoint.serve(listener, door, stop).await });
        at
    }

    /// Asks through `door` from `from`; answers status and body.
    pub async fn ask(&self, door: Door, from: Ipv4Addr, request: &str) -> (u16, String) {
        let at = self.listen(door).await;
        let mut stream = knock(at, from).await;
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    /// The task itself asks for what an URL in its environment means.
    pub async fn send(&self, method: &str, url: &str, body: &str) -> (u16, Value) {
        let path = url.strip_prefix("http://169.254.170.2").unwrap_or(url);
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: 169.254.170.2\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let (status, body) = self.ask(Door::Vpc(VPC.into()), OWN, &request).await;
        (status, serde_json::from_str(&body).unwrap_or(Value::String(body)))
    }

    pub async fn get(&self, url: &str) -> Value {
        let (status, value) = self.send("GET", url, "").await;
        assert_eq!(status, 200, "{url}: {value}");
        value
    }

    /// Runs both containers in the simulated runtime.
    pub async fn run(&self) {
        self.runtime.create_sandbox(TaskSandbox::empty(TASK)).await.unwrap();
        for name in ["web", "db"] {
            self.runtime.start_container(TASK, plan(name)).await.unwrap();
        }
    }
}

fn caller() -> Caller {
    Caller::platform("test", AccountId::default_account(), Region::default_region())
}

fn trust(service: &str) -> String {
    format!(
        r#"{{"Statement":{{"Effect":"Allow","Principal":{{"Service":"{service}"}},"Action":"sts:AssumeRole"}}}}"#
    )
}

/// A connection from an address.
pub async fn knock(at: SocketAddr, from: Ipv4Addr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((from, 0).into()).unwrap();
    socket.connect(at).await.unwrap()
}

/// An `awsvpc` task of Fargate with the containers `web` and `db`.
pub fn task() -> Assignment {
    let spec = |name: &str| ContainerSpec {
        name: name.into(),
        image: format!("{name}:1"),
        memory_mib: (name == "web").then_some(128),
        cpu_units: 10,
        ..ContainerSpec::default()
    };
    let target = LogTarget {
        group: "/app".into(),
        region: "us-east-1".into(),
        stream: "s".into(),
        ..LogTarget::default()
    };
    let logging = Logging { driver: LogDriver::Awslogs(target), ..Logging::default() };
    let labels = BTreeMap::from([("color".to_owned(), "red".to_owned())]);
    Assignment {
        task_arn: format!("arn:aws:ecs:us-east-1:000000000000:task/demo/{TASK}"),
        task_id: TASK.into(),
        account: "000000000000".into(),
        region: "us-east-1".into(),
        cluster: "demo".into(),
        family: "shop".into(),
        revision: 3,
        zone: "us-east-1b".into(),
        cpu_units: Some(256),
        memory_mib: Some(512),
        interface: Some(Interface {
            eni: "eni-1".into(),
            vpc: "vpc-1".into(),
            vpc_cidr: "127.0.0.0/16".into(),
            subnet: "subnet-1".into(),
            subnet_cidr: "127.0.0.0/20".into(),
            security_groups: vec![],
            address: OWN,
            mac: "0a:00:00:00:00:01".into(),
            public: true,
            on_host: true,
            private_dns_name: "ip-127-0-0-1.ec2.internal".into(),
        }),
        containers: vec![ContainerSpec { logging, labels, ..spec("web") }, spec("db")],
        task_role: Some("arn:aws:iam::000000000000:role/app".into()),
        ..Assignment::default()
    }
}

/// The same on EC2, in a network mode of no VPC.
pub fn on_instance(network_mode: NetworkMode) -> Assignment {
    let container_instance = Some("arn:aws:ecs:us-east-1:000000000000:container-instance/demo/1".into());
    Assignment {
        launch_type: LaunchType::Ec2,
        network_mode,
        interface: None,
        cpu_units: None,
        memory_mib: None,
        container_instance,
        ..task()
    }
}

pub fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(START + secs)
}

/// `web` runs, `db` has ended.
pub fn observation() -> Observation {
    let web = ContainerObservation {
        name: "web".into(),
        runtime_id: Some(format!("{TASK}-0000000001")),
        image_digest: Some("sha256:1".into()),
        started_at: Some(at(3)),
        restarts: 2,
        ..ContainerObservation::default()
    };
    let exit = core_lifecycle::Exit { code: 3, at: at(5), is_oom: false };
    let db = ContainerObservation {
        name: "db".into(),
        runtime_id: Some(format!("{TASK}-0000000002")),
        exit: Some(exit),
        ..web.clone()
    };
    Observation {
        phase: Phase::Running,
        pull_started_at: Some(at(1)),
        pull_stopped_at: Some(at(2)),
        started_at: Some(at(3)),
        containers: vec![web, db],
        ..Observation::default()
    }
}

fn plan(name: &str) -> ContainerPlan {
    ContainerPlan {
        name: name.into(),
        runtime_id: format!("{TASK}-000000000{}", if name == "web" { 1 } else { 2 }),
        layers: vec!["/".into()],
        image: runtime::ImageDefaults { command: vec!["run".into()], ..Default::default() },
        entry_point: None,
        command: None,
        environment: BTreeMap::new(),
        working_directory: None,
        user: None,
        cpu_units: 0,
        memory_mib: None,
        memory_reservation_mib: None,
        readonly_root: false,
        ulimits: Vec::new(),
        output: runtime::Output::Discard,
        place: None,
        mounts: Vec::new(),
        linux: Default::default(),
        labels: BTreeMap::from([("boxship.simulate".to_owned(), "cpu=50 memory=60".to_owned())]),
    }
}
