//! What the agent needs of its surroundings, as traits: the server wires them to `vpc`, `oci` and
//! the platform, tests to fakes.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use base::Timestamp;
use core_lifecycle::{Assignment, Binding, LogTarget, Observation, PullAs};
use runtime::{ImageDefaults, Pending, Place};

/// Network interfaces of tasks. Every call may be repeated.
pub trait Network: Send + Sync {
    /// Makes the task's interface and what serves it (resolver, credentials). Called again for a
    /// task taken up after a restart, to open again what lives in this process only.
    fn attach<'a>(&'a self, task: &'a Assignment) -> Pending<'a, Result<Attached, NetworkError>>;

    /// Takes the interface away. One that is not there is away.
    fn detach<'a>(&'a self, task: &'a Assignment) -> Pending<'a, Result<(), NetworkError>>;
}

/// A task's network, ready to be joined.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Attached {
    /// Of the task's interface, where it has one.
    pub address: Option<Ipv4Addr>,
    /// Of every container that `own` does not name.
    pub shared: Place,
    /// By container, where each has a network of its own (`bridge`).
    pub own: BTreeMap<String, Own>,
    /// Ports of the host, by container.
    pub bindings: BTreeMap<String, Vec<Binding>>,
}

/// One container's network.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Own {
    pub place: Place,
    pub address: Option<Ipv4Addr>,
}

/// Why a task has no network.
#[derive(Debug, Clone, thiserror::Error)]
pub enum NetworkError {
    /// The interface could not be made. Becomes the task's `ResourceInitializationError`.
    #[error("{0}")]
    Interface(String),
    /// A port of the host could not be had for a container. Becomes its
    /// `CannotStartContainerError`; `cause` is in Docker's words.
    #[error("{cause}")]
    Port { container: String, cause: String },
}

impl NetworkError {
    /// The container that it is about, if it is about one.
    pub fn container(&self) -> Option<&str> {
        match self {
            NetworkError::Interface(_) => None,
            NetworkError::Port { container, .. } => Some(container),
        }
    }
}

/// What tasks can ask at 169.254.170.2: metadata, credentials and the rest. Every call may be
/// repeated, and after a restart is.
pub trait Endpoint: Send + Sync {
    /// Makes the task known, before its containers start. Answers what it adds to the environment
    /// of each container, by name; the definition's own variables win.
    fn open(&self, task: &Assignment, attached: &Attached) -> BTreeMap<String, BTreeMap<String, String>>;

    /// The newest that the host knows of the task.
    fn observe(&self, task: &Assignment, observation: &Observation);

    /// Nothing of the task runs any more.
    fn close(&self, task_id: &str);
}

/// Values that services keep for tasks: parameters, secrets, files of variables, registry
/// credentials.
pub trait Secrets: Send + Sync {
    /// The value that an ARN or a parameter's name means, read as the execution role. For
    /// Secrets Manager the ARN may carry a JSON key, a version stage and a version id.
    fn value<'a>(
        &'a self,
        task: &'a Assignment,
        value_from: &'a str,
    ) -> Pending<'a, Result<String, SecretError>>;

    /// The text of a file of variables, by its ARN.
    fn file<'a>(&'a self, task: &'a Assignment, arn: &'a str) -> Pending<'a, Result<String, SecretError>>;
}

/// Tasks are told nothing.
pub struct NoEndpoint;

impl Endpoint for NoEndpoint {
    fn open(&self, _: &Assignment, _: &Attached) -> BTreeMap<String, BTreeMap<String, String>> {
        BTreeMap::new()
    }

    fn observe(&self, _: &Assignment, _: &Observation) {}

    fn close(&self, _: &str) {}
}

/// No service keeps values for tasks.
pub struct NoSecrets;

impl Secrets for NoSecrets {
    fn value<'a>(&'a self, _: &'a Assignment, from: &'a str) -> Pending<'a, Result<String, SecretError>> {
        Box::pin(async move { Err(SecretError(format!("no service here keeps {from}"))) })
    }

    fn file<'a>(&'a self, _: &'a Assignment, arn: &'a str) -> Pending<'a, Result<String, SecretError>> {
        Box::pin(async move { Err(SecretError(format!("no service here keeps {arn}"))) })
    }
}

