//! Where rules forward to, as whoever shifts their traffic sees it.

use std::sync::Arc;

use core_routing::Forwarding;
use store::Snapshot;

use crate::state::id::shared;
use crate::state::{Does, Group, GroupId, Listener, ListenerId, Rule, RuleId};
use crate::table::rules;

/// What a rule does, named by its ARN or, a default one, by its listener's; `None`: there is none.
pub fn forwarding(records: &Snapshot, arn: &str) -> Option<Forwarding> {
    let rule = match ListenerId::of_arn(arn) {
        Some(listener) => {
            let found = records.get::<Listener>(&listener.key()).filter(|found| found.at == listener)?;
            rules(records, &found.at).0?
        }
        None => {
            let at = RuleId::of_arn(arn)?;
            records.get::<Rule>(&at.key()).filter(|rule| rule.at == at)?
        }
    };
    let (groups, is_sticky, sticky_for_seconds) = match &rule.action.does {
        Does::Forward { groups, is_sticky, sticky_for_seconds } => {
            (groups.as_slice(), *is_sticky, *sticky_for_seconds)
        }
        Does::Redirect(_) | Does::Fixed { .. } => (&[][..], false, None),
    };
    Some(Forwarding {
        listener: shared(&rule.at.listener.arn()),
        rule: (!rule.is_default()).then(|| shared(&rule.at.arn())),
        order: rule.action.order,
        groups: groups.iter().map(|one| (shared(&one.group.arn()), one.weight)).collect(),
        is_sticky,
        sticky_for_seconds,
    })
}

/// Whether there is a target group of this ARN.
pub fn has_group(records: &Snapshot, arn: &str) -> bool {
    let Some(at) = GroupId::of_arn(arn) else { return false };
    records.get::<Group>(&at.key()).is_some_and(|found: Arc<Group>| found.at == at)
}
