//! Task definitions: register, describe, list, families, deregister, delete.

use std::sync::Arc;

use aws_ecs as aws;
use base::{Arn, Fault};
use service::{Caller, Principal, Tx, View};
use store::{Key, Record, Snapshot};

use super::tag;
use crate::behaviour::naming::family_and_revision;
use crate::behaviour::{check, complete};
use crate::convert;
use crate::faults::{self, DefinitionError};
use crate::page::Page;
use crate::state::definition::{DefinitionStatus, Family, TaskDefinition};

pub fn register(
    tx: &mut Tx<'_>,
    request: aws::RegisterTaskDefinitionRequest,
) -> Result<aws::RegisterTaskDefinitionResponse, Fault> {
    let mut request = request;
    let family = std::mem::take(&mut request.family);
    let tags = tag::checked(request.tags.take())?;
    let (account, region) = (tx.caller.account.clone(), tx.caller.region.clone());
    let spec = complete::complete(convert::spec_of(request), account.as_str());
    check::register(&family, &spec)?;
    let before = tx.get::<Family>(&TaskDefinition::family_key(&account, &region, &family));
    let revision = before.map_or(0, |before| before.last_revision) + 1;
    tx.put(Family {
        account: account.clone(),
        region: region.clone(),
        name: family.clone(),
        last_revision: revision,
    });
    let definition = TaskDefinition {
        account,
        region,
        family,
        revision,
        spec,
        status: DefinitionStatus::Active,
        registered_at: tx.now,
        registered_by: principal(tx.caller),
        tags,
    };
    let answer = aws::RegisterTaskDefinitionResponse {
        task_definition: Some(convert::definition(&definition)),
        tags: (!definition.tags.is_empty()).then(|| convert::tags(&definition.tags)),
    };
    tx.put(definition);
    Ok(answer)
}

/// Who did something, as records name them.
pub fn principal(caller: &Caller) -> String {
    match &caller.principal {
        Principal::Root => format!("arn:aws:iam::{}:root", caller.account),
        // AWS: a role registers as the session that it is.
        Principal::Role { arn, session } => {
            let name = arn.rsplit('/').next().unwrap_or(arn);
            format!("arn:aws:sts::{}:assumed-role/{name}/{session}", caller.account)
        }
        Principal::Service(name) => String::from(*name),
    }
}

pub fn describe(
    view: &View<'_>,
    request: aws::DescribeTaskDefinitionRequest,
) -> Result<aws::DescribeTaskDefinitionResponse, Fault> {
    let found = find(view, view.caller, &request.task_definition).ok_or(DefinitionError::CannotDescribe)?;
    let with_tags = request.include.iter().flatten().any(|what| what == "TAGS");
    Ok(aws::DescribeTaskDefinitionResponse {
        task_definition: Some(convert::definition(&found)),
        tags: Some(if with_tags { convert::tags(&found.tags) } else { Vec::new() }),
    })
}

/// A definition by ARN, by `family:revision`, or the newest active one by `family`.
pub fn find(records: &Snapshot, caller: &Caller, text: &str) -> Option<Arc<TaskDefinition>> {
    let (account, region) = (&caller.account, &caller.region);
    let arn = Arn::parse(text).ok();
    let name = match &arn {
        Some(arn) => {
            let is_ours = arn.service() == "ecs"
                && arn.account() == account.as_str()
                && arn.region() == region.as_str();
            arn.resource().strip_prefix("task-definition/").filter(|_| is_ours)?
        }
        None => text,
    };
    match family_and_revision(name)? {
        (family, Some(revision)) => records.get(&TaskDefinition::key_of(account, region, family, revision)),
        (family, None) => {
            let prefix = TaskDefinition::family_key(account, region, family);
            records.scan::<TaskDefinition>(&prefix).filter(|definition| definition.is_active()).last()
        }
    }
}

fn status_name(status: DefinitionStatus) -> &'static str {
    match status {
        DefinitionStatus::Active => "ACTIVE",
        DefinitionStatus::Inactive { .. } => "INACTIVE",
        DefinitionStatus::Deleting { .. } => "DELETE_IN_PROGRESS",
    }
}

pub fn list(
    view: &View<'_>,
    request: aws::ListTaskDefinitionsRequest,
) -> Result<aws::ListTaskDefinitionsResponse, Fault> {
    let (account, region) = (&view.caller.account, &view.caller.region);
    // AWS: `familyPrefix` is the whole name of a family here.
    let prefix = match request.family_prefix.as_deref().filter(|family| !family.is_empty()) {
        Some(family) => TaskDefinition::family_key(account, region, family),
        None => Key::of(&[account.as_str(), region.as_str()]),
    };
    let page = Page::of(&prefix, request.max_results, request.next_token.as_deref())?;
    let status = request.status.unwrap_or_else(|| String::from("ACTIVE"));
    let place = |found: Arc<TaskDefinition>| (found.key(), found.arn().to_string());
    let wanted = |found: &Arc<TaskDefinition>| status_name(found.status) == status;
    let (arns, next_token) = if request.sort.as_deref() == Some("DESC") {
        let mut all: Vec<_> = view.scan::<TaskDefinition>(&prefix).filter(wanted).map(place).collect();
        all.reverse();
        let after = page.after.clone();
        page.take(all.into_iter().filter(|(key, _)| after.as_ref().is_none_or(|after| key < after)))
    } else {
        let after = page.after.clone().unwrap_or_else(Key::all);
        page.take(view.scan_after::<TaskDefinition>(&prefix, &after).filter(wanted).map(place))
    };
    Ok(aws::ListTaskDefinitionsResponse { task_definition_arns: Some(arns), next_token })
}