/// A value cannot be had. Becomes the task's `ResourceInitializationError`.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct SecretError(pub String);

/// Images, pulled once and unpacked.
pub trait Images: Send + Sync {
    /// Makes the image's layers present and keeps them until [`Images::release`] names the task.
    fn pull<'a>(&'a self, wanted: Wanted<'a>) -> Pending<'a, Result<Pulled, PullError>>;

    /// After a restart: the task runs on layers of the image with this manifest digest, which are
    /// to be kept until [`Images::release`]. By default nothing is done.
    fn hold<'a>(&'a self, _task: &'a str, _digest: &'a str) -> Pending<'a, ()> {
        Box::pin(async {})
    }

    /// Nothing of the task needs its images any more.
    fn release<'a>(&'a self, task: &'a str) -> Pending<'a, ()>;
}

/// An image for a container.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// As the task definition has it.
    pub image: &'a str,
    pub pull_as: &'a PullAs,
    /// `X86_64` or `ARM64`.
    pub architecture: &'a str,
    /// The task's id, under which the layers are kept.
    pub task: &'a str,
    pub execution_role: Option<&'a str>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Pulled {
    /// `sha256:…` of the manifest.
    pub digest: String,
    /// Unpacked layers, the base first.
    pub layers: Vec<PathBuf>,
    pub config: ImageDefaults,
}

/// Why an image could not be had. `reference` is the full one, registry included.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PullError {
    /// Not a reference that could name an image.
    #[error("invalid reference format: {reference}")]
    Malformed { reference: String },
    #[error("{reference}: not found")]
    NotFound { reference: String },
    #[error("pull access denied for {reference}")]
    Denied { reference: String },
    /// The image exists, for other platforms only.
    #[error("{reference} has no image for {platform}")]
    Platform { reference: String, platform: String },
    /// The registry does not answer; `cause` in containerd's words: `failed to do request: Get …`.
    #[error("{reference}: {cause}")]
    Unreachable { reference: String, cause: String },
    /// What the registry gave is not what the digest promised, or is no image.
    #[error("{reference}: {cause}")]
    Broken { reference: String, cause: String },
    #[error("{reference}: no space left on device")]
    NoSpace { reference: String },
}

/// Where containers' output goes: CloudWatch Logs, behind the platform.
///
/// Delivery is at least once, with a token by which a repetition is known: a batch covers the
/// source's bytes from `first` to `next`, and after a crash the batch that was under way is sent
/// again with the same bounds and events. A sink that keeps, with the events, the highest `next`
/// that it has stored of each source and ignores a batch whose `first` lies below it, stores
/// every line once.
pub trait LogSink: Send + Sync {
    /// Makes the stream, and the group where the target asks for it. One that exists is fine.
    fn open<'a>(&'a self, source: &'a LogSource, target: &'a LogTarget)
    -> Pending<'a, Result<(), SinkError>>;

    /// Stores a batch durably; at most 10,000 events and 1,048,576 bytes as CloudWatch Logs
    /// counts them (26 bytes on top of each message), in order of time.
    fn put<'a>(
        &'a self,
        source: &'a LogSource,
        target: &'a LogTarget,
        batch: LogBatch,
    ) -> Pending<'a, Result<(), SinkError>>;
}

/// Whose output it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSource {
    pub account: String,
    pub task_arn: String,
    pub container: String,
    /// Unique among all containers ever; a source's tokens count within it.
    pub runtime_id: String,
    /// As whom the call is made.
    pub execution_role: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogBatch {
    /// Tokens: this batch begins here, and the next one there. They only grow.
    pub first: u64,
    pub next: u64,
    pub events: Vec<LogEvent>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEvent {
    pub at: Timestamp,
    /// Never empty.
    pub message: String,
}

/// A sink did not take it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{code}: {message}")]
pub struct SinkError {
    /// AWS's code: `ResourceNotFoundException` …
    pub code: String,
    pub message: String,
    /// Whether the same again may succeed.
    pub is_retryable: bool,
}
