//! Internet gateways: so far each default VPC's.

use aws_ec2::{DescribeInternetGatewaysRequest, DescribeInternetGatewaysResult};
use base::{Fault, Tags};
use service::View;

use crate::behaviour::{Asked, Attributes, select};
use crate::convert;
use crate::faults::Resource;
use crate::state::default::Home;

const FILTERS: &[&str] = &["attachment.state", "attachment.vpc-id", "internet-gateway-id", "owner-id"];

pub fn describe(
    view: &View<'_>,
    request: DescribeInternetGatewaysRequest,
) -> Result<DescribeInternetGatewaysResult, Fault> {
    let home = Home::of(view.caller);
    let asked = Asked {
        dry_run: request.dry_run,
        ids: request.internet_gateway_ids,
        filters: request.filters,
        max_results: request.max_results,
        next_token: request.next_token,
    };
    let attributes = Attributes::default()
        .with("attachment.state", "available")
        .with("attachment.vpc-id", home.vpc())
        .with("internet-gateway-id", home.internet_gateway())
        .with("owner-id", &home.account);
    let all = [(home.internet_gateway(), attributes, Tags::new(), convert::internet_gateway(&home))];
    let page = select(Resource::InternetGateway, FILTERS, asked, all.into_iter())?;
    Ok(DescribeInternetGatewaysResult { internet_gateways: Some(page.items), next_token: page.next_token })
}