pub fn families(
    view: &View<'_>,
    request: aws::ListTaskDefinitionFamiliesRequest,
) -> Result<aws::ListTaskDefinitionFamiliesResponse, Fault> {
    let prefix = Key::of(&[view.caller.account.as_str(), view.caller.region.as_str()]);
    let page = Page::of(&prefix, request.max_results, request.next_token.as_deref())?;
    let after = page.after.clone().unwrap_or_else(Key::all);
    let start = request.family_prefix.unwrap_or_default();
    let status = request.status.unwrap_or_else(|| String::from("ALL"));
    let is_wanted = |family: &Arc<Family>| {
        let mut revisions = view.scan::<TaskDefinition>(&family.key()).peekable();
        // A family whose definitions have all been deleted is not there any more.
        if !family.name.starts_with(&start) || revisions.peek().is_none() {
            return false;
        }
        match status.as_str() {
            "ACTIVE" => revisions.any(|definition| definition.is_active()),
            "INACTIVE" => !revisions.any(|definition| definition.is_active()),
            _ => true,
        }
    };
    let found = view.scan_after::<Family>(&prefix, &after).filter(is_wanted);
    let (families, next_token) = page.take(found.map(|family| (family.key(), family.name.clone())));
    Ok(aws::ListTaskDefinitionFamiliesResponse { families: Some(families), next_token })
}

pub fn deregister(
    tx: &mut Tx<'_>,
    request: aws::DeregisterTaskDefinitionRequest,
) -> Result<aws::DeregisterTaskDefinitionResponse, Fault> {
    exact(&request.task_definition)?;
    let found = find(tx, tx.caller, &request.task_definition).ok_or(DefinitionError::CannotDeregister)?;
    let mut definition = (*found).clone();
    match definition.status {
        DefinitionStatus::Active => {
            definition.status = DefinitionStatus::Inactive { deregistered_at: tx.now }
        }
        DefinitionStatus::Inactive { .. } => {}
        DefinitionStatus::Deleting { .. } => return Err(DefinitionError::CannotDeregister.into()),
    }
    let shape = convert::definition(&definition);
    tx.put(definition);
    Ok(aws::DeregisterTaskDefinitionResponse { task_definition: Some(shape) })
}

/// AWS: what changes a definition names its revision.
fn exact(text: &str) -> Result<(), DefinitionError> {
    let name = text.rsplit('/').next().unwrap_or_default();
    match family_and_revision(name) {
        Some((_, Some(_))) => Ok(()),
        Some((_, None)) | None => Err(DefinitionError::NoRevision),
    }
}

pub fn delete(
    tx: &mut Tx<'_>,
    request: aws::DeleteTaskDefinitionsRequest,
) -> Result<aws::DeleteTaskDefinitionsResponse, Fault> {
    if request.task_definitions.is_empty() || request.task_definitions.len() > 10 {
        return Err(faults::invalid("taskDefinitions must have between 1 and 10 items."));
    }
    let (mut deleted, mut failures) = (Vec::new(), Vec::new());
    for named in &request.task_definitions {
        match delete_one(tx, named) {
            Ok(definition) => deleted.push(convert::definition(&definition)),
            Err(error) => failures.push(failure(tx.caller, named, &error)),
        }
    }
    Ok(aws::DeleteTaskDefinitionsResponse { task_definitions: Some(deleted), failures: Some(failures) })
}

fn delete_one(tx: &mut Tx<'_>, named: &str) -> Result<TaskDefinition, DefinitionError> {
    exact(named)?;
    let found = find(tx, tx.caller, named).ok_or(DefinitionError::Missing)?;
    let mut definition = (*found).clone();
    match definition.status {
        DefinitionStatus::Active => return Err(DefinitionError::StillActive),
        DefinitionStatus::Inactive { deregistered_at } => {
            definition.status = DefinitionStatus::Deleting { deregistered_at, requested_at: tx.now };
        }
        DefinitionStatus::Deleting { .. } => {}
    }
    tx.put(definition.clone());
    Ok(definition)
}

fn failure(caller: &Caller, named: &str, error: &DefinitionError) -> aws::Failure {
    let resource = format_args!("task-definition/{named}");
    let arn = if named.starts_with("arn:") {
        String::from(named)
    } else {
        Arn::new("ecs", caller.region.as_str(), &caller.account, resource).to_string()
    };
    aws::Failure { arn: Some(arn), reason: Some(error.to_string()), detail: None }
}
