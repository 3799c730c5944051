//! Directions for the simulated runtime, as the docker label `boxship.simulate` gives them.
//!
//! ```text
//! exit=3 after=10s          ends with code 3 ten seconds after its start
//! unhealthy after=5s        its health check fails from then on
//! cpu=80 memory=60          what it is said to use, in percent of its limits
//! ```
//!
//! `after` belongs to the direction before it and is 0 where it is left out. Directions may stand
//! in one label, in any order, each at most once. Anything else is an error that names the word.

use std::fmt;
use std::time::Duration;

/// The docker label that carries directions.
pub const LABEL: &str = "boxship.simulate";

/// What a simulated container does.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Directions {
    pub exit: Option<PlannedExit>,
    /// Counted from the container's start.
    pub unhealthy_after: Option<Duration>,
    pub cpu_percent: Option<u32>,
    pub memory_percent: Option<u32>,
}

/// An exit with a code, some time after the container's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlannedExit {
    pub code: i32,
    pub after: Duration,
}

/// A word of the label that is no direction, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SimulateError {
    pub word: String,
    pub problem: &'static str,
}

impl fmt::Display for SimulateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{LABEL}: '{}' {}", self.word, self.problem)
    }
}

impl std::error::Error for SimulateError {}

impl Directions {
    /// Parses a label's value. An empty value gives no directions: the container runs until stopped.
    pub fn parse(label: &str) -> Result<Directions, SimulateError> {
        let mut directions = Directions::default();
        let mut words = label.split_whitespace().peekable();
        while let Some(word) = words.next() {
            let after = match words.peek().and_then(|next| next.strip_prefix("after=")) {
                Some(text) => Some(duration(text)?),
                None => None,
            };
            if after.is_some() {
                words.next();
            }
            directions.take(word, after)?;
        }
        Ok(directions)
    }

    fn take(&mut self, word: &str, after: Option<Duration>) -> Result<(), SimulateError> {
        let fail = |problem| Err(SimulateError { word: String::from(word), problem });
        let is_again = match word.split_once('=') {
            Some(("exit", code)) => {
                let Ok(code) = code.parse::<u8>() else { return fail("is not an exit code (0 to 255)") };
                let planned = PlannedExit { code: i32::from(code), after: after.unwrap_or_default() };
                self.exit.replace(planned).is_some()
            }
            Some(("cpu", _)) | Some(("memory", _)) if after.is_some() => {
                return fail("takes no 'after'");
            }
            Some(("cpu", percent)) => match percentage(percent) {
                Some(percent) => self.cpu_percent.replace(percent).is_some(),
                None => return fail("is not a percentage (0 to 10000)"),
            },
            Some(("memory", percent)) => match percentage(percent) {
                Some(percent) => self.memory_percent.replace(percent).is_some(),
                None => return fail("is not a percentage (0 to 10000)"),
            },
            None if word == "unhealthy" => self.unhealthy_after.replace(after.unwrap_or_default()).is_some(),
            Some(("after", _)) => return fail("belongs behind 'exit=…' or 'unhealthy'"),
            Some(_) | None => return fail("is not a direction"),
        };
        if is_again { fail("is given twice") } else { Ok(()) }
    }
}

fn percentage(text: &str) -> Option<u32> {
    text.parse().ok().filter(|percent| *percent <= 10_000)
}

/// `500ms`, `10s`, `5m`, `2h`; at most 365 days.
fn duration(text: &str) -> Result<Duration, SimulateError> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let millis: Option<u64> = match unit {
        "ms" => Some(1),
        "s" => Some(1_000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        _ => None,
    };
    let total = number.parse::<u64>().ok().zip(millis).and_then(|(n, unit)| n.checked_mul(unit));
    match total.filter(|total| *total <= 365 * 24 * 3_600_000) {
        Some(total) => Ok(Duration::from_millis(total)),
        None => Err(SimulateError {
            word: format!("after={text}"),
            problem: "is not a duration such as 500ms, 10s, 5m or 2h",
        }),
    }
}
