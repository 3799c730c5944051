//! Log drivers: what their options may say, and where the output goes.
//!
//! Deliberately ignores `awsfirelens`, `splunk`, `gelf` and the other drivers of Docker: `support`
//! refuses them by name when a task is to run.

use std::collections::BTreeMap;

use core_lifecycle::{LogDriver, LogTarget, Logging, Multiline};

use super::assign;
use crate::state::container::LogConfiguration;

/// AWS: the buffer of the non-blocking mode where the definition names none.
const DEFAULT_BUFFER: u64 = 10 * 1024 * 1024;
/// Docker's: json-file keeps one file where the definition names no number.
const DEFAULT_FILES: u32 = 1;

/// Drivers that we have.
pub const DRIVERS: [&str; 5] = ["awslogs", "json-file", "none", "syslog", "fluentd"];

/// Every driver that the API knows.
const KNOWN_DRIVERS: [&str; 10] = [
    "json-file",
    "syslog",
    "journald",
    "gelf",
    "fluentd",
    "awslogs",
    "splunk",
    "awsfirelens",
    "logentries",
    "none",
];

/// Options of `awslogs`; those in the second list are known and not acted on.
const AWSLOGS: [&str; 7] = [
    "awslogs-group",
    "awslogs-region",
    "awslogs-stream-prefix",
    "awslogs-create-group",
    "awslogs-multiline-pattern",
    "awslogs-datetime-format",
    "awslogs-stream",
];
const AWSLOGS_NOT_YET: [&str; 7] = [
    "awslogs-endpoint",
    "awslogs-credentials-endpoint",
    "awslogs-force-flush-interval-seconds",
    "awslogs-max-buffered-events",
    "awslogs-format",
    "awslogs-stream",
    "tag",
];
/// Options that every driver of Docker takes.
const COMMON: [&str; 2] = ["mode", "max-buffer-size"];
/// Which labels and variables go with a line, for the drivers that send some.
const EXTRAS: [&str; 5] = ["labels", "labels-regex", "env", "env-regex", "tag"];
const JSON_FILE: [&str; 3] = ["max-size", "max-file", "compress"];
const SYSLOG: [&str; 7] = [
    "syslog-address",
    "syslog-facility",
    "syslog-format",
    "syslog-tls-ca-cert",
    "syslog-tls-cert",
    "syslog-tls-key",
    "syslog-tls-skip-verify",
];
const FLUENTD: [&str; 8] = [
    "fluentd-address",
    "fluentd-async",
    "fluentd-async-connect",
    "fluentd-async-reconnect-interval",
    "fluentd-buffer-limit",
    "fluentd-retry-wait",
    "fluentd-max-retries",
    "fluentd-sub-second-precision",
];

/// Whether a container waits for its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// A log that cannot keep up holds the container back.
    Blocking,
    /// What does not fit into a buffer is dropped.
    /// AWS: the default since June 2025, where the account setting does not say otherwise.
    #[default]
    NonBlocking,
}

impl Mode {
    /// As the option `mode` and the account setting `defaultLogDriverMode` spell it.
    pub fn parse(text: &str) -> Option<Mode> {
        match text {
            "blocking" => Some(Mode::Blocking),
            "non-blocking" => Some(Mode::NonBlocking),
            _ => None,
        }
    }
}

/// Whose output it is.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    pub region: &'a str,
    pub container: &'a str,
    pub task: &'a str,
}

/// What is wrong with a log configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogFlaw {
    #[error("Invalid log driver: '{0}'.")]
    Driver(String),
    #[error("Log driver {driver} requires options: {names}")]
    Missing { driver: String, names: String },
    #[error("Log driver {driver} disallows options: {names}")]
    Unknown { driver: String, names: String },
    #[error("Log driver {driver}: option '{name}' {problem}.")]
    Value { driver: String, name: String, problem: &'static str },
    #[error(
        "Log driver awslogs: options 'awslogs-multiline-pattern' and 'awslogs-datetime-format' exclude each other."
    )]
    Multiline,
}

