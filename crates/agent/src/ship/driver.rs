//! What takes a container's lines, by the name of its log driver.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use core_lifecycle::{Failure, LogDriver, Logging};
use runtime::spool::{Entry, Position};

use super::awslogs;
use super::fluentd::Fluentd;
use super::group::Start;
use super::identity::Identity;
use super::json_file::{Bounds, JsonFile};
use super::syslog::Syslog;
use crate::failure;
use crate::seams::{LogBatch, LogSink, LogSource, SinkError};

/// Everything that decides where a container's output goes.
#[derive(Clone)]
pub(crate) struct Driving {
    pub sink: Arc<dyn LogSink>,
    pub source: LogSource,
    pub logging: Logging,
    pub identity: Identity,
}

pub(super) enum Driver {
    Nothing,
    Awslogs { start: Option<Start> },
    JsonFile(JsonFile),
    Syslog(Syslog),
    Fluentd(Fluentd),
}

/// Before a container starts: whether its driver takes output at all. Options that mean nothing,
/// a stream that cannot be made and a collector that does not answer fail the task.
pub(crate) async fn probe(driving: &Driving) -> Result<(), Failure> {
    match &driving.logging.driver {
        LogDriver::None | LogDriver::JsonFile { .. } => Ok(()),
        LogDriver::Awslogs(target) => {
            if let Some(multiline) = &target.multiline {
                Start::new(multiline).map_err(|error| failure::log_driver(&error))?;
            }
            driving.sink.open(&driving.source, target).await.map_err(|e| failure::logs(&e))
        }
        LogDriver::Syslog(options) => {
            let made = Syslog::new(options, tag(driving, options));
            let mut made = made.map_err(|error| failure::log_driver(&error))?;
            made.connect().await.map_err(|error| failure::log_driver(&error.to_string()))
        }
        LogDriver::Fluentd(options) => {
            let made = Fluentd::new(options, driving.identity.clone());
            let mut made = made.map_err(|error| failure::log_driver(&error))?;
            if made.is_async {
                return Ok(());
            }
            made.connect().await.map_err(|error| failure::log_driver(&error.to_string()))
        }
    }
}

fn tag(driving: &Driving, options: &BTreeMap<String, String>) -> String {
    driving.identity.tag(options.get("tag").map(String::as_str))
}

impl Driver {
    /// `file_bytes`: where a batch that was under way began, in the driver's own file.
    pub fn open(driving: &Driving, path: PathBuf, file_bytes: Option<u64>) -> Result<Self, String> {
        match &driving.logging.driver {
            LogDriver::None => Ok(Driver::Nothing),
            LogDriver::Awslogs(target) => {
                let start = target.multiline.as_ref().map(Start::new).transpose()?;
                Ok(Driver::Awslogs { start })
            }
            LogDriver::JsonFile { max_bytes, max_files, is_compressed, options } => {
                let bounds = Bounds {
                    max_bytes: *max_bytes,
                    max_files: (*max_files).max(1),
                    is_compressed: *is_compressed,
                };
                let mut attributes: BTreeMap<_, _> = driving.identity.extra(options).into_iter().collect();
                if let Some(template) = options.get("tag") {
                    attributes.insert("tag".to_owned(), driving.identity.tag(Some(template)));
                }
                let opened = JsonFile::open(path, bounds, attributes, file_bytes);
                opened.map(Driver::JsonFile).map_err(|error| error.to_string())
            }
            LogDriver::Syslog(options) => Syslog::new(options, tag(driving, options)).map(Driver::Syslog),
            LogDriver::Fluentd(options) => {
                Fluentd::new(options, driving.identity.clone()).map(Driver::Fluentd)
            }
        }
    }

    /// What begins an event, where lines are put together.
    pub fn start(&self) -> Option<&Start> {
        match self {
            Driver::Awslogs { start } => start.as_ref(),
            Driver::Nothing | Driver::JsonFile(_) | Driver::Syslog(_) | Driver::Fluentd(_) => None,
        }
    }

    pub fn file_bytes(&self) -> Option<u64> {
        match self {
            Driver::JsonFile(file) => Some(file.bytes()),
            Driver::Nothing | Driver::Awslogs { .. } | Driver::Syslog(_) | Driver::Fluentd(_) => None,
        }
    }

    /// Whether someone else's program takes the output.
    pub fn is_outside(&self) -> bool {
        matches!(self, Driver::Syslog(_) | Driver::Fluentd(_))
    }

    /// Hands over one batch, whose lines are between two places of the spool.
    pub async fn put(
        &mut self,
        driving: &Driving,
        (first, next): (Position, Position),
        entries: &[Entry],
    ) -> Result<(), SinkError> {
        let failed = |error: std::io::Error| SinkError {
            code: "LogDriver".to_owned(),
            message: error.to_string(),
            is_retryable: true,
        };
        match self {
            Driver::Nothing => Ok(()),
            Driver::Awslogs { .. } => {
                let Some(target) = driving.logging.awslogs() else { return Ok(()) };
                let events = awslogs::events(entries);
                if events.is_empty() {
                    return Ok(());
                }
                let batch = LogBatch { first: first.sequence(), next: next.sequence(), events };
                driving.sink.put(&driving.source, target, batch).await
            }
            Driver::JsonFile(file) => file.write(entries).map_err(failed),
            Driver::Syslog(syslog) => syslog.write(entries).await.map_err(failed),
            Driver::Fluentd(fluentd) => fluentd.write(entries).await.map_err(failed),
        }
    }
}

/// A collector that does not answer, in the words of Go's `net`: `dial tcp 127.0.0.1:24224: connect:
/// connection refused`.
pub(super) fn dial(network: &str, to: &dyn std::fmt::Display, error: std::io::Error) -> std::io::Error {
    let text = error.to_string().to_lowercase();
    let text = text.split(" (os error").next().unwrap_or_default();
    std::io::Error::new(error.kind(), format!("dial {network} {to}: connect: {text}"))
}

/// Whether lines go anywhere.
pub(crate) fn is_kept(logging: &Logging) -> bool {
    logging.driver != LogDriver::None
}
