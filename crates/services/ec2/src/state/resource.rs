//! What the kinds of resources share: where they are kept, and that some exist without a record.

use std::collections::BTreeSet;
use std::sync::Arc;

use base::{Fault, Tags};
use store::{Key, Record, Snapshot};

use super::default::Home;
use crate::faults::{self, Kind};

/// A kind of resource with an id, in an account and region.
///
/// Invariant: a record at a default resource's id stands in its place: what a customer changes of a
/// default resource is written whole under the same id.
pub trait Resource: Record + Clone {
    const NAMED: Kind;

    fn id(&self) -> &str;

    fn tags(&self) -> &Tags;

    fn tags_mut(&mut self) -> &mut Tags;

    /// Those that every account has in every region without a record.
    fn defaults(_home: &Home) -> Vec<Self> {
        Vec::new()
    }
}

/// Of all records of a kind in an account and region.
pub fn all_of(home: &Home) -> Key {
    Key::of(&[home.account.as_str(), home.region.as_str()])
}

pub fn key_of(home: &Home, id: &str) -> Key {
    all_of(home).child(id)
}

pub fn get<R: Resource>(records: &Snapshot, home: &Home, id: &str) -> Option<Arc<R>> {
    let kept = records.get::<R>(&key_of(home, id));
    kept.or_else(|| R::defaults(home).into_iter().find(|default| default.id() == id).map(Arc::new))
}

/// # Errors
/// No resource of the kind has the id, or could have it.
pub fn find<R: Resource>(records: &Snapshot, home: &Home, id: &str) -> Result<Arc<R>, Fault> {
    if !id.starts_with(R::NAMED.prefix()) {
        return Err(faults::malformed(R::NAMED, id));
    }
    get(records, home, id).ok_or_else(|| faults::not_found(R::NAMED, &[id]))
}

/// Every resource of the kind, default ones included, in no order that matters.
pub fn list<R: Resource>(records: &Snapshot, home: &Home) -> Vec<Arc<R>> {
    let mut all: Vec<Arc<R>> = records.scan::<R>(&all_of(home)).collect();
    for default in R::defaults(home) {
        if !records.contains::<R>(&key_of(home, default.id())) {
            all.push(Arc::new(default));
        }
    }
    all
}

/// Those of `ids` that there are, or every one where none is named: the others need not be looked at.
pub fn named<R: Resource>(records: &Snapshot, home: &Home, ids: Option<&Vec<String>>) -> Vec<Arc<R>> {
    let Some(ids) = ids.filter(|ids| !ids.is_empty()) else { return list(records, home) };
    let distinct: BTreeSet<&String> = ids.iter().collect();
    distinct.into_iter().filter_map(|id| get(records, home, id)).collect()
}
