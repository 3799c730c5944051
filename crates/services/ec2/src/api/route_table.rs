//! Route tables: so far each default VPC's main one.

use aws_ec2::{DescribeRouteTablesRequest, DescribeRouteTablesResult};
use base::{Fault, Tags};
use service::View;

use crate::behaviour::{Asked, Attributes, select};
use crate::convert;
use crate::faults::Resource;
use crate::state::default::Home;

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
    let home = Home::of(view.caller);
    let asked = Asked {
        dry_run: request.dry_run,
        ids: request.route_table_ids,
        filters: request.filters,
        max_results: request.max_results,
        next_token: request.next_token,
    };
    let attributes = Attributes::default()
        .with("association.main", true)
        .with("association.route-table-association-id", home.route_table_association())
        .with("association.route-table-id", home.route_table())
        .with("owner-id", &home.account)
        .with("route-table-id", home.route_table())
        .with("route.destination-cidr-block", home.cidr())
        .with("route.destination-cidr-block", "0.0.0.0/0")
        .with("route.gateway-id", "local")
        .with("route.gateway-id", home.internet_gateway())
        .with("route.origin", "CreateRouteTable")
        .with("route.origin", "CreateRoute")
        .with("route.state", "active")
        .with("vpc-id", home.vpc());
    let all = [(home.route_table(), attributes, Tags::new(), convert::route_table(&home))];
    let page = select(Resource::RouteTable, FILTERS, asked, all.into_iter())?;
    Ok(DescribeRouteTablesResult { route_tables: Some(page.items), next_token: page.next_token })
}
