//! What the agent needs of its surroundings, as traits: the server wires them to `vpc`, `oci` and
//! the platform, tests to fakes.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use base::Timestamp;
use core_lifecycle::{Assignment, LogTarget, PullAs};
use runtime::{ImageDefaults, Pending};

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
    /// `None`: a namespace of its own with nothing in it (simulated, or no interface).
    pub netns: Option<PathBuf>,
    pub address: Option<Ipv4Addr>,
    pub hostname: String,
    /// Contents of `/etc/resolv.conf` and `/etc/hosts`.
    pub resolv_conf: String,
    pub hosts: String,
}

/// The interface could not be made. Becomes the task's `ResourceInitializationError`.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct NetworkError(pub String);

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
    /// The registry does not answer.
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
