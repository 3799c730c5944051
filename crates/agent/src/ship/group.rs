//! Which lines make one event.
//!
//! Invariant: grouping depends on the lines alone, so a batch that is read again after a crash
//! groups as it did.

use core_lifecycle::Multiline;
use regex::bytes::Regex;
use runtime::spool::Entry;

/// AWS: an event's bytes, without the overhead that CloudWatch Logs counts.
const MAX_EVENT: usize = 262_144 - 26;

/// What begins a new event.
#[derive(Debug, Clone)]
pub(crate) struct Start(Regex);

impl Start {
    /// # Errors
    /// The pattern is no regular expression, or the format has a letter that means nothing; in the
    /// words of Docker's driver.
    pub fn new(multiline: &Multiline) -> Result<Self, String> {
        let (option, text, pattern) = match multiline {
            Multiline::Pattern(pattern) => ("awslogs-multiline-pattern", pattern, pattern.clone()),
            Multiline::Datetime(format) => ("awslogs-datetime-format", format, pattern_of(format)?),
        };
        Regex::new(&pattern).map(Start).map_err(|error| {
            format!("awslogs could not parse {option} option {text:?}: {}", last_line(&error))
        })
    }

    fn begins(&self, line: &[u8]) -> bool {
        self.0.is_match(line)
    }
}

/// The cause alone, without the drawing that points at it: it goes into a stopped reason.
fn last_line(error: &regex::Error) -> String {
    let text = error.to_string();
    let line = text.lines().last().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}

/// A regular expression for what a format of strftime prints.
///
/// AWS: the text between its letters is one already; Docker's manual writes `\[%b %d, %Y %H:%M:%S\]`.
fn pattern_of(format: &str) -> Result<String, String> {
    let mut pattern = String::new();
    let mut letters = format.chars();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            pattern.push(letter);
            continue;
        }
        pattern.push_str(match letters.next() {
            Some('a') => "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)",
            Some('A') => "(?:Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday)",
            Some('b') => "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)",
            Some('B') => {
                "(?:January|February|March|April|May|June|July|August|September|October|November|December)"
            }
            Some('d') => "(?:0[1-9]|[12][0-9]|3[01])",
            Some('f') => r"\d{6}",
            Some('H') => "(?:[01][0-9]|2[0-3])",
            Some('I') => "(?:0[1-9]|1[0-2])",
            Some('j') => r"(?:[0-2][0-9][0-9]|3[0-6][0-9])",
            Some('L') => r"\.\d{3}",
            Some('m') => "(?:0[1-9]|1[0-2])",
            Some('M') => "[0-5][0-9]",
            Some('p') => "[AP]M",
            Some('S') => "(?:[0-5][0-9]|60)",
            Some('w') => "[0-6]",
            Some('y') => r"\d{2}",
            Some('Y') => r"\d{4}",
            Some('z') => r"[+-]\d{4}",
            Some('Z') => "[A-Z]{1,5}",
            Some('%') => "%",
            other => {
                let other = other.map(String::from).unwrap_or_default();
                return Err(format!(
                    "awslogs could not parse awslogs-datetime-format option {format:?}: %{other} has no meaning"
                ));
            }
        });
    }
    Ok(pattern)
}

/// How many of `lines` may be stored now: all but those of a last event that may still go on.
/// `is_final`: nothing more will come, or what is there has waited long enough.
pub(crate) fn complete(start: &Start, lines: &[Entry], is_final: bool) -> usize {
    if is_final {
        return lines.len();
    }
    let last = lines.iter().rposition(|line| start.begins(&line.text));
    // One event that fills a whole batch is cut rather than waited for.
    let waiting: usize = lines[last.unwrap_or(0)..].iter().map(|line| line.text.len() + 1).sum();
    if waiting >= MAX_EVENT { lines.len() } else { last.unwrap_or(0) }
}

