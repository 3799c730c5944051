//! Routes: the way out through an internet gateway.
//!
//! The route within the VPC is in every table and cannot change. A host gives an interface the
//! whole way out or none, so a route to a part of the internet is refused by name.

use aws_ec2 as api;
use base::Fault;
use core_addresses::Cidr;
use service::Tx;
use wire::Empty;

use crate::behaviour::permission;
use crate::faults::{self, Kind};
use crate::state::default::Home;
use crate::state::resource;
use crate::state::route_table::{InternetGateway, Route, RouteTable};
use crate::state::security_group::ANYWHERE;
use crate::state::vpc::Vpc;

pub fn create(tx: &mut Tx<'_>, request: api::CreateRouteRequest) -> Result<api::CreateRouteResult, Fault> {
    let table = resource::find::<RouteTable>(tx, &Home::of(tx.caller), &request.route_table_id)?;
    let route = asked(tx, &table, request.destination_cidr_block, request.gateway_id)?;
    if table.routes.iter().any(|known| known.destination == route.destination) {
        return Err(faults::route_exists(route.destination));
    }
    if request.dry_run == Some(true) {
        return Err(faults::dry_run());
    }
    let mut new = (*table).clone();
    new.routes.push(route);
    tx.put(new);
    Ok(api::CreateRouteResult { r#return: Some(true) })
}

pub fn replace(tx: &mut Tx<'_>, request: api::ReplaceRouteRequest) -> Result<Empty, Fault> {
    let table = resource::find::<RouteTable>(tx, &Home::of(tx.caller), &request.route_table_id)?;
    let route = asked(tx, &table, request.destination_cidr_block, request.gateway_id)?;
    let mut new = (*table).clone();
    let Some(known) = new.routes.iter_mut().find(|known| known.destination == route.destination) else {
        return Err(faults::invalid(format_args!(
            "There is no route defined for '{}' in the route table. Use CreateRoute instead.",
            route.destination
        )));
    };
    *known = route;
    if request.dry_run == Some(true) {
        return Err(faults::dry_run());
    }
    tx.put(new);
    Ok(Empty::default())
}

pub fn delete(tx: &mut Tx<'_>, request: api::DeleteRouteRequest) -> Result<Empty, Fault> {
    let home = Home::of(tx.caller);
    let table = resource::find::<RouteTable>(tx, &home, &request.route_table_id)?;
    let destination = destination(request.destination_cidr_block)?;
    if local(tx, &table) == Some(destination) {
        let id = &table.id;
        return Err(faults::invalid(format_args!(
            "cannot remove local route {destination} in route table {id}"
        )));
    }
    let mut left = (*table).clone();
    left.routes.retain(|known| known.destination != destination);
    if left.routes.len() == table.routes.len() {
        return Err(faults::route_not_found(destination, &table.id));
    }
    if request.dry_run == Some(true) {
        return Err(faults::dry_run());
    }
    tx.put(left);
    Ok(Empty::default())
}

fn destination(asked: Option<String>) -> Result<Cidr, Fault> {
    let text = asked.ok_or_else(|| faults::missing("destinationCidrBlock"))?;
    permission::cidr(&text)
}

fn local(tx: &Tx<'_>, table: &RouteTable) -> Option<Cidr> {
    resource::get::<Vpc>(tx, &table.home, &table.vpc).map(|vpc| vpc.cidr)
}

/// A route that the table could have: its gateway is attached to the table's VPC.
fn asked(
    tx: &Tx<'_>,
    table: &RouteTable,
    to: Option<String>,
    gateway: Option<String>,
) -> Result<Route, Fault> {
    let destination = destination(to)?;
    let gateway = gateway.ok_or_else(|| faults::missing("gatewayId"))?;
    if local(tx, table).is_some_and(|local| local.covers(destination)) {
        return Err(faults::invalid(format_args!(
            "The destination CIDR block {destination} is equal to or more specific than one of this VPC's CIDR \
             blocks. This route can target only an interface or an instance."
        )));
    }
    if !gateway.starts_with(Kind::InternetGateway.prefix()) {
        return Err(faults::refuse(&format!("GatewayId={gateway}")));
    }
    let found = resource::find::<InternetGateway>(tx, &table.home, &gateway)?;
    if found.vpc.as_ref() != Some(&table.vpc) {
        let table = &table.id;
        return Err(faults::invalid(format_args!(
            "route table {table} and network gateway {gateway} belong to different networks"
        )));
    }
    if destination != ANYWHERE {
        return Err(faults::refuse(&format!("DestinationCidrBlock={destination} to an internet gateway")));
    }
    Ok(Route { destination, gateway })
}
