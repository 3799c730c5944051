//! From records to whoever acts on them: on every change, what it touches is made anew and told.
//!
//! Invariant: start-up runs the same path over all records. Invariant: what fails is tried again
//! until it succeeds or is wanted no more.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use authority::Seal;
use core_routing::{Balancer, Placed, Target, TargetGroup};
use service::Platform;
use store::{Event, Snapshot, Watch};
use tokio::sync::watch;
use vpc::VpcKey;

use super::names::Book;
use super::stage::Stage;
use super::zones::answered;
use crate::host::{VpcNetwork, vpc_of};

/// Until what has failed is tried again.
const AGAIN: Duration = Duration::from_secs(2);

/// What is to be looked at.
#[derive(Debug, Default)]
pub struct Due {
    balancers: BTreeSet<Arc<str>>,
    certificates: BTreeSet<Arc<str>>,
    vpcs: BTreeSet<VpcKey>,
    /// Balancers whose targets' health has changed.
    names: BTreeSet<Arc<str>>,
}

impl Due {
    fn take(&mut self, other: Due) {
        self.balancers.extend(other.balancers);
        self.certificates.extend(other.certificates);
        self.vpcs.extend(other.vpcs);
        self.names.extend(other.names);
    }

    fn is_empty(&self) -> bool {
        let Due { balancers, certificates, vpcs, names } = self;
        balancers.is_empty() && certificates.is_empty() && vpcs.is_empty() && names.is_empty()
    }
}

pub struct Feed {
    platform: Platform,
    seal: Arc<Seal>,
    book: Book,
    /// `None`: nothing is served, as with the simulated runtime; names are known all the same.
    served: Option<Served>,
    /// The tables that are in force.
    known: BTreeMap<Arc<str>, Arc<Balancer>>,
    /// Of these, those with a listener that could not be opened.
    partial: BTreeSet<Arc<str>>,
}

/// Whoever acts on tables and groups.
pub struct Served {
    pub stage: Arc<Stage>,
    pub network: Arc<VpcNetwork>,
}

impl Feed {
    pub fn new(platform: Platform, seal: Arc<Seal>, book: Book, served: Option<Served>) -> Self {
        Feed { platform, seal, book, served, known: BTreeMap::new(), partial: BTreeSet::new() }
    }

    /// Tells everything that is recorded. Answers what is to be told again.
    pub async fn begin(&mut self) -> Due {
        let records = self.platform.store().snapshot();
        let failed = self.settle(&records, self.everything(&records)).await;
        if let Some(served) = &self.served {
            // Of balancers that went while nobody was there to see.
            let places = self.known.values().map(|balancer| &balancer.place);
            if let Err(error) = served.network.retain_nodes(places.flat_map(nodes).collect()).await {
                tracing::warn!(%error, "addresses of load balancers that are gone stay");
            }
        }
        failed
    }

