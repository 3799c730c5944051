//! Internet gateways: each default VPC's, and those that an account makes.

use aws_ec2 as api;
use aws_ec2::{DescribeInternetGatewaysRequest, DescribeInternetGatewaysResult};
use base::Fault;
use service::{Tx, View};
use wire::Empty;

use crate::behaviour::{Asked, Attributes, select, tags};
use crate::convert;
use crate::faults::{self, Kind};
use crate::state::default::Home;
use crate::state::resource;
use crate::state::route_table::InternetGateway;
use crate::state::vpc::Vpc;

/// As many as VPCs.
const MOST_GATEWAYS: usize = 100;

const FILTERS: &[&str] = &["attachment.state", "attachment.vpc-id", "internet-gateway-id", "owner-id"];

pub fn create(
    tx: &mut Tx<'_>,
    request: api::CreateInternetGatewayRequest,
) -> Result<api::CreateInternetGatewayResult, Fault> {
    let home = Home::of(tx.caller);
    let tags = tags::of_specifications(Kind::InternetGateway, request.tag_specifications)?;
    if resource::list::<InternetGateway>(tx, &home).len() >= MOST_GATEWAYS {
        return Err(faults::limit("InternetGatewayLimitExceeded", "internet gateways"));
    }
    if request.dry_run == Some(true) {
        return Err(faults::dry_run());
    }
    let gateway = InternetGateway { home, id: format!("igw-{}", tx.chance.hex(17)), vpc: None, tags };
    let shown = convert::internet_gateway(&gateway);
    tx.put(gateway);
    Ok(api::CreateInternetGatewayResult { internet_gateway: Some(shown) })
}

pub fn attach(tx: &mut Tx<'_>, request: api::AttachInternetGatewayRequest) -> Result<Empty, Fault> {
    let home = Home::of(tx.caller);
    let gateway = resource::find::<InternetGateway>(tx, &home, &request.internet_gateway_id)?;
    let vpc = resource::find::<Vpc>(tx, &home, &request.vpc_id)?;
    if let Some(attached) = &gateway.vpc {
        let id = &gateway.id;
        return Err(faults::already_associated(format_args!(
            "resource {id} is already attached to network {attached}"
        )));
    }
    if resource::list::<InternetGateway>(tx, &home).iter().any(|one| one.vpc.as_ref() == Some(&vpc.id)) {
        let id = &vpc.id;
        return Err(faults::invalid(format_args!("Network {id} already has an internet gateway attached")));
    }
    if request.dry_run == Some(true) {
        return Err(faults::dry_run());
    }
    tx.put(InternetGateway { vpc: Some(vpc.id.clone()), ..(*gateway).clone() });
    Ok(Empty::default())
}

pub fn detach(tx: &mut Tx<'_>, request: api::DetachInternetGatewayRequest) -> Result<Empty, Fault> {
    let home = Home::of(tx.caller);
    let gateway = resource::find::<InternetGateway>(tx, &home, &request.internet_gateway_id)?;
    let vpc = resource::find::<Vpc>(tx, &home, &request.vpc_id)?;
    if gateway.vpc.as_ref() != Some(&vpc.id) {
        return Err(faults::not_attached(&gateway.id, &vpc.id));
    }
    if request.dry_run == Some(true) {
        return Err(faults::dry_run());
    }
    tx.put(InternetGateway { vpc: None, ..(*gateway).clone() });
    Ok(Empty::default())
}

pub fn delete(tx: &mut Tx<'_>, request: api::DeleteInternetGatewayRequest) -> Result<Empty, Fault> {
    let home = Home::of(tx.caller);
    let gateway = resource::find::<InternetGateway>(tx, &home, &request.internet_gateway_id)?;
    if gateway.vpc.is_some() {
        return Err(faults::has_dependencies("internetGateway", &gateway.id));
    }
    if gateway.id == home.internet_gateway() {
        return Err(faults::refuse("DeleteInternetGateway of a default VPC's gateway"));
    }
    if request.dry_run == Some(true) {
        return Err(faults::dry_run());
    }
    tx.delete::<InternetGateway>(&resource::key_of(&home, &gateway.id));
    Ok(Empty::default())
}

pub fn describe(
    view: &View<'_>,
    request: DescribeInternetGatewaysRequest,
) -> Result<DescribeInternetGatewaysResult, Fault> {
    let asked = Asked {
        dry_run: request.dry_run,
        ids: request.internet_gateway_ids,
        filters: request.filters,
        max_results: request.max_results,
        next_token: request.next_token,
    };
    let all = resource::list::<InternetGateway>(view, &Home::of(view.caller)).into_iter().map(|gateway| {
        let attributes = Attributes::default()
            .with_some("attachment.state", gateway.vpc.as_ref().map(|_| "available"))
            .with_some("attachment.vpc-id", gateway.vpc.as_ref())
            .with("internet-gateway-id", &gateway.id)
            .with("owner-id", &gateway.home.account);
        (gateway.id.clone(), attributes, gateway.tags.clone(), convert::internet_gateway(&gateway))
    });
    let page = select(Kind::InternetGateway, FILTERS, asked, all)?;
    Ok(DescribeInternetGatewaysResult { internet_gateways: Some(page.items), next_token: page.next_token })
}
