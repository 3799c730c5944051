//! How targets stand, as metrics say it: read off the tables that are served.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use core_routing::{Stands, State};

use super::{Metric, Reading, Subject};
use crate::table::{Served, ServedGroup};

/// The tables that are served, by their balancers.
#[derive(Clone, Default)]
pub struct Levels {
    all: Arc<Mutex<BTreeMap<Arc<str>, Arc<Served>>>>,
}

impl Levels {
    pub fn put(&self, served: Arc<Served>) {
        self.lock().insert(served.balancer.arn.clone(), served);
    }

    pub fn remove(&self, balancer: &str) {
        self.lock().remove(balancer);
    }

    /// Adds to readings how targets stand now.
    pub fn add(&self, readings: &mut BTreeMap<Subject, Reading>) {
        let all: Vec<Arc<Served>> = self.lock().values().cloned().collect();
        for served in all {
            for (arn, group) in &served.groups {
                for (zone, levels) in zones(&served, group) {
                    let (balancer, group) = (served.balancer.arn.clone(), Some(arn.clone()));
                    let reading = readings.entry(Subject { balancer, group, zone }).or_default();
                    levels.into_iter().for_each(|(metric, level)| reading.set(metric, level));
                }
            }
        }
    }

    /// The groups that hold requests.
    pub fn holding(&self) -> Vec<(Arc<Served>, Arc<ServedGroup>)> {
        let all = self.lock();
        let groups = all.values().flat_map(|served| served.groups.values().map(move |group| (served, group)));
        let holding = groups.filter(|(_, group)| !group.group.held_for.is_zero());
        holding.map(|(served, group)| (served.clone(), group.clone())).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Arc<Served>>> {
        // A map is whole between any two of its operations.
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type OfZone = (Option<Arc<str>>, BTreeMap<Metric, u64>);

/// AWS: targets are counted in their own zone, and a group stands or does not in each of the
/// balancer's. Draining targets and those without a verdict are neither healthy nor unhealthy.
fn zones(served: &Served, group: &ServedGroup) -> Vec<OfZone> {
    let nodes = served.balancer.place.nodes.iter().map(|node| &node.zone);
    let enabled: BTreeSet<&Arc<str>> = nodes.collect();
    let mut zones: BTreeSet<Option<&Arc<str>>> = enabled.iter().copied().map(Some).collect();
    zones.extend(group.group.targets.iter().map(|target| target.zone.as_ref()));
    let of_zone = |zone: Option<&Arc<str>>| {
        let mut levels = hosts(group, zone);
        if let Some(zone) = zone.filter(|zone| enabled.contains(zone)) {
            let stands = Stands::of(&group.group, group, Some(&**zone));
            levels.extend([
                (Metric::HealthyStateDns, u64::from(stands.dns)),
                (Metric::HealthyStateRouting, u64::from(stands.routing)),
                (Metric::UnhealthyStateDns, u64::from(!stands.dns)),
                (Metric::UnhealthyStateRouting, u64::from(!stands.routing)),
            ]);
        }
        (zone.cloned(), levels)
    };
    zones.into_iter().map(of_zone).collect()
}

fn hosts(group: &ServedGroup, zone: Option<&Arc<str>>) -> BTreeMap<Metric, u64> {
    let all = group.group.targets.iter().zip(&group.targets);
    let here = all.filter(|(target, _)| target.zone.as_ref() == zone && target.draining_until.is_none());
    let states: Vec<_> = here.map(|(_, state)| (state.state(), state.anomaly())).collect();
    let healthy = states.iter().filter(|(state, _)| *state == State::Healthy);
    let count = |fits: &dyn Fn(State) -> bool| states.iter().filter(|(state, _)| fits(*state)).count() as u64;
    BTreeMap::from([
        (Metric::HealthyHostCount, count(&|state| state == State::Healthy)),
        (Metric::UnhealthyHostCount, count(&|state| state == State::Unhealthy)),
        (
            Metric::AnomalousHostCount,
            healthy.clone().filter(|(_, anomaly)| anomaly.is_anomalous).count() as u64,
        ),
        (Metric::MitigatedHostCount, healthy.filter(|(_, anomaly)| anomaly.is_mitigated).count() as u64),
    ])
}
