//! Rules of listeners.

use base::Tags;
use core_routing::{Condition, Redirect, Rewrite};
use serde::{Deserialize, Serialize};
use store::{Entries, Key, Record};

use super::id::{GroupId, RuleId};

/// By the target groups that it forwards to.
const BY_GROUP: &str = "by-group";

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    pub at: RuleId,
    /// 1 to 50000; 0 for the default rule.
    pub priority: u32,
    pub conditions: Vec<Condition>,
    pub rewrites: Vec<Rewrite>,
    pub action: Action,
    pub tags: Tags,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Action {
    /// As it was given, to be answered so.
    pub order: Option<i32>,
    pub does: Does,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Does {
    Forward {
        /// One to five, each once.
        groups: Vec<Weighted>,
        is_sticky: bool,
        sticky_for_seconds: Option<u32>,
    },
    Redirect(Redirect),
    Fixed {
        status: u16,
        content_type: Option<String>,
        body: Option<String>,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Weighted {
    pub group: GroupId,
    pub weight: u32,
}

impl Record for Rule {
    const KIND: &'static str = "elb/rule";

    fn key(&self) -> Key {
        self.at.key()
    }

    fn index(&self, entries: &mut Entries) {
        for group in self.groups() {
            entries.add(BY_GROUP, &[group.arn().as_str()]);
        }
    }
}

impl Rule {
    /// Those that forward to a group.
    pub fn of_group(group: &GroupId) -> (&'static str, Key) {
        (BY_GROUP, Key::of(&[group.arn().as_str()]))
    }

    pub fn is_default(&self) -> bool {
        self.priority == 0
    }

    /// The groups that it forwards to.
    pub fn groups(&self) -> impl Iterator<Item = &GroupId> {
        let groups = match &self.action.does {
            Does::Forward { groups, .. } => groups.as_slice(),
            Does::Redirect(_) | Does::Fixed { .. } => &[],
        };
        groups.iter().map(|weighted| &weighted.group)
    }
}
