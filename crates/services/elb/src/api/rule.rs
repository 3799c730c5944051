//! Rules: CreateRule, DescribeRules, ModifyRule, DeleteRule, SetRulePriorities.

use std::collections::BTreeSet;
use std::sync::Arc;

use aws_elbv2 as aws;
use base::Fault;
use service::{Tx, View};
use store::{Record, Snapshot};

use super::listener::balancer_of;
use super::{action, find, group, tag};
use crate::behaviour::page::Page;
use crate::behaviour::{condition, transform};
use crate::convert;
use crate::faults;
use crate::state::{BalancerId, ListenerId, Rule, RuleId};
use crate::table::{compiles, rules};

/// AWS: of one balancer, default rules not counted.
const MOST: usize = 100;

pub fn create(tx: &mut Tx<'_>, request: aws::CreateRuleInput) -> Result<aws::CreateRuleOutput, Fault> {
    let listener = find::listener(tx, tx.caller, &request.listener_arn)?;
    let balancer = balancer_of(tx, &listener.at)?;
    let priority = priority_of(Some(request.priority))?;
    let conditions = condition::of(request.conditions)?;
    let rewrites = transform::of(request.transforms.unwrap_or_default())?;
    let tags = tag::checked(request.tags)?;
    let place = action::Place { balancer: &balancer, protocol: listener.protocol, port: listener.port };
    let action = action::of(tx, &place, request.actions)?;
    if has_priority(tx, &listener.at, priority, None) {
        return Err(faults::priority_in_use(priority));
    }
    if count(tx, &balancer.at) >= MOST {
        let arn = balancer.at.arn();
        return Err(faults::reached("TooManyRules", "rules", "load balancer", MOST, &arn));
    }
    let at = RuleId { listener: listener.at.clone(), id: tx.chance.hex(16) };
    let rule = Rule { at, priority, conditions, rewrites, action, tags };
    check(&rule)?;
    let shape = convert::rule(&rule);
    tx.put(rule);
    Ok(aws::CreateRuleOutput { rules: Some(vec![shape]) })
}

/// What passed one by one must do so together: an expression may be too much for a proxy where
/// case does not matter.
fn check(rule: &Rule) -> Result<(), Fault> {
    if compiles(rule) {
        return Ok(());
    }
    Err(faults::invalid("A regular expression of the rule is not valid, or too large"))
}

fn priority_of(asked: Option<i32>) -> Result<u32, Fault> {
    let priority = asked.and_then(|asked| u32::try_from(asked).ok());
    priority
        .filter(|priority| (1..=50_000).contains(priority))
        .ok_or_else(|| faults::invalid("A priority must be specified, from 1 to 50000"))
}

fn has_priority(records: &Snapshot, listener: &ListenerId, priority: u32, own: Option<&RuleId>) -> bool {
    let mut others = records.scan::<Rule>(&listener.key());
    others.any(|other| other.priority == priority && Some(&other.at) != own)
}

fn count(records: &Snapshot, balancer: &BalancerId) -> usize {
    records.scan::<Rule>(&balancer.key()).filter(|rule| !rule.is_default()).count()
}

/// AWS: in the order of the priorities, the default rule last.
fn place(rule: &Rule) -> String {
    let priority = if rule.is_default() { 99_999 } else { rule.priority };
    format!("{}/{priority:05}/{}", rule.at.listener.arn(), rule.at.id)
}

pub fn describe(
    view: &View<'_>,
    request: aws::DescribeRulesInput,
) -> Result<aws::DescribeRulesOutput, Fault> {
    let page = Page::of(request.page_size, request.marker.as_deref())?;
    let arns = request.rule_arns.unwrap_or_default();
    let mut found: Vec<Arc<Rule>> = match (request.listener_arn, arns.is_empty()) {
        (Some(_), false) | (None, true) => {
            return Err(faults::invalid("You must specify either listener rule ARNs or a listener ARN"));
        }
        (Some(arn), true) => {
            let listener = find::listener(view, view.caller, &arn)?;
            let (default, rules) = rules(view, &listener.at);
            rules.into_iter().chain(default).collect()
        }
        (None, false) => find::rules(view, view.caller, &arns)?,
    };
    found.sort_by_key(|rule| place(rule));
    found.dedup_by_key(|rule| rule.key());
    let shown = found.iter().map(|rule| (place(rule), convert::rule(rule)));
    let (rules, next_marker) = page.take(shown);
    Ok(aws::DescribeRulesOutput { rules: Some(rules), next_marker })
}

