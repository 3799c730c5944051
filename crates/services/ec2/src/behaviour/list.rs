//! Which of all resources a Describe operation answers.

use aws_ec2::Filter;
use base::{Fault, Tags};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::filter::{Attributes, Filters};
use crate::faults::{self, Kind};

/// AWS: the bounds of MaxResults for these operations.
const LEAST: i32 = 5;
const MOST: i32 = 1000;

/// What a Describe request asks for.
#[derive(Debug, Default)]
pub struct Asked {
    pub dry_run: Option<bool>,
    pub ids: Option<Vec<String>>,
    pub filters: Option<Vec<Filter>>,
    pub max_results: Option<i32>,
    pub next_token: Option<String>,
}

/// One page of an answer.
#[derive(Debug)]
pub struct Page<T> {
    pub items: Vec<T>,
    pub next_token: Option<String>,
}

/// A resource among which [`select`] chooses.
struct Candidate<T> {
    id: String,
    attributes: Attributes,
    tags: Tags,
    item: T,
}

/// Chooses the asked for of `all`. Ids that name nothing are refused before anything is filtered.
pub fn select<T>(
    kind: Kind,
    known_filters: &[&str],
    asked: Asked,
    all: impl Iterator<Item = (String, Attributes, Tags, T)>,
) -> Result<Page<T>, Fault> {
    page(Some(kind), known_filters, asked, all)
}

/// [`select`] of what has no id: the first of each is only its place in the list.
pub fn select_sorted<T>(
    known_filters: &[&str],
    asked: Asked,
    all: impl Iterator<Item = (String, Attributes, Tags, T)>,
) -> Result<Page<T>, Fault> {
    page(None, known_filters, asked, all)
}

fn page<T>(
    kind: Option<Kind>,
    known_filters: &[&str],
    asked: Asked,
    all: impl Iterator<Item = (String, Attributes, Tags, T)>,
) -> Result<Page<T>, Fault> {
    let filters = Filters::of(asked.filters, known_filters)?;
    let limit = limit_of(asked.max_results)?;
    let after = asked.next_token.filter(|token| !token.is_empty()).map(|token| decode(&token)).transpose()?;
    if asked.dry_run == Some(true) {
        return Err(faults::dry_run());
    }
    let mut all: Vec<_> =
        all.map(|(id, attributes, tags, item)| Candidate { id, attributes, tags, item }).collect();
    all.sort_by(|one, other| one.id.cmp(&other.id));
    let ids = asked.ids.unwrap_or_default();
    if let Some(kind) = kind {
        check_ids(kind, &ids, &all)?;
    }
    let is_asked = |one: &Candidate<T>| {
        (ids.is_empty() || ids.contains(&one.id))
            && filters.accept(&one.attributes, &one.tags)
            && after.as_ref().is_none_or(|after| one.id > *after)
    };
    let mut found = all.into_iter().filter(is_asked);
    let mut items = Vec::new();
    let mut last = None;
    for one in found.by_ref().take(limit) {
        last = Some(one.id);
        items.push(one.item);
    }
    let next_token = last.filter(|_| found.next().is_some()).map(|id| URL_SAFE_NO_PAD.encode(id));
    Ok(Page { items, next_token })
}

fn limit_of(max_results: Option<i32>) -> Result<usize, Fault> {
    match max_results {
        None => Ok(MOST as usize),
        Some(value) if value < LEAST => Err(faults::max_results_too_small(value, LEAST)),
        Some(value) if value > MOST => Err(faults::max_results_too_large(value, MOST)),
        Some(value) => Ok(value as usize),
    }
}

fn decode(token: &str) -> Result<String, Fault> {
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| faults::invalid_token())?;
    String::from_utf8(bytes).map_err(|_| faults::invalid_token())
}

fn check_ids<T>(kind: Kind, ids: &[String], all: &[Candidate<T>]) -> Result<(), Fault> {
    if let Some(id) = ids.iter().find(|id| !id.starts_with(kind.prefix())) {
        return Err(faults::malformed(kind, id));
    }
    let is_missing = |id: &&str| !all.iter().any(|one| one.id == *id);
    let missing: Vec<&str> = ids.iter().map(String::as_str).filter(is_missing).collect();
    if missing.is_empty() { Ok(()) } else { Err(faults::not_found(kind, &missing)) }
}
