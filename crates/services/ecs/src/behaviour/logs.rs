//! The `awslogs` driver's options.

use core_lifecycle::{LogDriver, LogTarget, Logging};

use crate::state::container::LogConfiguration;

/// AWS: the buffer of the non-blocking mode where the definition names none.
const DEFAULT_BUFFER: u64 = 10 * 1024 * 1024;

/// Options that we act on.
pub const KNOWN: [&str; 6] = [
    "awslogs-group",
    "awslogs-region",
    "awslogs-stream-prefix",
    "awslogs-create-group",
    "mode",
    "max-buffer-size",
];

/// Where the output of `container` of the task `task_id` goes. The options have been checked.
pub fn logging(log: &LogConfiguration, region: &str, container: &str, task_id: &str) -> Logging {
    let option = |name: &str| log.options.as_ref().and_then(|options| options.get(name)).map(String::as_str);
    let stream = match option("awslogs-stream-prefix") {
        Some(prefix) => format!("{prefix}/{container}/{task_id}"),
        None => format!("{container}/{task_id}"),
    };
    let buffer = option("max-buffer-size").and_then(size).unwrap_or(DEFAULT_BUFFER);
    let target = LogTarget {
        group: option("awslogs-group").map(String::from).unwrap_or_default(),
        region: option("awslogs-region").unwrap_or(region).to_owned(),
        stream,
        create_group: option("awslogs-create-group").is_some_and(|text| text.eq_ignore_ascii_case("true")),
        multiline: None,
    };
    // AWS: non-blocking is the default since June 2025.
    let buffer_bytes = (option("mode") != Some("blocking")).then_some(buffer);
    Logging { driver: LogDriver::Awslogs(target), buffer_bytes, secret_options: Vec::new() }
}

/// What is wrong with an option's value, if anything.
pub fn flaw_of(name: &str, value: &str) -> Option<&'static str> {
    match name {
        "mode" if !matches!(value, "blocking" | "non-blocking") => Some("must be blocking or non-blocking"),
        "max-buffer-size" if size(value).is_none() => Some("must be a size such as 512k or 25m"),
        "awslogs-create-group"
            if !matches!(value, "true" | "false" | "True" | "False" | "TRUE" | "FALSE") =>
        {
            Some("must be true or false")
        }
        _ => None,
    }
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
