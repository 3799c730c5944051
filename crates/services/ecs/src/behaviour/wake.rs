//! Scale to zero and wake on request: ours, not AWS's, and off unless a service's tag asks for it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base::{Tags, Timestamp};
use thiserror::Error;

/// How many seconds without a request send the service to sleep.
pub const TAG: &str = "boxship:scale-to-zero";
/// How long a request waits for a task of a service that wakes.
pub const HELD_FOR: Duration = Duration::from_secs(60);
const MOST_SECONDS: u32 = 86_400;

/// The tag cannot be acted upon.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SleepError {
    #[error(
        "The tag {TAG} is a number of seconds from 1 to {MOST_SECONDS}, after which a service without requests sleeps: not '{0}'."
    )]
    NotSeconds(String),
    #[error("The tag {TAG} needs a service with load balancers: nothing else can wake it.")]
    NoBalancer,
}

/// Whether a service may have these tags.
pub fn check(tags: &Tags, has_balancers: bool) -> Result<(), SleepError> {
    match idle_for(tags)? {
        Some(_) if !has_balancers => Err(SleepError::NoBalancer),
        Some(_) | None => Ok(()),
    }
}

/// After how long without a request a service with these tags sleeps; `None`: never.
pub fn idle_for(tags: &Tags) -> Result<Option<Duration>, SleepError> {
    let Some(text) = tags.get(TAG) else { return Ok(None) };
    let is_number = !text.is_empty() && text.len() <= 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    let seconds = text.parse::<u32>().ok().filter(|_| is_number);
    let seconds = seconds.filter(|seconds| (1..=MOST_SECONDS).contains(seconds));
    let seconds = seconds.ok_or_else(|| SleepError::NotSeconds(text.clone()))?;
    Ok(Some(Duration::from_secs(u64::from(seconds))))
}

/// As many tasks as are wanted now.
pub fn effective(desired: u32, is_asleep: bool) -> u32 {
    if is_asleep { 0 } else { desired }
}

/// A service that may sleep, or does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sleeper {
    /// Its ARN.
    pub service: Arc<str>,
    /// ARNs of the target groups that its tasks are registered in.
    pub groups: Vec<Arc<str>>,
    pub idle_for: Duration,
    pub is_asleep: bool,
    /// A deployment of it is under way: it stays awake.
    pub is_busy: bool,
}

/// When requests came last. Kept in memory: whoever starts anew waits anew.
#[derive(Debug, Default)]
pub struct Activity {
    groups: BTreeMap<Arc<str>, Timestamp>,
    /// From when on each service's idleness counts.
    since: BTreeMap<Arc<str>, Timestamp>,
}

impl Activity {
    /// Somebody asks, or has a request under way.
    pub fn asked(&mut self, group: Arc<str>, now: Timestamp) {
        self.groups.insert(group, now);
    }

    /// The services that have been idle for long enough to sleep. `all`: every one that may.
    pub fn idle(&mut self, all: &[Sleeper], now: Timestamp) -> Vec<Arc<str>> {
        self.since.retain(|known, _| all.iter().any(|one| one.service == *known));
        self.groups.retain(|known, _| all.iter().any(|one| one.groups.contains(known)));
        let mut idle = Vec::new();
        for one in all {
            let since = self.since.entry(one.service.clone()).or_insert(now);
            if one.is_busy || one.is_asleep {
                *since = now;
                continue;
            }
            let asked = one.groups.iter().filter_map(|group| self.groups.get(group)).copied().max();
            let active_at = asked.map_or(*since, |asked| asked.max(*since));
            if now >= active_at + one.idle_for {
                idle.push(one.service.clone());
            }
        }
        idle
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tag_is_a_number_of_seconds() {
        let read = |text: &str| idle_for(&Tags::from([(TAG.to_owned(), text.to_owned())]));
        for (text, seconds) in [("1", 1), ("300", 300), ("86400", 86_400), ("00300", 300)] {
            assert_eq!(read(text), Ok(Some(Duration::from_secs(seconds))));
        }
        for text in ["", "0", "86401", "-1", "+1", "1.5", "5m", " 5", "true", "99999999999"] {
            assert_eq!(read(text), Err(SleepError::NotSeconds(text.to_owned())));
        }
        assert_eq!(idle_for(&Tags::new()), Ok(None));
        let tags = Tags::from([(TAG.to_owned(), "60".to_owned())]);
        assert_eq!(check(&tags, true), Ok(()));
        assert_eq!(check(&tags, false), Err(SleepError::NoBalancer));
        assert_eq!(check(&Tags::new(), false), Ok(()));
    }

    #[test]
    fn services_sleep_when_nobody_has_asked_for_long() {
        let at = Timestamp::from_secs;
        let web = |is_asleep, is_busy| Sleeper {
            service: "web".into(),
            groups: vec!["blue".into(), "green".into()],
            idle_for: Duration::from_secs(60),
            is_asleep,
            is_busy,
        };
        let awake = [web(false, false)];
        let mut activity = Activity::default();
        // From when it was first seen.
        assert!(activity.idle(&awake, at(100)).is_empty());
        assert!(activity.idle(&awake, at(159)).is_empty());
        assert_eq!(activity.idle(&awake, at(160)), ["web".into()]);
        // A request to any of its groups counts, one to another group does not.
        activity.asked("green".into(), at(150));
        activity.asked("other".into(), at(190));
        assert!(activity.idle(&awake, at(209)).is_empty());
        assert_eq!(activity.idle(&awake, at(210)), ["web".into()]);
        // Deployments keep it awake, and idleness counts from their end.
        assert!(activity.idle(&[web(false, true)], at(300)).is_empty());
        assert!(activity.idle(&awake, at(359)).is_empty());
        assert_eq!(activity.idle(&awake, at(360)), ["web".into()]);
        // So does sleep.
        assert!(activity.idle(&[web(true, false)], at(1_000)).is_empty());
        assert!(activity.idle(&awake, at(1_059)).is_empty());
        assert_eq!(activity.idle(&awake, at(1_060)), ["web".into()]);
        // What was said of one that is gone is forgotten.
        assert!(activity.idle(&[], at(2_000)).is_empty());
        assert!(activity.idle(&awake, at(3_000)).is_empty());
    }
}
