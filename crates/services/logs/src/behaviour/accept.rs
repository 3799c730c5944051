//! Which events of a batch are taken.

use aws_logs::RejectedLogEventsInfo;
use base::{Fault, Timestamp};

use crate::faults;

const MOST_EVENTS: usize = 10_000;
const MOST_BYTES: usize = 1_048_576;
/// AWS: every event counts so much beside its text.
const OVERHEAD: usize = 26;
const DAY_MS: i64 = 86_400_000;
const OLDEST_MS: i64 = 14 * DAY_MS;
const NEWEST_MS: i64 = 2 * 3_600_000;

/// An event on its way in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incoming {
    pub timestamp_ms: i64,
    pub message: String,
    /// The position in its source just behind it; unused where there is no source. Events of a
    /// batch that is only ever repeated as a whole may all have the batch's end.
    pub offset: u64,
}

/// What became of a batch.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Put {
    /// Events written now. Repeated and rejected ones are not.
    pub written: usize,
    pub next_seq: u64,
    /// As PutLogEvents answers it: by index into the batch.
    pub rejected: Option<RejectedLogEventsInfo>,
}

/// Refuses a batch that is too large.
pub(crate) fn check_size(events: &[Incoming]) -> Result<(), Fault> {
    if events.len() > MOST_EVENTS {
        return Err(faults::invalid(format_args!(
            "Too many log events: {} exceeds limit of {MOST_EVENTS}",
            events.len()
        )));
    }
    let sizes = events.iter().map(|event| event.message.len() + OVERHEAD);
    if let Some(size) = sizes.clone().find(|size| *size > MOST_BYTES) {
        return Err(faults::invalid(format_args!(
            "Log event too large: {size} bytes exceeds limit of {MOST_BYTES}"
        )));
    }
    match sizes.sum::<usize>() {
        size if size > MOST_BYTES => {
            Err(faults::invalid(format_args!("Upload too large: {size} bytes exceeds limit of {MOST_BYTES}")))
        }
        _ => Ok(()),
    }
}

/// Refuses a batch whose times go back.
pub(crate) fn check_order(events: &[Incoming]) -> Result<(), Fault> {
    match events.is_sorted_by_key(|event| event.timestamp_ms) {
        true => Ok(()),
        false => Err(faults::invalid(
            "Log events in a single PutLogEvents request must be in chronological order.",
        )),
    }
}

/// Refuses a batch whose taken events are more than a day apart.
pub(crate) fn check_span(events: &[Incoming]) -> Result<(), Fault> {
    match (events.first(), events.last()) {
        (Some(first), Some(last)) if last.timestamp_ms - first.timestamp_ms > DAY_MS => Err(faults::invalid(
            "The batch of log events in a single PutLogEvents request cannot span more than 24 hours.",
        )),
        _ => Ok(()),
    }
}

/// Leaves out what is too old, too new or expired, and says what that was.
pub(crate) fn sift(
    events: Vec<Incoming>,
    now: Timestamp,
    cutoff_ms: i64,
) -> (Vec<Incoming>, Option<RejectedLogEventsInfo>) {
    let now = now.as_millis();
    let (oldest, newest) = (now - OLDEST_MS, now + NEWEST_MS);
    let behind =
        |bound: i64| events.iter().rposition(|event| event.timestamp_ms < bound).map(|at| at as i32 + 1);
    let too_old = behind(oldest);
    let expired = behind(cutoff_ms).filter(|end| too_old.is_none_or(|too_old| *end > too_old));
    let too_new = events.iter().position(|event| event.timestamp_ms > newest).map(|at| at as i32);
    let is_all = too_old.or(expired).or(too_new).is_none();
    let rejected = (!is_all).then_some(RejectedLogEventsInfo {
        too_new_log_event_start_index: too_new,
        too_old_log_event_end_index: too_old,
        expired_log_event_end_index: expired,
    });
    let taken = (oldest.max(cutoff_ms)..=newest, events);
    (taken.1.into_iter().filter(|event| taken.0.contains(&event.timestamp_ms)).collect(), rejected)
}

#[cfg(test)]
mod tests {
    use base::Timestamp;

    use super::{Incoming, check_order, check_size, check_span, sift};

    fn at(times: &[i64]) -> Vec<Incoming> {
        let event = |time: &i64| Incoming { timestamp_ms: *time, message: String::from("m"), offset: 0 };
        times.iter().map(event).collect()
    }

    const DAY: i64 = 86_400_000;
    const NOW: i64 = 100 * DAY;

    #[test]
    fn the_old_the_new_and_the_expired_are_named() {
        let events = at(&[NOW - 15 * DAY, NOW - 2 * DAY, NOW, NOW + 7_200_000, NOW + 7_200_001]);
        let (taken, rejected) = sift(events, Timestamp::from_millis(NOW), NOW - DAY);
        assert_eq!(taken, at(&[NOW, NOW + 7_200_000]));
        let rejected = rejected.unwrap();
        assert_eq!(rejected.too_old_log_event_end_index, Some(1));
        assert_eq!(rejected.expired_log_event_end_index, Some(2));
        assert_eq!(rejected.too_new_log_event_start_index, Some(4));
    }

    #[test]
    fn bounds_belong_to_what_is_taken() {
        let events = at(&[NOW - 14 * DAY, NOW]);
        assert_eq!(sift(events.clone(), Timestamp::from_millis(NOW), i64::MIN), (events, None));
    }

    #[test]
    fn a_batch_has_its_limits() {
        let sized = |size: usize| vec![Incoming { message: "x".repeat(size), ..at(&[0]).remove(0) }];
        assert!(check_size(&sized(1_048_576 - 26)).is_ok());
        let fault = check_size(&sized(1_048_576 - 25)).unwrap_err();
        assert_eq!(fault.message, "Log event too large: 1048577 bytes exceeds limit of 1048576");
        let both = [sized(700_000), sized(700_000)].concat();
        assert!(check_size(&both).unwrap_err().message.starts_with("Upload too large: 1400052"));
        assert!(check_size(&at(&vec![0; 10_001])).unwrap_err().message.starts_with("Too many"));
        assert!(check_order(&at(&[1, 1, 2])).is_ok());
        assert!(check_order(&at(&[2, 1])).is_err());
        assert!(check_span(&at(&[0, DAY])).is_ok());
        assert!(check_span(&at(&[0, DAY + 1])).is_err());
    }
}