pub fn modify(tx: &mut Tx<'_>, request: aws::ModifyRuleInput) -> Result<aws::ModifyRuleOutput, Fault> {
    let before = find::rule(tx, tx.caller, &request.rule_arn)?;
    if before.is_default() {
        return Err(faults::not_permitted(format_args!(
            "Default rule '{}' cannot be modified",
            request.rule_arn
        )));
    }
    let has_reset = request.reset_transforms == Some(true);
    let actions = request.actions.filter(|actions| !actions.is_empty());
    let conditions = request.conditions.filter(|conditions| !conditions.is_empty());
    let transforms = request.transforms.filter(|transforms| !transforms.is_empty());
    if actions.is_none() && conditions.is_none() && transforms.is_none() && !has_reset {
        return Err(faults::invalid("Either conditions or actions must be specified"));
    }
    if transforms.is_some() && has_reset {
        return Err(faults::invalid("Transforms and ResetTransforms cannot be specified together"));
    }
    let mut after = (*before).clone();
    if let Some(conditions) = conditions {
        after.conditions = condition::of(conditions)?;
    }
    if has_reset {
        after.rewrites.clear();
    }
    if let Some(transforms) = transforms {
        after.rewrites = transform::of(transforms)?;
    }
    if let Some(actions) = actions {
        let listener = find::listener(tx, tx.caller, before.at.listener.arn().as_str())?;
        let balancer = balancer_of(tx, &listener.at)?;
        let place = action::Place { balancer: &balancer, protocol: listener.protocol, port: listener.port };
        after.action = action::of(tx, &place, actions)?;
    }
    check(&after)?;
    let shape = convert::rule(&after);
    tx.put(after);
    group::settle(tx, before.groups().cloned().collect::<Vec<_>>());
    Ok(aws::ModifyRuleOutput { rules: Some(vec![shape]) })
}

pub fn delete(tx: &mut Tx<'_>, request: aws::DeleteRuleInput) -> Result<aws::DeleteRuleOutput, Fault> {
    let rule = find::rule(tx, tx.caller, &request.rule_arn)?;
    if rule.is_default() {
        return Err(faults::not_permitted(format_args!(
            "Default rule '{}' cannot be deleted",
            request.rule_arn
        )));
    }
    tx.delete::<Rule>(&rule.key());
    group::settle(tx, rule.groups().cloned().collect::<Vec<_>>());
    Ok(aws::DeleteRuleOutput::default())
}

/// AWS: all of them change at once, so two may change places.
pub fn set_priorities(
    tx: &mut Tx<'_>,
    request: aws::SetRulePrioritiesInput,
) -> Result<aws::SetRulePrioritiesOutput, Fault> {
    let mut changed = Vec::new();
    let mut listeners = BTreeSet::new();
    for pair in request.rule_priorities {
        let arn = pair.rule_arn.unwrap_or_default();
        let priority = priority_of(pair.priority)?;
        let rule = find::rule(tx, tx.caller, &arn)?;
        if rule.is_default() {
            return Err(faults::not_permitted(format_args!(
                "The priority of default rule '{arn}' cannot be modified"
            )));
        }
        if changed.iter().any(|other: &Rule| other.at == rule.at) {
            return Err(faults::invalid(format_args!("Rule '{arn}' was provided multiple times")));
        }
        listeners.insert(rule.at.listener.clone());
        changed.push(Rule { priority, ..(*rule).clone() });
    }
    if changed.is_empty() {
        return Err(faults::invalid("At least one rule priority must be specified"));
    }
    if listeners.len() > 1 {
        return Err(faults::invalid("The rules must be of the same listener"));
    }
    let mut seen = BTreeSet::new();
    if let Some(twice) = changed.iter().find(|rule| !seen.insert(rule.priority)) {
        return Err(faults::invalid(format_args!(
            "Priority '{}' was provided multiple times",
            twice.priority
        )));
    }
    for listener in &listeners {
        let others = tx.scan::<Rule>(&listener.key());
        let mut kept = others.filter(|other| !changed.iter().any(|rule| rule.at == other.at));
        if let Some(other) = kept.find(|other| seen.contains(&other.priority)) {
            return Err(faults::priority_in_use(other.priority));
        }
    }
    let mut shapes = Vec::new();
    for rule in changed {
        shapes.push(convert::rule(&rule));
        tx.put(rule);
    }
    Ok(aws::SetRulePrioritiesOutput { rules: Some(shapes) })
}