    /// Follows the records until `stop` turns true or the store closes. To be called with a watch
    /// from before [`Feed::begin`], and what that answered.
    pub async fn run(mut self, mut watch: Watch, mut failed: Due, mut stop: watch::Receiver<bool>) {
        loop {
            let mut due = Due::default();
            let again = async {
                match failed.is_empty() {
                    true => std::future::pending().await,
                    false => tokio::time::sleep(AGAIN).await,
                }
            };
            tokio::select! {
                event = watch.next() => {
                    if !self.notice(event, &mut watch, &mut due) {
                        return;
                    }
                }
                () = again => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
            due.take(failed);
            let records = self.platform.store().snapshot();
            failed = self.settle(&records, due).await;
        }
    }

    fn everything(&self, records: &Snapshot) -> Due {
        let mut due = Due::default();
        due.balancers.extend(service_elb::balancers(records));
        due.balancers.extend(self.known.keys().cloned());
        let tables = due.balancers.iter().filter_map(|arn| service_elb::table(records, arn));
        due.certificates = tables.flat_map(|table| certificates(&table)).collect();
        due.vpcs = service_ec2::security(records).iter().map(key_of).collect();
        due
    }

    /// Takes a change in, and all that are there by now. Answers whether there will be others.
    fn notice(&self, event: Event, watch: &mut Watch, due: &mut Due) -> bool {
        let mut next = Some(event);
        let records = self.platform.store().snapshot();
        while let Some(event) = next {
            match event {
                Event::Commit(commit) => {
                    for change in &commit.changes {
                        due.balancers.extend(service_elb::touched(&records, change));
                        due.names.extend(service_elb::touched_by_health(&records, change));
                        let held = service_ecs::touched_held(&records, change);
                        due.balancers.extend(
                            held.iter().flat_map(|group| service_elb::users_of_group(&records, group)),
                        );
                        due.certificates.extend(service_acm::touched(change).into_iter().map(Arc::from));
                        due.vpcs.extend(service_ec2::touched(change).into_iter().map(of_ec2));
                    }
                }
                Event::Lagged => due.take(self.everything(&records)),
                Event::Closed => return false,
            }
            next = watch.try_next();
        }
        true
    }

    /// Tells what is due. Answers what has failed.
    async fn settle(&mut self, records: &Snapshot, mut due: Due) -> Due {
        let mut failed = Due::default();
        // Groups first: an address is filtered from its first packet on.
        for vpc in std::mem::take(&mut due.vpcs) {
            let Some(served) = &self.served else { break };
            let groups = service_ec2::security_of(records, &for_ec2(&vpc));
            if let Err(error) = served.network.filter(groups).await {
                tracing::warn!(%vpc, %error, "security groups cannot be put into force");
                failed.vpcs.insert(vpc.clone());
            }
            // What they say of the internet counts at aliases.
            let standing = self.known.values().filter(|one| vpc_of(&one.place) == vpc);
            due.balancers.extend(standing.map(|one| one.arn.clone()));
        }
        for arn in due.balancers {
            match table(records, &arn) {
                Some(table) => {
                    let new = certificates(&table);
                    let old = self.known.get(&arn).map(|known| certificates(known)).unwrap_or_default();
                    due.certificates.extend(new.difference(&old).cloned());
                    for certificate in new.intersection(&due.certificates).cloned().collect::<Vec<_>>() {
                        self.certify(records, &certificate).await;
                        due.certificates.remove(&certificate);
                    }
                    if !self.serve(records, table).await {
                        failed.balancers.insert(arn);
                    }
                }
                None => self.forget(&arn).await,
            }
        }
        for certificate in due.certificates {
            if self.known.values().any(|known| certificates(known).contains(&certificate)) {
                self.certify(records, &certificate).await;
            }
        }
        for table in due.names.iter().filter_map(|arn| self.known.get(arn)) {
            self.name(records, table);
        }
        if let Some(served) = &self.served {
            let used = self.known.values().flat_map(|known| certificates(known)).collect();
            served.stage.retain_certificates(&used).await;
        }
        failed
    }

    async fn certify(&self, records: &Snapshot, arn: &str) {
        let Some(served) = &self.served else { return };
        match service_acm::certificate(records, &self.seal, arn) {
            Some(certificate) => served.stage.certificate(certificate).await,
            None => tracing::warn!(certificate = arn, "a certificate of a listener cannot be opened"),
        }
    }

    /// Has a balancer served by this table. Answers whether it is, as a whole.
    async fn serve(&mut self, records: &Snapshot, mut table: Balancer) -> bool {
        // Between two revisions there is room for what changes beside the records.
        table.generation = table.generation.saturating_mul(2);
        let arn = table.arn.clone();
        let known = self.known.get(&arn);
        let is_same =
            known.is_some_and(|known| **known == Balancer { generation: known.generation, ..table.clone() });
        if let Some(served) = &self.served {
            if known.is_none_or(|known| known.place != table.place)
                && let Err(error) = served.network.place(&table.place).await
            {
                tracing::warn!(balancer = %arn, %error, "a load balancer has nowhere to stand");
                return false;
            }
            let groups = service_ec2::security_of(records, &for_ec2(&vpc_of(&table.place)));
            let opens = |port| groups.is_open_to_the_internet(&table.place.security_groups, port);
            let is_unmoved = served.stage.open_at_alias(&table, opens).await;
            if !(is_same && is_unmoved) || self.partial.contains(&arn) {
                table.generation += 1;
                match served.stage.apply(Arc::new(table.clone())).await {
                    true => self.partial.remove(&arn),
                    false => self.partial.insert(arn.clone()),
                };
            }
        }
        let is_whole = !self.partial.contains(&arn);
        self.book.put(&table);
        self.name(records, &table);
        let table = Arc::new(table);
        if let Some(before) = self.known.insert(arn, table.clone()) {
            self.leave(&before, Some(&table)).await;
        }
        is_whole
    }

    /// Leads its name to the nodes that have somebody to send to.
    fn name(&self, records: &Snapshot, table: &Balancer) {
        let Some(served) = &self.served else { return };
        let is_healthy =
            |group: &TargetGroup, target: &Target| service_elb::is_healthy(records, &group.arn, target);
        served.network.names().set(&table.dns_name, answered(table, is_healthy));
    }

    async fn forget(&mut self, arn: &str) {
        self.book.remove(arn);
        self.partial.remove(arn);
        let Some(before) = self.known.remove(arn) else { return };
        if let Some(served) = &self.served {
            served.network.names().remove(&before.dns_name);
            served.stage.remove(arn).await;
        }
        self.leave(&before, None).await;
    }

    /// Gives back the addresses that a balancer has no more.
    async fn leave(&self, before: &Balancer, now: Option<&Balancer>) {
        let Some(served) = &self.served else { return };
        let kept: BTreeSet<_> = now.into_iter().flat_map(|now| nodes(&now.place)).collect();
        for (vpc, address) in nodes(&before.place).filter(|node| !kept.contains(node)) {
            if let Err(error) = served.network.release(&vpc, address).await {
                tracing::warn!(%vpc, %address, %error, "an address of a load balancer stays");
            }
        }
    }
}

/// A balancer's table, with what ECS says of its groups.
fn table(records: &Snapshot, arn: &str) -> Option<Balancer> {
    let mut table = service_elb::table(records, arn)?;
    for group in table.groups.values_mut() {
        let held_for = service_ecs::held_for(records, &group.arn);
        if !held_for.is_zero() {
            Arc::make_mut(group).held_for = held_for;
        }
    }
    Some(table)
}

fn nodes(place: &Placed) -> impl Iterator<Item = (VpcKey, Ipv4Addr)> {
    let vpc = vpc_of(place);
    place.nodes.iter().map(move |node| (vpc.clone(), node.address))
}

fn certificates(balancer: &Balancer) -> BTreeSet<Arc<str>> {
    balancer.listeners.iter().flat_map(|listener| listener.certificates.iter().cloned()).collect()
}

fn key_of(vpc: &core_security::Vpc) -> VpcKey {
    VpcKey { account: vpc.account.clone(), region: vpc.region.clone(), vpc: vpc.vpc.clone() }
}

fn of_ec2(key: service_ec2::VpcKey) -> VpcKey {
    VpcKey { account: key.account, region: key.region, vpc: key.vpc }
}

fn for_ec2(key: &VpcKey) -> service_ec2::VpcKey {
    let VpcKey { account, region, vpc } = key.clone();
    service_ec2::VpcKey { account, region, vpc }
}
