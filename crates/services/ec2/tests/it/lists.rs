//! Ids, filters, pages and dry runs, which every Describe operation shares.

use aws_ec2::*;

use crate::{Bench, filter, refusal};

fn subnets(bench: &Bench, request: DescribeSubnetsRequest) -> Vec<String> {
    let answer = bench.ask::<op::DescribeSubnets>(request).unwrap();
    answer.subnets.unwrap().into_iter().map(|subnet| subnet.subnet_id.unwrap()).collect()
}

#[test]
fn missing_and_malformed_ids_are_refused_by_name() {
    let bench = Bench::new();
    let ask = |ids: &[&str]| {
        let ids = Some(ids.iter().map(ToString::to_string).collect());
        refusal(
            bench
                .ask::<op::DescribeSubnets>(DescribeSubnetsRequest { subnet_ids: ids, ..Default::default() }),
        )
    };
    for (ids, code, text) in [
        (&["subnet-1"][..], "InvalidSubnetID.NotFound", "The subnet ID 'subnet-1' does not exist"),
        (
            &["subnet-1", "subnet-2"],
            "InvalidSubnetID.NotFound",
            "The subnet IDs 'subnet-1, subnet-2' do not exist",
        ),
        (&["vpc-1"], "InvalidSubnetID.Malformed", "Invalid id: \"vpc-1\" (expecting \"subnet-...\")"),
    ] {
        assert_eq!(ask(ids), (code.into(), text.into()));
    }
    let group = |ids: Option<Vec<String>>, names: Option<Vec<String>>| {
        let request =
            DescribeSecurityGroupsRequest { group_ids: ids, group_names: names, ..Default::default() };
        refusal(bench.ask::<op::DescribeSecurityGroups>(request))
    };
    let (code, text) = group(Some(vec!["sg-0".into()]), None);
    assert_eq!(
        (code.as_str(), text.as_str()),
        ("InvalidGroup.NotFound", "The security group 'sg-0' does not exist")
    );
    let (code, text) = group(None, Some(vec!["web".into()]));
    assert_eq!(code, "InvalidGroup.NotFound");
    assert!(text.starts_with("The security group 'web' does not exist in default VPC 'vpc-"), "{text}");
}

#[test]
fn filters_must_all_match_and_must_be_known() {
    let bench = Bench::new();
    let count = |filters: Vec<Filter>| {
        subnets(&bench, DescribeSubnetsRequest { filters: Some(filters), ..Default::default() }).len()
    };
    assert_eq!(count(vec![]), 3);
    assert_eq!(count(vec![filter("availability-zone", &["us-east-1a", "us-east-1c"])]), 2);
    assert_eq!(count(vec![filter("cidr-block", &["172.31.*"]), filter("availabilityZone", &["*-1b"])]), 1);
    assert_eq!(count(vec![filter("default-for-az", &["false"])]), 0);
    assert_eq!(count(vec![filter("outpost-arn", &["*"])]), 0);
    assert_eq!(count(vec![filter("tag:Name", &["*"])]), 0);
    assert_eq!(count(vec![filter("state", &[])]), 0);
    let wrong =
        DescribeSubnetsRequest { filters: Some(vec![filter("colour", &["red"])]), ..Default::default() };
    let (code, text) = refusal(bench.ask::<op::DescribeSubnets>(wrong));
    assert_eq!((code.as_str(), text.as_str()), ("InvalidParameterValue", "The filter 'colour' is invalid"));
}

#[test]
fn pages_follow_each_other_and_have_bounds() {
    let bench = Bench::new();
    for number in 0..12 {
        let subnet = subnets(&bench, DescribeSubnetsRequest::default())[number % 3].clone();
        let request = CreateNetworkInterfaceRequest { subnet_id: subnet, ..Default::default() };
        bench.ask::<op::CreateNetworkInterface>(request).unwrap();
    }
    let mut seen = Vec::new();
    let mut sizes = Vec::new();
    let mut next_token = None;
    loop {
        let request =
            DescribeNetworkInterfacesRequest { max_results: Some(5), next_token, ..Default::default() };
        let answer = bench.ask::<op::DescribeNetworkInterfaces>(request).unwrap();
        let page = answer.network_interfaces.unwrap();
        sizes.push(page.len());
        seen.extend(page.into_iter().map(|one| one.network_interface_id.unwrap()));
        next_token = answer.next_token;
        if next_token.is_none() {
            break;
        }
    }
    assert_eq!(sizes, [5, 5, 2]);
    let mut distinct = seen.clone();
    distinct.dedup();
    assert_eq!((distinct.len(), seen.is_sorted()), (12, true));
    let code = |max_results, token: Option<&str>| {
        let next_token = token.map(str::to_owned);
        let request = DescribeVpcsRequest { max_results, next_token, ..Default::default() };
        refusal(bench.ask::<op::DescribeVpcs>(request)).0
    };
    assert_eq!(code(Some(4), None), "InvalidParameterValue");
    assert_eq!(code(Some(1001), None), "InvalidParameterValue");
    assert_eq!(code(None, Some("%")), "InvalidPaginationToken");
    let both = DescribeNetworkInterfacesRequest {
        max_results: Some(5),
        network_interface_ids: Some(seen),
        ..Default::default()
    };
    assert_eq!(refusal(bench.ask::<op::DescribeNetworkInterfaces>(both)).0, "InvalidParameterCombination");
}

#[test]
fn a_dry_run_is_refused_as_a_success() {
    let bench = Bench::new();
    let request = DescribeVpcsRequest { dry_run: Some(true), ..Default::default() };
    let fault = bench.ask::<op::DescribeVpcs>(request).unwrap_err();
    assert_eq!((&*fault.code, fault.status), ("DryRunOperation", Some(412)));
    let subnet_id = subnets(&bench, DescribeSubnetsRequest::default())[0].clone();
    let request = CreateNetworkInterfaceRequest { subnet_id, dry_run: Some(true), ..Default::default() };
    assert_eq!(refusal(bench.ask::<op::CreateNetworkInterface>(request)).0, "DryRunOperation");
    let all =
        bench.ask::<op::DescribeNetworkInterfaces>(DescribeNetworkInterfacesRequest::default()).unwrap();
    assert_eq!(all.network_interfaces.unwrap().len(), 0);
}
