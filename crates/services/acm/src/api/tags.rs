//! A certificate's tags.

use aws_acm::{
    AddTagsToCertificateRequest, ListTagsForCertificateRequest, ListTagsForCertificateResponse,
    RemoveTagsFromCertificateRequest, Tag,
};
use base::{Fault, Tags};
use service::{Tx, View};
use wire::Empty;

use crate::state::{Certificate, find};
use crate::{convert, faults};

const MOST: usize = 50;

/// The tags of a request, each key once. AWS: a tag without a value has an empty one.
pub(super) fn of(list: Vec<Tag>) -> Result<Tags, Fault> {
    let mut tags = Tags::new();
    for tag in list {
        if tag.key.to_ascii_lowercase().starts_with("aws:") {
            return Err(faults::reserved_tag());
        }
        if tags.contains_key(&tag.key) {
            return Err(faults::repeated_tag(&tag.key));
        }
        tags.insert(tag.key, tag.value.unwrap_or_default());
    }
    Ok(tags)
}

pub(super) fn add(tx: &mut Tx<'_>, request: AddTagsToCertificateRequest) -> Result<Empty, Fault> {
    let mut record = Certificate::clone(&*find(tx, tx.caller, &request.certificate_arn)?);
    record.tags.extend(of(request.tags)?);
    if record.tags.len() > MOST {
        return Err(faults::too_many_tags(MOST));
    }
    tx.put(record);
    Ok(Empty::default())
}

/// AWS: a tag that is named with a value goes only if it has that value.
pub(super) fn remove(tx: &mut Tx<'_>, request: RemoveTagsFromCertificateRequest) -> Result<Empty, Fault> {
    let mut record = Certificate::clone(&*find(tx, tx.caller, &request.certificate_arn)?);
    let is_named = |key: &String, value: &String| {
        let names = |tag: &Tag| tag.key == *key && tag.value.as_ref().is_none_or(|named| named == value);
        request.tags.iter().any(names)
    };
    record.tags.retain(|key, value| !is_named(key, value));
    tx.put(record);
    Ok(Empty::default())
}

pub(super) fn list(
    view: &View<'_>,
    request: ListTagsForCertificateRequest,
) -> Result<ListTagsForCertificateResponse, Fault> {
    let record = find(view, view.caller, &request.certificate_arn)?;
    Ok(ListTagsForCertificateResponse { tags: Some(convert::tags(&record.tags)) })
}
