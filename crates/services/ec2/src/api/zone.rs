//! Regions and their availability zones.

use aws_ec2::{
    AvailabilityZone, DescribeAvailabilityZonesRequest, DescribeAvailabilityZonesResult,
    DescribeRegionsRequest, DescribeRegionsResult, Region as Shown,
};
use base::{Fault, Region, Tags};
use service::View;

use crate::behaviour::{Attributes, Filters};
use crate::convert::text;
use crate::faults;
use crate::state::default::Home;

const ZONE_FILTERS: &[&str] = &[
    "group-long-name",
    "group-name",
    "message",
    "opt-in-status",
    "parent-zone-id",
    "parent-zone-name",
    "region-name",
    "state",
    "zone-id",
    "zone-name",
    "zone-type",
];

const REGION_FILTERS: &[&str] = &["endpoint", "opt-in-status", "region-name"];

const NO_OPT_IN: &str = "opt-in-not-required";

/// AWS: the regions that every account has without asking. Here every other well-formed name is a
/// region too; a caller's own is listed with them.
const REGIONS: [&str; 17] = [
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-south-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "ca-central-1",
    "eu-central-1",
    "eu-north-1",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "sa-east-1",
    "us-east-1",
    "us-east-2",
    "us-west-1",
    "us-west-2",
];

pub fn describe_zones(
    view: &View<'_>,
    request: DescribeAvailabilityZonesRequest,
) -> Result<DescribeAvailabilityZonesResult, Fault> {
    let home = Home::of(view.caller);
    let filters = Filters::of(request.filters, ZONE_FILTERS)?;
    let (names, ids) = (request.zone_names.unwrap_or_default(), request.zone_ids.unwrap_or_default());
    let zones = home.zones();
    let unknown_name = names.iter().find(|name| !zones.iter().any(|(known, _)| known == *name));
    let unknown = unknown_name.or_else(|| ids.iter().find(|id| !zones.iter().any(|(_, known)| known == *id)));
    if let Some(zone) = unknown {
        return Err(faults::invalid(format_args!("Invalid availability zone: [{zone}]")));
    }
    if request.dry_run == Some(true) {
        return Err(faults::dry_run());
    }
    let is_asked = |(name, id): &(String, String)| {
        (names.is_empty() || names.contains(name)) && (ids.is_empty() || ids.contains(id))
    };
    let shown = zones.into_iter().filter(is_asked).map(|(name, id)| zone(&home.region, name, id));
    let accepted = shown.filter(|zone| filters.accept(&zone_attributes(zone), &Tags::new()));
    Ok(DescribeAvailabilityZonesResult { availability_zones: Some(accepted.collect()) })
}

/// AWS: a zone's group is its region with the partition's suffix.
fn zone(region: &Region, name: String, id: String) -> AvailabilityZone {
    AvailabilityZone {
        state: text("available"),
        opt_in_status: text(NO_OPT_IN),
        messages: Some(Vec::new()),
        region_name: text(region),
        zone_name: Some(name),
        zone_id: Some(id),
        group_name: Some(format!("{region}-zg-1")),
        network_border_group: text(region),
        zone_type: text("availability-zone"),
        ..Default::default()
    }
}

fn zone_attributes(zone: &AvailabilityZone) -> Attributes {
    Attributes::default()
        .with_some("group-name", zone.group_name.as_ref())
        .with_some("opt-in-status", zone.opt_in_status.as_ref())
        .with_some("region-name", zone.region_name.as_ref())
        .with_some("state", zone.state.as_ref())
        .with_some("zone-id", zone.zone_id.as_ref())
        .with_some("zone-name", zone.zone_name.as_ref())
        .with_some("zone-type", zone.zone_type.as_ref())
}

pub fn describe_regions(
    view: &View<'_>,
    request: DescribeRegionsRequest,
) -> Result<DescribeRegionsResult, Fault> {
    let filters = Filters::of(request.filters, REGION_FILTERS)?;
    let mut known: Vec<&str> = REGIONS.to_vec();
    known.extend([view.caller.region.as_str()].iter().filter(|own| !REGIONS.contains(own)));
    known.sort_unstable();
    let names = request.region_names.unwrap_or_default();
    if let Some(name) = names.iter().find(|name| !known.contains(&name.as_str())) {
        return Err(faults::invalid(format_args!("Invalid region: [{name}]")));
    }
    if request.dry_run == Some(true) {
        return Err(faults::dry_run());
    }
    let regions =
        known.into_iter().filter(|name| names.is_empty() || names.iter().any(|asked| asked == name));
    let accepted = regions.filter_map(|name| {
        let endpoint = format!("ec2.{name}.amazonaws.com");
        let attributes = Attributes::default()
            .with("endpoint", &endpoint)
            .with("opt-in-status", NO_OPT_IN)
            .with("region-name", name);
        filters.accept(&attributes, &Tags::new()).then(|| Shown {
            region_name: text(name),
            endpoint: Some(endpoint),
            opt_in_status: text(NO_OPT_IN),
            ..Default::default()
        })
    });
    Ok(DescribeRegionsResult { regions: Some(accepted.collect()) })
}