/// Checks a log configuration, whose driver may be one that we do not have.
pub fn check(log: &LogConfiguration) -> Result<(), LogFlaw> {
    let driver = log.log_driver.as_str();
    if !KNOWN_DRIVERS.contains(&driver) {
        return Err(LogFlaw::Driver(String::from(driver)));
    }
    if !DRIVERS.contains(&driver) {
        return Ok(());
    }
    let known = |name: &str| match driver {
        "awslogs" => AWSLOGS.contains(&name) || AWSLOGS_NOT_YET.contains(&name) || COMMON.contains(&name),
        "json-file" => JSON_FILE.contains(&name) || EXTRAS.contains(&name) || COMMON.contains(&name),
        "syslog" => SYSLOG.contains(&name) || EXTRAS.contains(&name) || COMMON.contains(&name),
        "fluentd" => FLUENTD.contains(&name) || EXTRAS.contains(&name) || COMMON.contains(&name),
        _ => false,
    };
    let options = || log.options.iter().flatten();
    let driver = || String::from(driver);
    let unknown: Vec<&str> = options().map(|(name, _)| name.as_str()).filter(|name| !known(name)).collect();
    if !unknown.is_empty() {
        return Err(LogFlaw::Unknown { driver: driver(), names: unknown.join(", ") });
    }
    if log.log_driver == "awslogs" {
        awslogs(log)?;
    }
    for (name, value) in options() {
        if let Some(problem) = flaw_of(name, value) {
            return Err(LogFlaw::Value { driver: driver(), name: name.clone(), problem });
        }
    }
    Ok(())
}

fn awslogs(log: &LogConfiguration) -> Result<(), LogFlaw> {
    let options = log.options.as_ref();
    let has = |name: &str| options.is_some_and(|options| options.get(name).is_some_and(|v| !v.is_empty()));
    let mut wanted = vec!["awslogs-region", "awslogs-group"];
    wanted.retain(|name| !has(name));
    if !wanted.is_empty() {
        return Err(LogFlaw::Missing { driver: log.log_driver.clone(), names: wanted.join(", ") });
    }
    let is_doubled = has("awslogs-multiline-pattern") && has("awslogs-datetime-format");
    if is_doubled { Err(LogFlaw::Multiline) } else { Ok(()) }
}

/// What is wrong with an option's value, if anything.
fn flaw_of(name: &str, value: &str) -> Option<&'static str> {
    let is_flag = || value.eq_ignore_ascii_case("true") || value.eq_ignore_ascii_case("false");
    let is_sound = match name {
        "mode" => return Mode::parse(value).is_none().then_some("must be blocking or non-blocking"),
        "max-buffer-size" | "max-size" if value == "-1" && name == "max-size" => true,
        "max-buffer-size" | "max-size" => {
            return size(value).is_none().then_some("must be a size such as 512k or 25m");
        }
        "max-file" => {
            return value
                .parse::<u32>()
                .is_ok_and(|n| n > 0)
                .then_some(())
                .is_none()
                .then_some("must be a positive number");
        }
        "awslogs-create-group"
        | "compress"
        | "fluentd-async"
        | "fluentd-async-connect"
        | "fluentd-sub-second-precision"
        | "syslog-tls-skip-verify" => is_flag(),
        _ => true,
    };
    if !is_sound {
        return Some("must be true or false");
    }
    match name {
        "syslog-format" if !matches!(value, "rfc3164" | "rfc5424" | "rfc5424micro") => {
            Some("must be rfc3164, rfc5424 or rfc5424micro")
        }
        "syslog-address" if !is_address(value, &["udp", "tcp", "tcp+tls", "unix", "unixgram"]) => {
            Some("must be an address such as udp://host:514, tcp://host:601 or unix:///dev/log")
        }
        "fluentd-address" if value.contains("://") && !is_address(value, &["tcp", "tls", "unix"]) => {
            Some("must be an address such as host:24224, tcp://host:24224 or unix:///path")
        }
        _ => None,
    }
}

fn is_address(text: &str, schemes: &[&str]) -> bool {
    text.split_once("://").is_some_and(|(scheme, rest)| schemes.contains(&scheme) && !rest.is_empty())
}

