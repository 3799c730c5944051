//! Where a container's output goes, and what becomes of it when that cannot keep up.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::assignment::SecretReference;

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Logging {
    pub driver: LogDriver,
    /// `None` blocks; otherwise the buffer of the non-blocking mode, in bytes.
    pub buffer_bytes: Option<u64>,
    /// Options whose values a provider has.
    pub secret_options: Vec<SecretReference>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum LogDriver {
    /// Nothing is kept.
    #[default]
    None,
    Awslogs(LogTarget),
    /// Files on the host, in Docker's form.
    JsonFile {
        /// `None`: one file without a bound.
        max_bytes: Option<u64>,
        max_files: u32,
        is_compressed: bool,
        /// `labels`, `env`, `tag` … as Docker's driver takes them.
        options: BTreeMap<String, String>,
    },
    /// Options as Docker's driver takes them: `syslog-address`, `syslog-format` …
    Syslog(BTreeMap<String, String>),
    /// Options as Docker's driver takes them: `fluentd-address`, `tag` …
    Fluentd(BTreeMap<String, String>),
}

/// The `awslogs` driver's.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LogTarget {
    pub group: String,
    pub region: String,
    pub stream: String,
    pub create_group: bool,
    #[serde(default)]
    pub multiline: Option<Multiline>,
}

/// What begins a new event: other lines belong to the one before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Multiline {
    /// A regular expression (`awslogs-multiline-pattern`).
    Pattern(String),
    /// In the terms of strftime (`awslogs-datetime-format`).
    Datetime(String),
}

impl LogDriver {
    /// Adds options. The `awslogs` driver has none that could be secret; neither has none at all.
    pub fn add_options(&mut self, values: BTreeMap<String, String>) {
        match self {
            LogDriver::JsonFile { options, .. }
            | LogDriver::Syslog(options)
            | LogDriver::Fluentd(options) => {
                options.extend(values);
            }
            LogDriver::None | LogDriver::Awslogs(_) => {}
        }
    }
}

impl Logging {
    /// The `awslogs` driver's target, where that is the driver.
    pub fn awslogs(&self) -> Option<&LogTarget> {
        match &self.driver {
            LogDriver::Awslogs(target) => Some(target),
            LogDriver::None | LogDriver::JsonFile { .. } | LogDriver::Syslog(_) | LogDriver::Fluentd(_) => {
                None
            }
        }
    }
}
