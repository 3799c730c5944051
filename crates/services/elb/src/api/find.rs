//! Resources by their ARNs, the caller's own only.

use std::sync::Arc;

use base::{AccountId, Fault, Region};
use service::Caller;
use store::Snapshot;

use crate::faults::{self, Resource};
use crate::state::{Balancer, BalancerId, Group, GroupId, Listener, ListenerId, Rule, RuleId};

fn is_own(caller: &Caller, account: &AccountId, region: &Region) -> bool {
    caller.account == *account && caller.region == *region
}

/// `None`: well formed, and not there.
fn balancer_if(records: &Snapshot, caller: &Caller, arn: &str) -> Result<Option<Arc<Balancer>>, Fault> {
    let at = BalancerId::of_arn(arn).ok_or_else(|| faults::malformed(Resource::Balancer, arn))?;
    let found = records.get::<Balancer>(&at.key()).filter(|found| found.at == at);
    Ok(found.filter(|_| is_own(caller, &at.account, &at.region)))
}

fn group_if(records: &Snapshot, caller: &Caller, arn: &str) -> Result<Option<Arc<Group>>, Fault> {
    let at = GroupId::of_arn(arn).ok_or_else(|| faults::malformed(Resource::Group, arn))?;
    let found = records.get::<Group>(&at.key()).filter(|found| found.at == at);
    Ok(found.filter(|_| is_own(caller, &at.account, &at.region)))
}

fn listener_if(records: &Snapshot, caller: &Caller, arn: &str) -> Result<Option<Arc<Listener>>, Fault> {
    let at = ListenerId::of_arn(arn).ok_or_else(|| faults::malformed(Resource::Listener, arn))?;
    let found = records.get::<Listener>(&at.key()).filter(|found| found.at == at);
    Ok(found.filter(|_| is_own(caller, &at.balancer.account, &at.balancer.region)))
}

fn rule_if(records: &Snapshot, caller: &Caller, arn: &str) -> Result<Option<Arc<Rule>>, Fault> {
    let at = RuleId::of_arn(arn).ok_or_else(|| faults::malformed(Resource::Rule, arn))?;
    let found = records.get::<Rule>(&at.key()).filter(|found| found.at == at);
    let balancer = &at.listener.balancer;
    Ok(found.filter(|_| is_own(caller, &balancer.account, &balancer.region)))
}

macro_rules! find {
    ($one:ident, $all:ident, $if:ident, $record:ident, $resource:expr) => {
        /// The one that a request is about.
        pub fn $one(records: &Snapshot, caller: &Caller, arn: &str) -> Result<Arc<$record>, Fault> {
            $if(records, caller, arn)?.ok_or_else(|| faults::missing($resource, arn))
        }

        /// Those of a list's ARNs, in their order.
        pub fn $all(
            records: &Snapshot,
            caller: &Caller,
            arns: &[String],
        ) -> Result<Vec<Arc<$record>>, Fault> {
            let find =
                |arn: &String| $if(records, caller, arn)?.ok_or_else(|| faults::some_missing($resource));
            arns.iter().map(find).collect()
        }
    };
}

find!(balancer, balancers, balancer_if, Balancer, Resource::Balancer);
find!(group, groups, group_if, Group, Resource::Group);
find!(listener, listeners, listener_if, Listener, Resource::Listener);
find!(rule, rules, rule_if, Rule, Resource::Rule);