/// Puts the lines of one event together; each keeps its newline.
pub(crate) fn join(start: &Start, lines: Vec<Entry>) -> Vec<Entry> {
    let mut events: Vec<Entry> = Vec::new();
    for mut line in lines {
        if !line.goes_on {
            line.text.push(b'\n');
        }
        match events.last_mut() {
            Some(event) if !start.begins(&line.text) && event.text.len() + line.text.len() <= MAX_EVENT => {
                event.text.extend_from_slice(&line.text);
                event.next = line.next;
                event.goes_on = line.goes_on;
            }
            _ => events.push(line),
        }
    }
    events
}

#[cfg(test)]
mod tests {
    use base::Timestamp;
    use runtime::spool::{Position, Stream};

    use super::*;

    fn lines(texts: &[&str]) -> Vec<Entry> {
        let entry = |(nth, text): (usize, &&str)| {
            let at = |offset: usize| Position { segment: 0, offset: offset as u32 };
            let (time, stream) = (Timestamp::from_secs(nth as i64), Stream::Stdout);
            let text = text.as_bytes().to_vec();
            Entry { at: at(nth), next: at(nth + 1), stream, time, goes_on: false, text }
        };
        texts.iter().enumerate().map(entry).collect()
    }

    fn joined(multiline: &Multiline, texts: &[&str]) -> Vec<String> {
        let start = Start::new(multiline).unwrap();
        let text = |event: Entry| String::from_utf8(event.text).unwrap();
        join(&start, lines(texts)).into_iter().map(text).collect()
    }

    #[test]
    fn a_pattern_begins_an_event() {
        let pattern = Multiline::Pattern("^(INFO|ERROR)".to_owned());
        let trace = ["lost", "INFO one", "ERROR two", "  at a", "  at b", "INFO three"];
        let expected = ["lost\n", "INFO one\n", "ERROR two\n  at a\n  at b\n", "INFO three\n"];
        assert_eq!(joined(&pattern, &trace), expected);
    }

    #[test]
    fn a_date_begins_an_event() {
        let format = Multiline::Datetime(r"\[%b %d, %Y %H:%M:%S\]".to_owned());
        let text = ["[May 01, 2017 19:00:01] A message", "which goes on", "[May 32, 2017 19:00:01] no date"];
        assert_eq!(
            joined(&format, &text),
            ["[May 01, 2017 19:00:01] A message\nwhich goes on\n[May 32, 2017 19:00:01] no date\n"]
        );
        assert_eq!(joined(&Multiline::Datetime("%Y%%".to_owned()), &["2026%", "x"]), ["2026%\nx\n"]);
    }

    #[test]
    fn what_is_no_pattern_is_refused_in_time() {
        for (multiline, said) in [
            (Multiline::Pattern("(".to_owned()), "awslogs-multiline-pattern option \"(\""),
            (Multiline::Datetime("%Q".to_owned()), "%Q has no meaning"),
            (Multiline::Datetime("%".to_owned()), "has no meaning"),
        ] {
            let error = Start::new(&multiline).unwrap_err();
            assert!(error.contains(said) && !error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn the_last_event_waits_for_the_next() {
        let start = Start::new(&Multiline::Pattern("^>".to_owned())).unwrap();
        assert_eq!(complete(&start, &lines(&[">1", "a", ">2", "b"]), false), 2);
        assert_eq!(complete(&start, &lines(&[">1", "a"]), false), 0);
        assert_eq!(complete(&start, &lines(&["a", "b"]), false), 0);
        assert_eq!(complete(&start, &lines(&[">1", "a"]), true), 2);
        let long = "x".repeat(MAX_EVENT);
        assert_eq!(complete(&start, &lines(&[">1", &long]), false), 2);
    }

    #[test]
    fn an_event_never_outgrows_its_limit() {
        let start = Start::new(&Multiline::Pattern("^>".to_owned())).unwrap();
        let long = "x".repeat(MAX_EVENT - 10);
        let events = join(&start, lines(&[">1", &long, "tail of twenty bytes"]));
        assert_eq!(events.len(), 2);
        assert!(events.iter().all(|event| event.text.len() <= MAX_EVENT));
    }
}
