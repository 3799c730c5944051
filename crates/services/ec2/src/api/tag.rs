//! Tags of every kind of resource.

use std::collections::BTreeSet;

use aws_ec2::{
    CreateTagsRequest, DeleteTagsRequest, DescribeTagsRequest, DescribeTagsResult, Tag, TagDescription,
};
use base::{Fault, Tags};
use service::{Tx, View};
use store::Snapshot;
use wire::Empty;

use crate::behaviour::{Asked, Attributes, select_sorted, tags};
use crate::convert::text;
use crate::faults::{self, Kind};
use crate::state::default::Home;
use crate::state::instance::Instance;
use crate::state::interface::Interface;
use crate::state::resource::{self, Resource};
use crate::state::route_table::{InternetGateway, RouteTable};
use crate::state::security_group::SecurityGroup;
use crate::state::vpc::{Subnet, Vpc};

/// AWS: of one request.
const MOST_RESOURCES: usize = 1000;

const FILTERS: &[&str] = &["key", "resource-id", "resource-type", "value"];

/// All of the resources or none.
pub fn create(tx: &mut Tx<'_>, request: CreateTagsRequest) -> Result<Empty, Fault> {
    let new = tags::checked(request.tags)?;
    if new.is_empty() {
        return Err(faults::missing("Tag"));
    }
    each(tx, request.resources, request.dry_run, |tags| {
        tags.extend(new.iter().cloned());
        tags::within_limit(tags)
    })
}

/// AWS: a tag with a value goes only if it has that one; without tags all go.
pub fn delete(tx: &mut Tx<'_>, request: DeleteTagsRequest) -> Result<Empty, Fault> {
    let gone = request.tags.unwrap_or_default();
    let is_gone = |key: &str, value: &str| {
        let is_one = |tag: &Tag| {
            tag.key.as_deref() == Some(key) && tag.value.as_deref().is_none_or(|named| named == value)
        };
        gone.is_empty() || gone.iter().any(is_one)
    };
    each(tx, request.resources, request.dry_run, |tags| {
        tags.retain(|key, value| !is_gone(key, value));
        Ok(())
    })
}

fn each(
    tx: &mut Tx<'_>,
    ids: Vec<String>,
    dry_run: Option<bool>,
    change: impl Fn(&mut Tags) -> Result<(), Fault>,
) -> Result<Empty, Fault> {
    if ids.is_empty() {
        return Err(faults::missing("ResourceId"));
    }
    if ids.len() > MOST_RESOURCES {
        return Err(faults::invalid(format_args!(
            "At most {MOST_RESOURCES} resources can be tagged at once."
        )));
    }
    for id in &ids {
        retag(tx, id, &change)?;
    }
    // A refusal takes every write back.
    if dry_run == Some(true) { Err(faults::dry_run()) } else { Ok(Empty::default()) }
}

fn retag(tx: &mut Tx<'_>, id: &str, change: &dyn Fn(&mut Tags) -> Result<(), Fault>) -> Result<(), Fault> {
    let kind = Kind::TAGGED.into_iter().find(|kind| id.starts_with(kind.prefix()));
    match kind.ok_or_else(|| faults::invalid_id(id))? {
        Kind::Vpc => of::<Vpc>(tx, id, change),
        Kind::Subnet => of::<Subnet>(tx, id, change),
        Kind::SecurityGroup => of::<SecurityGroup>(tx, id, change),
        Kind::SecurityGroupRule => of_rule(tx, id, change),
        Kind::NetworkInterface => of::<Interface>(tx, id, change),
        Kind::RouteTable => of::<RouteTable>(tx, id, change),
        Kind::InternetGateway => of::<InternetGateway>(tx, id, change),
        Kind::Instance => of::<Instance>(tx, id, change),
        Kind::NetworkAcl => Err(faults::invalid_id(id)),
    }
}

fn of<R: Resource>(
    tx: &mut Tx<'_>,
    id: &str,
    change: &dyn Fn(&mut Tags) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let mut resource = (*resource::find::<R>(tx, &Home::of(tx.caller), id)?).clone();
    change(resource.tags_mut())?;
    tx.put(resource);
    Ok(())
}

fn of_rule(tx: &mut Tx<'_>, id: &str, change: &dyn Fn(&mut Tags) -> Result<(), Fault>) -> Result<(), Fault> {
    let groups = resource::list::<SecurityGroup>(tx, &Home::of(tx.caller));
    let group = groups.into_iter().find(|group| group.rules.iter().any(|rule| rule.id == id));
    let mut group = (*group.ok_or_else(|| faults::not_found(Kind::SecurityGroupRule, &[id]))?).clone();
    let rule = group.rules.iter_mut().find(|rule| rule.id == id);
    change(&mut rule.expect("the group was found by this rule").tags)?;
    tx.put(group);
    Ok(())
}

pub fn describe(view: &View<'_>, request: DescribeTagsRequest) -> Result<DescribeTagsResult, Fault> {
    let asked = Asked {
        dry_run: request.dry_run,
        ids: None,
        filters: request.filters,
        max_results: request.max_results,
        next_token: request.next_token,
    };
    let all = every(view, &Home::of(view.caller)).into_iter().map(|(kind, id, key, value)| {
        let attributes = Attributes::default()
            .with("key", &key)
            .with("resource-id", &id)
            .with("resource-type", kind.name())
            .with("value", &value);
        let own = Tags::from([(key.clone(), value.clone())]);
        let place = format!("{}\t{id}\t{key}", kind.name());
        let shown = TagDescription {
            key: Some(key),
            resource_id: Some(id),
            resource_type: text(kind.name()),
            value: Some(value),
        };
        (place, attributes, own, shown)
    });
    let page = select_sorted(FILTERS, asked, all)?;
    Ok(DescribeTagsResult { tags: Some(page.items), next_token: page.next_token })
}

/// Every tag of every resource of a home.
fn every(records: &Snapshot, home: &Home) -> BTreeSet<(Kind, String, String, String)> {
    let mut all = BTreeSet::new();
    gather::<Vpc>(records, home, &mut all);
    gather::<Subnet>(records, home, &mut all);
    gather::<Interface>(records, home, &mut all);
    gather::<RouteTable>(records, home, &mut all);
    gather::<InternetGateway>(records, home, &mut all);
    gather::<Instance>(records, home, &mut all);
    for group in resource::list::<SecurityGroup>(records, home) {
        add(Kind::SecurityGroup, &group.id, &group.tags, &mut all);
        for rule in &group.rules {
            add(Kind::SecurityGroupRule, &rule.id, &rule.tags, &mut all);
        }
    }
    all
}

fn gather<R: Resource>(records: &Snapshot, home: &Home, all: &mut BTreeSet<(Kind, String, String, String)>) {
    for one in resource::list::<R>(records, home) {
        add(R::NAMED, one.id(), one.tags(), all);
    }
}

fn add(kind: Kind, id: &str, tags: &Tags, all: &mut BTreeSet<(Kind, String, String, String)>) {
    all.extend(tags.iter().map(|(key, value)| (kind, id.to_owned(), key.clone(), value.clone())));
}
