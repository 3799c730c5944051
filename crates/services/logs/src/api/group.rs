//! Log groups.

use aws_logs::{
    CreateLogGroupRequest, DeleteLogGroupRequest, DescribeLogGroupsRequest, DescribeLogGroupsResponse,
};
use base::Fault;
use journal::Journal;
use service::{Tx, View};
use wire::Empty;

use crate::state::{Group, Stream, group_key, groups_of, name_of};
use crate::{convert, faults};

/// AWS: a page without a limit has so many.
pub(super) const PAGE: i32 = 50;

pub(super) fn create(tx: &mut Tx<'_>, request: CreateLogGroupRequest) -> Result<Empty, Fault> {
    if request.deletion_protection_enabled == Some(true) {
        return Err(faults::refuse("deletionProtectionEnabled"));
    }
    match request.log_group_class.as_deref() {
        None | Some("STANDARD") => {}
        Some(class) => return Err(faults::refuse(&format!("logGroupClass {class}"))),
    }
    // AWS: such names are its own.
    if request.log_group_name.starts_with("aws/") {
        return Err(faults::invalid("Log group names can't start with the string aws/."));
    }
    let (account, region) = (tx.caller.account.clone(), tx.caller.region.clone());
    if tx.contains::<Group>(&group_key(&account, &region, &request.log_group_name)) {
        return Err(faults::group_exists());
    }
    let group = Group {
        account,
        region,
        name: request.log_group_name,
        id: tx.chance.hex(16),
        created_at: tx.now,
        retention_days: None,
        tags: request.tags.unwrap_or_default(),
    };
    tx.put(group);
    Ok(Empty::default())
}

/// The events stay in the journal until the next sweep finds that nobody knows them.
pub(super) fn delete(tx: &mut Tx<'_>, request: DeleteLogGroupRequest) -> Result<Empty, Fault> {
    let key = group_key(&tx.caller.account, &tx.caller.region, &request.log_group_name);
    if !tx.delete::<Group>(&key) {
        return Err(faults::no_group());
    }
    for stream in tx.scan::<Stream>(&key) {
        tx.delete::<Stream>(&store::Record::key(&*stream));
    }
    Ok(Empty::default())
}

pub(super) fn describe(
    journal: &Journal,
    view: &View<'_>,
    request: DescribeLogGroupsRequest,
) -> Result<DescribeLogGroupsResponse, Fault> {
    check(&request)?;
    let groups = groups_of(view.caller);
    let after = request.next_token.map_or_else(|| groups.clone(), |token| groups.child(&token));
    let (prefix, pattern) = (request.log_group_name_prefix, request.log_group_name_pattern);
    let mut names = Vec::new();
    for identifier in request.log_group_identifiers.iter().flatten() {
        names.push(name_of(view.caller, identifier)?);
    }
    let is_picked = |group: &Group| {
        prefix.as_deref().is_none_or(|prefix| group.name.starts_with(prefix))
            && pattern.as_deref().is_none_or(|pattern| group.name.contains(pattern))
            && (names.is_empty() || names.contains(&group.name))
            && request.log_group_class.as_deref().is_none_or(|class| class == "STANDARD")
    };
    let limit = request.limit.unwrap_or(PAGE).max(1) as usize;
    let mut found: Vec<_> =
        view.scan_after::<Group>(&groups, &after).filter(|group| is_picked(group)).take(limit + 1).collect();
    let has_more = found.len() > limit;
    found.truncate(limit);
    let next_token = found.last().filter(|_| has_more).map(|group| group.name.clone());
    let shapes = found.iter().map(|group| match pattern {
        None => convert::group(group, journal),
        // AWS: a search by pattern answers no more than these.
        Some(_) => aws_logs::LogGroup {
            log_group_name: Some(group.name.clone()),
            arn: Some(format!("{}:*", group.arn())),
            creation_time: Some(group.created_at.as_millis()),
            ..Default::default()
        },
    });
    Ok(DescribeLogGroupsResponse { log_groups: Some(shapes.collect()), next_token })
}

fn check(request: &DescribeLogGroupsRequest) -> Result<(), Fault> {
    if request.include_linked_accounts == Some(true) {
        return Err(faults::refuse("includeLinkedAccounts"));
    }
    if request.account_identifiers.iter().flatten().next().is_some() {
        return Err(faults::refuse("accountIdentifiers"));
    }
    if request.log_group_name_prefix.is_some() && request.log_group_name_pattern.is_some() {
        return Err(faults::invalid(
            "LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters.",
        ));
    }
    Ok(())
}
