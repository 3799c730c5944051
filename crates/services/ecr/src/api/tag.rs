//! Tags of repositories.

use std::sync::Arc;

use aws_ecr as api;
use base::{Arn, Fault, Tags};
use service::{Caller, Tx, View};
use store::Snapshot;

use crate::content::repository as find;
use crate::state::{Registry, Repository};
use crate::{convert, faults};

/// AWS: a resource has at most 50 tags.
const MAX_TAGS: usize = 50;

pub fn collect(tags: Option<Vec<api::Tag>>) -> Result<Tags, Fault> {
    let tags: Tags = tags.unwrap_or_default().into_iter().map(|tag| (tag.key, tag.value)).collect();
    check(&tags)?;
    Ok(tags)
}

fn check(tags: &Tags) -> Result<(), Fault> {
    if tags.len() > MAX_TAGS {
        return Err(Fault::caller("TooManyTagsException", "A resource has at most 50 tags"));
    }
    match tags
        .keys()
        .find(|key| key.is_empty() || key.len() > 128 || key.to_ascii_lowercase().starts_with("aws:"))
    {
        Some(key) => {
            Err(Fault::caller("InvalidTagParameterException", format_args!("Invalid tag key '{key}'")))
        }
        None => Ok(()),
    }
}

fn by_arn(records: &Snapshot, caller: &Caller, arn: &str) -> Result<Arc<Repository>, Fault> {
    let parsed = Arn::parse(arn).ok().filter(|arn| arn.service() == "ecr");
    let name = parsed.as_ref().and_then(|arn| arn.resource().strip_prefix("repository/"));
    let (Some(parsed), Some(name)) = (&parsed, name) else {
        return Err(faults::invalid(format_args!("Invalid parameter at 'resourceArn': '{arn}'")));
    };
    if parsed.account() != caller.account.as_str() {
        return Err(faults::foreign_registry(parsed.account()));
    }
    let registry = Registry { account: parsed.account().to_owned(), region: parsed.region().to_owned() };
    find(records, &registry, name)
}

pub fn add(tx: &mut Tx<'_>, request: api::TagResourceRequest) -> Result<api::TagResourceResponse, Fault> {
    let mut repository = (*by_arn(tx, tx.caller, &request.resource_arn)?).clone();
    repository.tags.extend(request.tags.into_iter().map(|tag| (tag.key, tag.value)));
    check(&repository.tags)?;
    tx.put(repository);
    Ok(api::TagResourceResponse::default())
}

pub fn remove(
    tx: &mut Tx<'_>,
    request: api::UntagResourceRequest,
) -> Result<api::UntagResourceResponse, Fault> {
    let mut repository = (*by_arn(tx, tx.caller, &request.resource_arn)?).clone();
    repository.tags.retain(|key, _| !request.tag_keys.contains(key));
    tx.put(repository);
    Ok(api::UntagResourceResponse::default())
}

pub fn list(
    view: &View<'_>,
    request: api::ListTagsForResourceRequest,
) -> Result<api::ListTagsForResourceResponse, Fault> {
    let repository = by_arn(view, view.caller, &request.resource_arn)?;
    Ok(api::ListTagsForResourceResponse { tags: Some(convert::tags(&repository.tags)) })
}
