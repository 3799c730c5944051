//! Route tables: each VPC's main one, and those that an account makes.

use aws_ec2::{DescribeRouteTablesRequest, DescribeRouteTablesResult};
use base::Fault;
use service::View;

use crate::behaviour::{Asked, Attributes, select};
use crate::convert;
use crate::faults::Kind;
use crate::state::default::Home;
use crate::state::resource;
use crate::state::route_table::RouteTable;

const FILTERS: &[&str] = &[
    "association.gateway-id",
    "association.main",
    "association.route-table-association-id",
    "association.route-table-id",
    "association.subnet-id",
    "owner-id",
    "route-table-id",
    "route.destination-cidr-block",
    "route.destination-ipv6-cidr-block",
    "route.destination-prefix-list-id",
    "route.egress-only-internet-gateway-id",
    "route.gateway-id",
    "route.instance-id",
    "route.nat-gateway-id",
    "route.origin",
    "route.state",
    "route.transit-gateway-id",
    "route.vpc-peering-connection-id",
    "vpc-id",
];

pub fn describe(
    view: &View<'_>,
    request: DescribeRouteTablesRequest,
) -> Result<DescribeRouteTablesResult, Fault> {
    let asked = Asked {
        dry_run: request.dry_run,
        ids: request.route_table_ids,
        filters: request.filters,
        max_results: request.max_results,
        next_token: request.next_token,
    };
    let all = resource::list::<RouteTable>(view, &Home::of(view.caller)).into_iter().map(|table| {
        let shown = convert::route_table(view, &table);
        (table.id.clone(), attributes(&shown), table.tags.clone(), shown)
    });
    let page = select(Kind::RouteTable, FILTERS, asked, all)?;
    Ok(DescribeRouteTablesResult { route_tables: Some(page.items), next_token: page.next_token })
}

fn attributes(table: &aws_ec2::RouteTable) -> Attributes {
    let mut attributes = Attributes::default()
        .with_some("owner-id", table.owner_id.as_ref())
        .with_some("route-table-id", table.route_table_id.as_ref())
        .with_some("vpc-id", table.vpc_id.as_ref());
    for one in table.associations.iter().flatten() {
        attributes = attributes
            .with_some("association.gateway-id", one.gateway_id.as_ref())
            .with_some("association.main", one.main)
            .with_some("association.route-table-association-id", one.route_table_association_id.as_ref())
            .with_some("association.route-table-id", one.route_table_id.as_ref())
            .with_some("association.subnet-id", one.subnet_id.as_ref());
    }
    for route in table.routes.iter().flatten() {
        attributes = attributes
            .with_some("route.destination-cidr-block", route.destination_cidr_block.as_ref())
            .with_some("route.gateway-id", route.gateway_id.as_ref())
            .with_some("route.origin", route.origin.as_ref())
            .with_some("route.state", route.state.as_ref());
    }
    attributes
}
