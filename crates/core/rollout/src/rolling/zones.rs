//! Tasks are spread evenly over availability zones.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::census::{Census, Member};
use super::stops::Stops;
use super::{Bounds, Goal, Start};

/// Adds `count` starts of `revision`, each to the zone with the fewest tasks of it that stay; between
/// equal zones to that with the fewest of the whole service, then to the first.
// AWS: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/update-service-parameters.html
pub(super) fn spread(
    goal: &Goal,
    census: &Census,
    stops: &Stops,
    revision: &Arc<str>,
    count: usize,
) -> Vec<Start> {
    let mut sizes: Vec<(usize, usize)> = vec![(0, 0); goal.zones.len()];
    for (_, member) in census.members.iter().enumerate().filter(|(place, _)| stops.stays(*place)) {
        if let Some(zone) = goal.zones.iter().position(|zone| *zone == member.task.zone) {
            sizes[zone].0 += usize::from(member.task.revision == *revision && member.is_good());
            sizes[zone].1 += 1;
        }
    }
    let one = |_| {
        let emptiest = (0..sizes.len()).min_by_key(|zone| (sizes[*zone], *zone));
        if let Some(zone) = emptiest {
            sizes[zone].0 += 1;
            sizes[zone].1 += 1;
        }
        let zone = emptiest.map(|zone| goal.zones[zone].clone());
        Start { revision: revision.clone(), zone, is_rebalancing: false }
    };
    (0..count).map(one).collect()
}

/// The start that evens out the zones of a service where nothing else is to do.
// AWS: rebalancing needs a maximum above 100 percent, starts a task in the zone with the fewest and
// then stops one in the zone with the most.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-rebalancing.html
pub(super) fn rebalance(goal: &Goal, bounds: Bounds, census: &Census) -> Option<Start> {
    let is_idle = census.members.len() == bounds.desired
        && census.members.iter().all(|member| member.is_current() && member.is_healthy());
    if !goal.is_rebalanced || goal.is_halted || !is_idle || bounds.ceiling <= bounds.desired {
        return None;
    }
    let sizes = sizes(goal, census, |_| true);
    let (_, emptiest, zone) = sizes
        .values()
        .map(|(place, size)| (*size, *size, *place))
        .min_by_key(|(size, _, place)| (*size, *place))?;
    let could_leave = |member: &Member| {
        let size = sizes.get(&*member.task.zone).map(|(_, size)| *size);
        !member.task.is_protected && size.is_some_and(|size| size >= emptiest + 2)
    };
    census.members.iter().any(could_leave).then(|| Start {
        revision: goal.current.clone(),
        zone: Some(goal.zones[zone].clone()),
        is_rebalancing: true,
    })
}

/// The newest task of a service that has one too many, where the zones were uneven without it: it was
/// started to even them out.
pub(super) fn evening_out(goal: &Goal, census: &Census) -> Option<usize> {
    if !goal.is_rebalanced || !census.members.iter().all(Member::is_current) {
        return None;
    }
    let newest = census.members.len().checked_sub(1)?;
    let zone = &census.members[newest].task.zone;
    let sizes = sizes(goal, census, |place| place != newest);
    let (_, own) = sizes.get(&**zone)?;
    let fullest = sizes.values().map(|(_, size)| *size).max()?;
    (fullest >= own + 2).then_some(newest)
}

/// Each zone's place in the goal, and how many good tasks are there.
fn sizes<'a>(
    goal: &'a Goal,
    census: &Census,
    is_counted: impl Fn(usize) -> bool,
) -> BTreeMap<&'a str, (usize, usize)> {
    let mut sizes: BTreeMap<&str, (usize, usize)> =
        goal.zones.iter().enumerate().map(|(place, zone)| (&**zone, (place, 0))).collect();
    for (_, member) in census.members.iter().enumerate().filter(|(place, _)| is_counted(*place)) {
        if let Some((_, size)) = sizes.get_mut(&*member.task.zone) {
            *size += usize::from(member.is_good());
        }
    }
    sizes
}
