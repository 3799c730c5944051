//! Internet gateways: each default VPC's, and those that an account makes.

use aws_ec2::{DescribeInternetGatewaysRequest, DescribeInternetGatewaysResult};
use base::Fault;
use service::View;

use crate::behaviour::{Asked, Attributes, select};
use crate::convert;
use crate::faults::Kind;
use crate::state::default::Home;
use crate::state::resource;
use crate::state::route_table::InternetGateway;

const FILTERS: &[&str] = &["attachment.state", "attachment.vpc-id", "internet-gateway-id", "owner-id"];

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
