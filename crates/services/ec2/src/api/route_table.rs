//! Route tables: each VPC's main one, and those that an account makes.

use aws_ec2 as api;
use aws_ec2::{DescribeRouteTablesRequest, DescribeRouteTablesResult};
use base::Fault;
use service::{Tx, View};
use wire::Empty;

use crate::behaviour::{Asked, Attributes, select, tags};
use crate::convert;
use crate::faults::{self, Kind};
use crate::state::default::Home;
use crate::state::resource;
use crate::state::route_table::{Association, RouteTable};
use crate::state::vpc::{Subnet, Vpc};

/// AWS: the quota of a new account, in a VPC.
const MOST_TABLES: usize = 200;

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

pub fn create(
    tx: &mut Tx<'_>,
    request: api::CreateRouteTableRequest,
) -> Result<api::CreateRouteTableResult, Fault> {
    let home = Home::of(tx.caller);
    let vpc = resource::find::<Vpc>(tx, &home, &request.vpc_id)?;
    let tags = tags::of_specifications(Kind::RouteTable, request.tag_specifications)?;
    let token = request.client_token.filter(|token| !token.is_empty());
    if let Some(earlier) = token.as_deref().and_then(|token| RouteTable::of_token(tx, &home, token)) {
        if earlier.vpc != vpc.id {
            return Err(faults::token_reused());
        }
        let route_table = Some(convert::route_table(tx, &earlier));
        return Ok(api::CreateRouteTableResult { route_table, client_token: token });
    }
    if RouteTable::of_vpc(tx, &home, &vpc.id).len() >= MOST_TABLES {
        return Err(faults::limit("RouteTableLimitExceeded", "route tables"));
    }
    if request.dry_run == Some(true) {
        return Err(faults::dry_run());
    }
    let table = RouteTable {
        home,
        id: format!("rtb-{}", tx.chance.hex(17)),
        vpc: vpc.id.clone(),
        routes: Vec::new(),
        associations: Vec::new(),
        client_token: token.clone(),
        tags,
    };
    let shown = convert::route_table(tx, &table);
    tx.put(table);
    Ok(api::CreateRouteTableResult { route_table: Some(shown), client_token: token })
}

pub fn delete(tx: &mut Tx<'_>, request: api::DeleteRouteTableRequest) -> Result<Empty, Fault> {
    let home = Home::of(tx.caller);
    let table = resource::find::<RouteTable>(tx, &home, &request.route_table_id)?;
    if !table.associations.is_empty() {
        return Err(faults::has_dependencies("routeTable", &table.id));
    }
    if table.id == home.route_table() {
        return Err(faults::refuse("DeleteRouteTable of a default VPC's first table"));
    }
    if request.dry_run == Some(true) {
        return Err(faults::dry_run());
    }
    tx.delete::<RouteTable>(&resource::key_of(&home, &table.id));
    Ok(Empty::default())
}

pub fn associate(
    tx: &mut Tx<'_>,
    request: api::AssociateRouteTableRequest,
) -> Result<api::AssociateRouteTableResult, Fault> {
    let home = Home::of(tx.caller);
    let table = resource::find::<RouteTable>(tx, &home, &request.route_table_id)?;
    let subnet = request.subnet_id.ok_or_else(|| faults::missing("subnetId"))?;
    let subnet = resource::find::<Subnet>(tx, &home, &subnet)?;
    if subnet.vpc != table.vpc {
        let (table, subnet) = (&table.id, &subnet.id);
        return Err(faults::invalid(format_args!(
            "Route table {table} and subnet {subnet} belong to different networks"
        )));
    }
    let is_of = |one: &&Association| one.subnet.as_ref() == Some(&subnet.id);
    for other in RouteTable::of_vpc(tx, &home, &table.vpc) {
        match other.associations.iter().find(is_of) {
            Some(known) if other.id == table.id => return Ok(associated(&known.id)),
            Some(_) => {
                let id = &table.id;
                return Err(faults::already_associated(format_args!(
                    "the specified association for route table {id} conflicts with an existing association"
                )));
            }
            None => {}
        }
    }
    if request.dry_run == Some(true) {
        return Err(faults::dry_run());
    }
    let id = new_association(tx);
    let mut new = (*table).clone();
    new.associations.push(Association { id: id.clone(), subnet: Some(subnet.id.clone()) });
    tx.put(new);
    Ok(associated(&id))
}

fn new_association(tx: &mut Tx<'_>) -> String {
    format!("rtbassoc-{}", tx.chance.hex(17))
}

fn associated(id: &str) -> api::AssociateRouteTableResult {
    api::AssociateRouteTableResult { association_id: convert::text(id), association_state: Some(state()) }
}

fn state() -> api::RouteTableAssociationState {
    api::RouteTableAssociationState { state: convert::text("associated"), ..Default::default() }
}

/// The table that has an association, and its place in it.
fn of_association(tx: &Tx<'_>, home: &Home, id: &str) -> Result<(std::sync::Arc<RouteTable>, usize), Fault> {
    let tables = resource::list::<RouteTable>(tx, home).into_iter();
    let mut found = tables.filter_map(|table| {
        let place = table.associations.iter().position(|one| one.id == id)?;
        Some((table, place))
    });
    found.next().ok_or_else(|| faults::association_not_found(id))
}

pub fn disassociate(tx: &mut Tx<'_>, request: api::DisassociateRouteTableRequest) -> Result<Empty, Fault> {
    let id = &request.association_id;
    let (table, place) = of_association(tx, &Home::of(tx.caller), id)?;
    if table.associations[place].subnet.is_none() {
        return Err(faults::invalid(format_args!(
            "cannot disassociate the main route table association {id}"
        )));
    }
    if request.dry_run == Some(true) {
        return Err(faults::dry_run());
    }
    let mut left = (*table).clone();
    left.associations.remove(place);
    tx.put(left);
    Ok(Empty::default())
}

/// AWS: the association goes on under another id, also that of the main table.
pub fn replace_association(
    tx: &mut Tx<'_>,
    request: api::ReplaceRouteTableAssociationRequest,
) -> Result<api::ReplaceRouteTableAssociationResult, Fault> {
    let home = Home::of(tx.caller);
    let (old, place) = of_association(tx, &home, &request.association_id)?;
    let new = resource::find::<RouteTable>(tx, &home, &request.route_table_id)?;
    if new.vpc != old.vpc {
        let (id, table) = (&request.association_id, &new.id);
        return Err(faults::invalid(format_args!(
            "Route table {table} and association {id} belong to different networks"
        )));
    }
    if request.dry_run == Some(true) {
        return Err(faults::dry_run());
    }
    let mut left = (*old).clone();
    let association = left.associations.remove(place);
    let id = new_association(tx);
    let mut taking = if new.id == left.id { left.clone() } else { (*new).clone() };
    taking.associations.push(Association { id: id.clone(), ..association });
    tx.put(left);
    tx.put(taking);
    Ok(api::ReplaceRouteTableAssociationResult {
        new_association_id: Some(id),
        association_state: Some(state()),
    })
}

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