/// The first option that a run would have to ignore.
pub fn not_yet(log: &LogConfiguration) -> Option<&str> {
    let names = log.options.iter().flatten().map(|(name, _)| name.as_str());
    let missing = |name: &&str| match log.log_driver.as_str() {
        "awslogs" => AWSLOGS_NOT_YET.contains(name),
        "syslog" => name.starts_with("syslog-tls"),
        _ => false,
    };
    names.into_iter().find(missing)
}

/// Where the output goes. The configuration has been checked; `default` is the mode where it names
/// none.
pub fn logging(log: &LogConfiguration, origin: &Origin<'_>, default: Mode) -> Logging {
    let option = |name: &str| log.options.as_ref().and_then(|options| options.get(name)).map(String::as_str);
    let driver = match log.log_driver.as_str() {
        "awslogs" => LogDriver::Awslogs(target(log, origin)),
        "json-file" => LogDriver::JsonFile {
            max_bytes: option("max-size").and_then(size),
            max_files: option("max-file").and_then(|text| text.parse().ok()).unwrap_or(DEFAULT_FILES),
            is_compressed: option("compress").is_some_and(|text| text.eq_ignore_ascii_case("true")),
            options: others(log, &JSON_FILE),
        },
        "syslog" => LogDriver::Syslog(others(log, &[])),
        "fluentd" => LogDriver::Fluentd(others(log, &[])),
        _ => LogDriver::None,
    };
    let mode = option("mode").and_then(Mode::parse).unwrap_or(match driver {
        LogDriver::Awslogs(_) => default,
        // Docker's own default: the account setting speaks of what ECS sends away.
        LogDriver::None | LogDriver::JsonFile { .. } => Mode::Blocking,
        LogDriver::Syslog(_) | LogDriver::Fluentd(_) => default,
    });
    let buffer = option("max-buffer-size").and_then(size).unwrap_or(DEFAULT_BUFFER);
    Logging {
        driver,
        buffer_bytes: (mode == Mode::NonBlocking).then_some(buffer),
        secret_options: log.secret_options.iter().flatten().map(assign::secret).collect(),
    }
}

fn target(log: &LogConfiguration, origin: &Origin<'_>) -> LogTarget {
    let option = |name: &str| {
        let options = log.options.as_ref().and_then(|options| options.get(name));
        options.map(String::as_str).filter(|text| !text.is_empty())
    };
    let stream = match option("awslogs-stream-prefix") {
        Some(prefix) => format!("{prefix}/{}/{}", origin.container, origin.task),
        None => format!("{}/{}", origin.container, origin.task),
    };
    let pattern = option("awslogs-multiline-pattern").map(|text| Multiline::Pattern(String::from(text)));
    let format = option("awslogs-datetime-format").map(|text| Multiline::Datetime(String::from(text)));
    LogTarget {
        group: option("awslogs-group").map(String::from).unwrap_or_default(),
        region: option("awslogs-region").unwrap_or(origin.region).to_owned(),
        stream,
        create_group: option("awslogs-create-group").is_some_and(|text| text.eq_ignore_ascii_case("true")),
        multiline: pattern.or(format),
    }
}

/// The options beside `taken` and those of every driver.
fn others(log: &LogConfiguration, taken: &[&str]) -> BTreeMap<String, String> {
    let is_other = |name: &str| !taken.contains(&name) && !COMMON.contains(&name);
    let options = log.options.iter().flatten().filter(|(name, _)| is_other(name));
    options.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Docker's sizes: `1048576`, `512k`, `25m`, `1g`, each with or without a `b` behind.
fn size(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    let text = text.strip_suffix('b').unwrap_or(&text);
    let (number, unit) = match text.as_bytes().last()? {
        b'k' => (&text[..text.len() - 1], 1 << 10),
        b'm' => (&text[..text.len() - 1], 1 << 20),
        b'g' => (&text[..text.len() - 1], 1 << 30),
        _ => (text, 1_u64),
    };
    number.trim().parse::<u64>().ok()?.checked_mul(unit).filter(|bytes| *bytes > 0)
}
