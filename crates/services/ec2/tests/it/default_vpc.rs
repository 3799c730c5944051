//! What every account has without asking.

use aws_ec2::*;
use base::Region;

use crate::{Bench, customer, filter, refusal};

#[test]
fn the_default_vpc_is_there_and_its_parts_fit_together() {
    let bench = Bench::new();
    let vpcs = bench.ask::<op::DescribeVpcs>(DescribeVpcsRequest::default()).unwrap().vpcs.unwrap();
    let [vpc] = &vpcs[..] else { panic!("{vpcs:?}") };
    assert_eq!((vpc.is_default, vpc.cidr_block.as_deref()), (Some(true), Some("172.31.0.0/16")));
    let id = vpc.vpc_id.clone().unwrap();
    assert!(id.len() == 21 && id.starts_with("vpc-"), "{id}");

    let in_vpc = Some(vec![filter("vpc-id", &[&id])]);
    let request = DescribeSubnetsRequest { filters: in_vpc.clone(), ..Default::default() };
    let mut subnets = bench.ask::<op::DescribeSubnets>(request).unwrap().subnets.unwrap();
    subnets.sort_by_key(|subnet| subnet.availability_zone.clone());
    let shown: Vec<_> = subnets
        .iter()
        .map(|one| (one.availability_zone.as_deref().unwrap(), one.cidr_block.as_deref().unwrap()))
        .collect();
    let expected =
        [("us-east-1a", "172.31.0.0/20"), ("us-east-1b", "172.31.16.0/20"), ("us-east-1c", "172.31.32.0/20")];
    assert_eq!(shown, expected);
    assert!(subnets.iter().all(|one| one.available_ip_address_count == Some(4091)));

    let request = DescribeSecurityGroupsRequest { filters: in_vpc.clone(), ..Default::default() };
    let groups = bench.ask::<op::DescribeSecurityGroups>(request).unwrap().security_groups.unwrap();
    assert_eq!(groups.len(), 1);
    let rule = &groups[0].ip_permissions.as_ref().unwrap()[0];
    assert_eq!(rule.user_id_group_pairs.as_ref().unwrap()[0].group_id, groups[0].group_id);

    let request = DescribeRouteTablesRequest { filters: in_vpc, ..Default::default() };
    let tables = bench.ask::<op::DescribeRouteTables>(request).unwrap().route_tables.unwrap();
    let gateways =
        bench.ask::<op::DescribeInternetGateways>(DescribeInternetGatewaysRequest::default()).unwrap();
    let gateway = gateways.internet_gateways.unwrap()[0].internet_gateway_id.clone();
    assert_eq!(tables[0].routes.as_ref().unwrap()[1].gateway_id, gateway);

    let attributes =
        bench.ask::<op::DescribeAccountAttributes>(DescribeAccountAttributesRequest::default()).unwrap();
    let attributes = attributes.account_attributes.unwrap();
    let default = attributes.iter().find(|one| one.attribute_name.as_deref() == Some("default-vpc")).unwrap();
    assert_eq!(default.attribute_values.as_ref().unwrap()[0].attribute_value.as_ref(), Some(&id));
}

#[test]
fn accounts_and_regions_have_their_own() {
    let bench = Bench::new();
    let id = |caller: &service::Caller| {
        let vpcs = bench.ask_as::<op::DescribeVpcs>(caller, DescribeVpcsRequest::default()).unwrap().vpcs;
        vpcs.unwrap()[0].vpc_id.clone().unwrap()
    };
    let here = id(&customer());
    let mut elsewhere = customer();
    elsewhere.region = Region::parse("eu-west-1").unwrap();
    assert_ne!(here, id(&elsewhere));
    let mut other = customer();
    other.account = base::AccountId::parse("111111111111").unwrap();
    assert_ne!(here, id(&other));
    let request = DescribeVpcsRequest { vpc_ids: Some(vec![here.clone()]), ..Default::default() };
    let (code, _) = refusal(bench.ask_as::<op::DescribeVpcs>(&elsewhere, request));
    assert_eq!(code, "InvalidVpcID.NotFound");
}

#[test]
fn zones_and_regions_are_listed() {
    let bench = Bench::new();
    let request = DescribeAvailabilityZonesRequest {
        filters: Some(vec![filter("zone-id", &["use1-az[23]", "use1-az2"])]),
        ..Default::default()
    };
    let zones = bench.ask::<op::DescribeAvailabilityZones>(request).unwrap().availability_zones.unwrap();
    assert_eq!(zones.len(), 1);
    assert_eq!(zones[0].zone_name.as_deref(), Some("us-east-1b"));
    let request = DescribeAvailabilityZonesRequest {
        zone_names: Some(vec!["us-east-1z".into()]),
        ..Default::default()
    };
    let (code, text) = refusal(bench.ask::<op::DescribeAvailabilityZones>(request));
    assert_eq!(
        (code.as_str(), text.as_str()),
        ("InvalidParameterValue", "Invalid availability zone: [us-east-1z]")
    );
    let request = DescribeRegionsRequest {
        filters: Some(vec![filter("region-name", &["eu-*"])]),
        ..Default::default()
    };
    let regions = bench.ask::<op::DescribeRegions>(request).unwrap().regions.unwrap();
    assert_eq!(regions.len(), 5);
}
