//! VPCs of a customer's own, with subnets, gateways, routes and tags.

use aws_ec2::*;

use crate::{Bench, filter, refusal};

fn vpc(bench: &Bench, cidr: &str) -> String {
    let request = CreateVpcRequest { cidr_block: Some(cidr.into()), ..Default::default() };
    bench.ask::<op::CreateVpc>(request).unwrap().vpc.unwrap().vpc_id.unwrap()
}

fn asked(vpc: &str, cidr: &str) -> CreateSubnetRequest {
    CreateSubnetRequest { vpc_id: vpc.into(), cidr_block: Some(cidr.into()), ..Default::default() }
}

fn subnet(bench: &Bench, vpc: &str, cidr: &str) -> Subnet {
    bench.ask::<op::CreateSubnet>(asked(vpc, cidr)).unwrap().subnet.unwrap()
}

fn gateway(bench: &Bench) -> String {
    let made = bench.ask::<op::CreateInternetGateway>(CreateInternetGatewayRequest::default()).unwrap();
    made.internet_gateway.unwrap().internet_gateway_id.unwrap()
}

fn attach(gateway: &str, vpc: &str) -> AttachInternetGatewayRequest {
    AttachInternetGatewayRequest { internet_gateway_id: gateway.into(), vpc_id: vpc.into(), dry_run: None }
}

fn table(bench: &Bench, vpc: &str) -> String {
    let request = CreateRouteTableRequest { vpc_id: vpc.into(), ..Default::default() };
    bench.ask::<op::CreateRouteTable>(request).unwrap().route_table.unwrap().route_table_id.unwrap()
}

fn tables(bench: &Bench, name: &str, value: &str) -> Vec<RouteTable> {
    let filters = Some(vec![filter(name, &[value])]);
    let request = DescribeRouteTablesRequest { filters, ..Default::default() };
    bench.ask::<op::DescribeRouteTables>(request).unwrap().route_tables.unwrap()
}

fn way_out(table: &str, gateway: &str) -> CreateRouteRequest {
    CreateRouteRequest {
        route_table_id: table.into(),
        destination_cidr_block: Some("0.0.0.0/0".into()),
        gateway_id: Some(gateway.into()),
        ..Default::default()
    }
}

fn remove(vpc: &str) -> DeleteVpcRequest {
    DeleteVpcRequest { vpc_id: vpc.into(), dry_run: None }
}

#[test]
fn a_vpc_is_furnished_and_goes_when_empty() {
    let bench = Bench::new();
    let id = vpc(&bench, "10.0.3.7/16");
    let filters = || Some(vec![filter("vpc-id", &[&id])]);
    let request = DescribeVpcsRequest { filters: filters(), ..Default::default() };
    let shown = bench.ask::<op::DescribeVpcs>(request).unwrap().vpcs.unwrap().remove(0);
    assert_eq!((shown.cidr_block.as_deref(), shown.is_default), (Some("10.0.0.0/16"), Some(false)));
    let request = DescribeSecurityGroupsRequest { filters: filters(), ..Default::default() };
    let groups = bench.ask::<op::DescribeSecurityGroups>(request).unwrap().security_groups.unwrap();
    assert_eq!((groups.len(), groups[0].group_name.as_deref()), (1, Some("default")));
    let own = groups[0].ip_permissions.as_ref().unwrap()[0].user_id_group_pairs.clone().unwrap();
    assert_eq!(own[0].group_id, groups[0].group_id);
    let tables = tables(&bench, "vpc-id", &id);
    assert_eq!(tables[0].associations.as_ref().unwrap()[0].main, Some(true));
    assert_eq!(tables[0].routes.as_ref().unwrap().len(), 1);

    let inside = subnet(&bench, &id, "10.0.1.0/24");
    let (code, text) = refusal(bench.ask::<op::DeleteVpc>(remove(&id)));
    assert_eq!(
        (code.as_str(), text),
        ("DependencyViolation", format!("The vpc '{id}' has dependencies and cannot be deleted."))
    );
    let request = DeleteSubnetRequest { subnet_id: inside.subnet_id.unwrap(), dry_run: None };
    bench.ask::<op::DeleteSubnet>(request).unwrap();
    let gateway = gateway(&bench);
    bench.ask::<op::AttachInternetGateway>(attach(&gateway, &id)).unwrap();
    assert_eq!(refusal(bench.ask::<op::DeleteVpc>(remove(&id))).0, "DependencyViolation");
    let detach =
        DetachInternetGatewayRequest { internet_gateway_id: gateway, vpc_id: id.clone(), dry_run: None };
    bench.ask::<op::DetachInternetGateway>(detach).unwrap();
    bench.ask::<op::DeleteVpc>(remove(&id)).unwrap();
    assert_eq!(refusal(bench.ask::<op::DeleteVpc>(remove(&id))).0, "InvalidVpcID.NotFound");
    let all = bench.ask::<op::DescribeSecurityGroups>(DescribeSecurityGroupsRequest::default()).unwrap();
    assert_eq!(all.security_groups.unwrap().len(), 1);
    let all = bench.ask::<op::DescribeRouteTables>(DescribeRouteTablesRequest::default()).unwrap();
    assert_eq!(all.route_tables.unwrap().len(), 1);
}

#[test]
fn ranges_are_checked() {
    let bench = Bench::new();
    let id = vpc(&bench, "10.0.0.0/16");
    subnet(&bench, &id, "10.0.0.0/24");
    for (cidr, code, text) in [
        ("10.0.0.0/15", "InvalidVpc.Range", "The CIDR '10.0.0.0/15' is invalid."),
        ("10.0.0.0/29", "InvalidVpc.Range", "The CIDR '10.0.0.0/29' is invalid."),
        ("169.254.0.0/16", "InvalidVpc.Range", "The CIDR '169.254.0.0/16' is invalid."),
        (
            "10.0.0.0",
            "InvalidParameterValue",
            "Value (10.0.0.0) for parameter cidrBlock is invalid. This is not a valid CIDR block.",
        ),
        ("", "MissingParameter", "Either 'cidrBlock' or 'ipv4IpamPoolId' should be provided."),
    ] {
        let request = CreateVpcRequest { cidr_block: Some(cidr.into()), ..Default::default() };
        assert_eq!(refusal(bench.ask::<op::CreateVpc>(request)), (code.into(), text.into()));
    }
    for (cidr, code, text) in [
        ("10.1.0.0/24", "InvalidSubnet.Range", "The CIDR '10.1.0.0/24' is invalid."),
        ("10.0.0.0/29", "InvalidSubnet.Range", "The CIDR '10.0.0.0/29' is invalid."),
        ("10.0.0.128/25", "InvalidSubnet.Conflict", "The CIDR '10.0.0.128/25' conflicts with another subnet"),
        ("10.0.0.0/16", "InvalidSubnet.Conflict", "The CIDR '10.0.0.0/16' conflicts with another subnet"),
        (
            "x",
            "InvalidParameterValue",
            "Value (x) for parameter cidrBlock is invalid. This is not a valid CIDR block.",
        ),
    ] {
        assert_eq!(refusal(bench.ask::<op::CreateSubnet>(asked(&id, cidr))), (code.into(), text.into()));
    }
    let elsewhere =
        CreateSubnetRequest { availability_zone: Some("us-east-1z".into()), ..asked(&id, "10.0.1.0/24") };
    let (code, text) = refusal(bench.ask::<op::CreateSubnet>(elsewhere));
    assert_eq!(code, "InvalidParameterValue");
    assert!(text.ends_with("us-east-1a, us-east-1b, us-east-1c."), "{text}");
    let tenancy = CreateVpcRequest {
        cidr_block: Some("10.0.0.0/16".into()),
        instance_tenancy: Some("dedicated".into()),
        ..Default::default()
    };
    assert_eq!(refusal(bench.ask::<op::CreateVpc>(tenancy)).0, "UnsupportedOperation");
    let ipam = CreateVpcRequest { ipv4_ipam_pool_id: Some("ipam-pool-1".into()), ..Default::default() };
    assert_eq!(refusal(bench.ask::<op::CreateVpc>(ipam)).0, "UnsupportedOperation");
    // The default VPC and its subnets take more, and stay.
    let default = bench.ask::<op::DescribeVpcs>(DescribeVpcsRequest {
        filters: Some(vec![filter("is-default", &["true"])]),
        ..Default::default()
    });
    let default = default.unwrap().vpcs.unwrap()[0].vpc_id.clone().unwrap();
    assert_eq!(
        refusal(bench.ask::<op::CreateSubnet>(asked(&default, "172.31.47.0/24"))).0,
        "InvalidSubnet.Conflict"
    );
    subnet(&bench, &default, "172.31.48.0/24");
    assert_eq!(refusal(bench.ask::<op::DeleteVpc>(remove(&default))).0, "UnsupportedOperation");
}

#[test]
fn subnets_spread_over_zones_and_count_their_addresses() {
    let bench = Bench::new();
    let id = vpc(&bench, "10.0.0.0/16");
    let made: Vec<_> = (0..4).map(|n| subnet(&bench, &id, &format!("10.0.{n}.0/28"))).collect();
    let zones: Vec<_> = made.iter().map(|one| one.availability_zone.clone().unwrap()).collect();
    assert_eq!(zones, ["us-east-1a", "us-east-1b", "us-east-1c", "us-east-1a"]);
    assert_eq!(made[0].available_ip_address_count, Some(11));
    assert_eq!((made[0].map_public_ip_on_launch, made[0].default_for_az), (Some(false), Some(false)));
    let subnet_id = made[0].subnet_id.clone().unwrap();
    let request = CreateNetworkInterfaceRequest { subnet_id: subnet_id.clone(), ..Default::default() };
    for _ in 0..11 {
        let one =
            bench.ask::<op::CreateNetworkInterface>(request.clone()).unwrap().network_interface.unwrap();
        assert_eq!(one.vpc_id.as_ref(), Some(&id));
        assert!(one.private_ip_address.unwrap().starts_with("10.0.0."));
    }
    let (code, _) = refusal(bench.ask::<op::CreateNetworkInterface>(request));
    assert_eq!(code, "InsufficientFreeAddressesInSubnet");
    let request = DeleteSubnetRequest { subnet_id: subnet_id.clone(), dry_run: None };
    assert_eq!(refusal(bench.ask::<op::DeleteSubnet>(request)).0, "DependencyViolation");
    let request = ModifySubnetAttributeRequest {
        subnet_id: subnet_id.clone(),
        map_public_ip_on_launch: Some(AttributeBooleanValue { value: Some(true) }),
        ..Default::default()
    };
    bench.ask::<op::ModifySubnetAttribute>(request).unwrap();
    let request = DescribeSubnetsRequest {
        filters: Some(vec![filter("map-public-ip-on-launch", &["true"]), filter("vpc-id", &[&id])]),
        ..Default::default()
    };
    let found = bench.ask::<op::DescribeSubnets>(request).unwrap().subnets.unwrap();
    assert_eq!((found.len(), found[0].available_ip_address_count), (1, Some(0)));
    // Groups of another VPC do not fit.
    let groups = bench.ask::<op::DescribeSecurityGroups>(DescribeSecurityGroupsRequest {
        filters: Some(vec![filter("group-name", &["default"])]),
        ..Default::default()
    });
    let groups = groups.unwrap().security_groups.unwrap();
    let elsewhere = groups.iter().find(|group| group.vpc_id.as_ref() != Some(&id)).unwrap();
    let request = CreateNetworkInterfaceRequest {
        subnet_id: made[1].subnet_id.clone().unwrap(),
        groups: Some(vec![elsewhere.group_id.clone().unwrap()]),
        ..Default::default()
    };
    assert_eq!(refusal(bench.ask::<op::CreateNetworkInterface>(request)).0, "InvalidParameter");
}

#[test]
fn attributes_of_a_vpc_are_acted_on_or_refused() {
    let bench = Bench::new();
    let id = vpc(&bench, "10.0.0.0/16");
    let value = |value: bool| Some(AttributeBooleanValue { value: Some(value) });
    let hostnames = |attribute: &str| {
        let request =
            DescribeVpcAttributeRequest { attribute: attribute.into(), vpc_id: id.clone(), dry_run: None };
        bench.ask::<op::DescribeVpcAttribute>(request)
    };
    let of = |answer: DescribeVpcAttributeResult| answer.enable_dns_hostnames.unwrap().value.unwrap();
    assert!(!of(hostnames("enableDnsHostnames").unwrap()));
    let on = ModifyVpcAttributeRequest {
        enable_dns_hostnames: value(true),
        vpc_id: id.clone(),
        ..Default::default()
    };
    bench.ask::<op::ModifyVpcAttribute>(on.clone()).unwrap();
    assert!(of(hostnames("enableDnsHostnames").unwrap()));
    assert!(hostnames("enableDnsSupport").unwrap().enable_dns_support.unwrap().value.unwrap());
    assert_eq!(refusal(hostnames("colour")).0, "InvalidParameterValue");
    let off = ModifyVpcAttributeRequest {
        enable_dns_support: value(false),
        vpc_id: id.clone(),
        ..Default::default()
    };
    assert_eq!(refusal(bench.ask::<op::ModifyVpcAttribute>(off)).0, "UnsupportedOperation");
    let both = ModifyVpcAttributeRequest { enable_dns_support: value(true), ..on };
    assert_eq!(refusal(bench.ask::<op::ModifyVpcAttribute>(both)).0, "InvalidParameterCombination");
}

#[test]
fn gateways_are_attached_once() {
    let bench = Bench::new();
    let (one, two) = (vpc(&bench, "10.0.0.0/16"), vpc(&bench, "10.0.0.0/16"));
    let (first, second) = (gateway(&bench), gateway(&bench));
    bench.ask::<op::AttachInternetGateway>(attach(&first, &one)).unwrap();
    let refused =
        |gateway: &str, vpc: &str| refusal(bench.ask::<op::AttachInternetGateway>(attach(gateway, vpc)));
    assert_eq!(
        refused(&first, &two),
        (
            "Resource.AlreadyAssociated".into(),
            format!("resource {first} is already attached to network {one}")
        )
    );
    assert_eq!(
        refused(&second, &one),
        ("InvalidParameterValue".into(), format!("Network {one} already has an internet gateway attached"))
    );
    assert_eq!(refused("igw-1", &one).0, "InvalidInternetGatewayID.NotFound");
    let detach = |gateway: &str, vpc: &str| DetachInternetGatewayRequest {
        internet_gateway_id: gateway.into(),
        vpc_id: vpc.into(),
        dry_run: None,
    };
    assert_eq!(
        refusal(bench.ask::<op::DetachInternetGateway>(detach(&second, &one))),
        ("Gateway.NotAttached".into(), format!("resource {second} is not attached to network {one}"))
    );
    let delete =
        |gateway: &str| DeleteInternetGatewayRequest { internet_gateway_id: gateway.into(), dry_run: None };
    assert_eq!(refusal(bench.ask::<op::DeleteInternetGateway>(delete(&first))).0, "DependencyViolation");
    bench.ask::<op::DetachInternetGateway>(detach(&first, &one)).unwrap();
    bench.ask::<op::DeleteInternetGateway>(delete(&first)).unwrap();
}

#[test]
fn routes_lead_out_while_their_gateway_is_there() {
    let bench = Bench::new();
    let id = vpc(&bench, "10.0.0.0/16");
    let (gateway, table) = (gateway(&bench), table(&bench, &id));
    let ask = |request| bench.ask::<op::CreateRoute>(request);
    assert_eq!(refusal(ask(way_out(&table, &gateway))).0, "InvalidParameterValue", "not attached yet");
    bench.ask::<op::AttachInternetGateway>(attach(&gateway, &id)).unwrap();
    ask(way_out(&table, &gateway)).unwrap();
    let to = |cidr: &str| CreateRouteRequest {
        destination_cidr_block: Some(cidr.into()),
        ..way_out(&table, &gateway)
    };
    for (request, code) in [
        (way_out(&table, &gateway), "RouteAlreadyExists"),
        (to("10.0.1.0/24"), "InvalidParameterValue"),
        (to("nowhere"), "InvalidParameterValue"),
        (to("8.8.8.0/24"), "UnsupportedOperation"),
        (CreateRouteRequest { gateway_id: None, ..to("0.0.0.0/0") }, "MissingParameter"),
        (
            CreateRouteRequest { nat_gateway_id: Some("nat-1".into()), ..to("0.0.0.0/0") },
            "UnsupportedOperation",
        ),
        (
            CreateRouteRequest { route_table_id: "rtb-1".into(), ..to("0.0.0.0/0") },
            "InvalidRouteTableID.NotFound",
        ),
    ] {
        assert_eq!(refusal(ask(request)).0, code);
    }
    let state = || {
        let shown = tables(&bench, "route-table-id", &table).remove(0);
        shown.routes.unwrap()[1].state.clone().unwrap()
    };
    assert_eq!(state(), "active");
    let request = DetachInternetGatewayRequest { internet_gateway_id: gateway, vpc_id: id, dry_run: None };
    bench.ask::<op::DetachInternetGateway>(request).unwrap();
    assert_eq!(state(), "blackhole");
    let delete = |cidr: &str| DeleteRouteRequest {
        route_table_id: table.clone(),
        destination_cidr_block: Some(cidr.into()),
        ..Default::default()
    };
    bench.ask::<op::DeleteRoute>(delete("0.0.0.0/0")).unwrap();
    assert_eq!(
        refusal(bench.ask::<op::DeleteRoute>(delete("0.0.0.0/0"))),
        (
            "InvalidRoute.NotFound".into(),
            format!("no route with destination-cidr-block 0.0.0.0/0 in route table {table}")
        )
    );
    assert_eq!(
        refusal(bench.ask::<op::DeleteRoute>(delete("10.0.0.0/16"))),
        (
            "InvalidParameterValue".into(),
            format!("cannot remove local route 10.0.0.0/16 in route table {table}")
        )
    );
}

#[test]
fn subnets_have_one_table_and_the_main_one_moves() {
    let bench = Bench::new();
    let id = vpc(&bench, "10.0.0.0/16");
    let inside = subnet(&bench, &id, "10.0.0.0/24").subnet_id.unwrap();
    let (one, two) = (table(&bench, &id), table(&bench, &id));
    let associate = |table: &str| AssociateRouteTableRequest {
        route_table_id: table.into(),
        subnet_id: Some(inside.clone()),
        ..Default::default()
    };
    let made = bench.ask::<op::AssociateRouteTable>(associate(&one)).unwrap().association_id.unwrap();
    let again = bench.ask::<op::AssociateRouteTable>(associate(&one)).unwrap().association_id.unwrap();
    assert_eq!(made, again);
    assert_eq!(
        refusal(bench.ask::<op::AssociateRouteTable>(associate(&two))).0,
        "Resource.AlreadyAssociated"
    );
    let delete = |table: &str| DeleteRouteTableRequest { route_table_id: table.into(), dry_run: None };
    assert_eq!(refusal(bench.ask::<op::DeleteRouteTable>(delete(&one))).0, "DependencyViolation");
    let replace = |association: &str, table: &str| ReplaceRouteTableAssociationRequest {
        association_id: association.into(),
        route_table_id: table.into(),
        dry_run: None,
    };
    let moved = bench.ask::<op::ReplaceRouteTableAssociation>(replace(&made, &two)).unwrap();
    let moved = moved.new_association_id.unwrap();
    assert_ne!(moved, made);
    assert_eq!(tables(&bench, "association.subnet-id", &inside)[0].route_table_id.as_ref(), Some(&two));
    bench.ask::<op::DeleteRouteTable>(delete(&one)).unwrap();
    let disassociate = |id: &str| DisassociateRouteTableRequest { association_id: id.into(), dry_run: None };
    bench.ask::<op::DisassociateRouteTable>(disassociate(&moved)).unwrap();
    assert_eq!(
        refusal(bench.ask::<op::DisassociateRouteTable>(disassociate(&moved))).0,
        "InvalidAssociationID.NotFound"
    );
    let filters = Some(vec![filter("association.main", &["true"]), filter("vpc-id", &[&id])]);
    let request = DescribeRouteTablesRequest { filters, ..Default::default() };
    let main = bench.ask::<op::DescribeRouteTables>(request.clone()).unwrap().route_tables.unwrap().remove(0);
    let association = main.associations.unwrap()[0].route_table_association_id.clone().unwrap();
    assert_eq!(
        refusal(bench.ask::<op::DisassociateRouteTable>(disassociate(&association))).0,
        "InvalidParameterValue"
    );
    bench.ask::<op::ReplaceRouteTableAssociation>(replace(&association, &two)).unwrap();
    let main = bench.ask::<op::DescribeRouteTables>(request).unwrap().route_tables.unwrap();
    assert_eq!((main.len(), main[0].route_table_id.as_ref()), (1, Some(&two)));
}

#[test]
fn the_same_token_makes_one_table() {
    let bench = Bench::new();
    let (one, two) = (vpc(&bench, "10.0.0.0/16"), vpc(&bench, "10.0.0.0/16"));
    let ask = |vpc: &str| {
        let request = CreateRouteTableRequest {
            vpc_id: vpc.into(),
            client_token: Some("t".into()),
            ..Default::default()
        };
        bench.ask::<op::CreateRouteTable>(request)
    };
    let made = ask(&one).unwrap().route_table.unwrap().route_table_id;
    assert_eq!(ask(&one).unwrap().route_table.unwrap().route_table_id, made);
    assert_eq!(refusal(ask(&two)).0, "IdempotentParameterMismatch");
}

#[test]
fn every_kind_takes_tags() {
    let bench = Bench::new();
    let id = vpc(&bench, "10.0.0.0/16");
    let inside = subnet(&bench, &id, "10.0.0.0/24").subnet_id.unwrap();
    let group = CreateSecurityGroupRequest {
        group_name: "web".into(),
        description: "d".into(),
        vpc_id: Some(id.clone()),
        ..Default::default()
    };
    let group = bench.ask::<op::CreateSecurityGroup>(group).unwrap().group_id.unwrap();
    let rules = DescribeSecurityGroupRulesRequest {
        filters: Some(vec![filter("group-id", &[&group])]),
        ..Default::default()
    };
    let rule = bench.ask::<op::DescribeSecurityGroupRules>(rules).unwrap().security_group_rules.unwrap();
    let rule = rule[0].security_group_rule_id.clone().unwrap();
    let request = CreateNetworkInterfaceRequest { subnet_id: inside.clone(), ..Default::default() };
    let interface = bench.ask::<op::CreateNetworkInterface>(request).unwrap().network_interface.unwrap();
    // A default resource among them: its tags are kept with it.
    let default = bench.ask::<op::DescribeVpcs>(DescribeVpcsRequest {
        filters: Some(vec![filter("is-default", &["true"])]),
        ..Default::default()
    });
    let default = default.unwrap().vpcs.unwrap()[0].vpc_id.clone().unwrap();
    let resources = vec![
        id.clone(),
        default.clone(),
        inside,
        group,
        rule,
        table(&bench, &id),
        gateway(&bench),
        interface.network_interface_id.unwrap(),
    ];
    let tag = |key: &str, value: Option<&str>| Tag { key: Some(key.into()), value: value.map(str::to_owned) };
    let create = |resources: Vec<String>, tags: Vec<Tag>| {
        bench.ask::<op::CreateTags>(CreateTagsRequest { resources, tags, dry_run: None })
    };
    create(resources.clone(), vec![tag("Name", Some("a")), tag("stage", Some("test"))]).unwrap();
    let listed = |name: &str, value: &str| {
        let filters = Some(vec![filter(name, &[value])]);
        let request = DescribeTagsRequest { filters, ..Default::default() };
        bench.ask::<op::DescribeTags>(request).unwrap().tags.unwrap()
    };
    assert_eq!(listed("tag:Name", "a").len(), 8);
    let kinds: Vec<_> = listed("key", "stage").into_iter().map(|one| one.resource_type.unwrap()).collect();
    assert_eq!(
        kinds,
        [
            "internet-gateway",
            "network-interface",
            "route-table",
            "security-group",
            "security-group-rule",
            "subnet",
            "vpc",
            "vpc",
        ]
    );
    let named = DescribeVpcsRequest { filters: Some(vec![filter("tag:Name", &["a"])]), ..Default::default() };
    assert_eq!(bench.ask::<op::DescribeVpcs>(named).unwrap().vpcs.unwrap().len(), 2);
    let delete = |resources: Vec<String>, tags: Option<Vec<Tag>>| {
        bench.ask::<op::DeleteTags>(DeleteTagsRequest { resources, tags, dry_run: None }).unwrap()
    };
    delete(vec![default.clone()], Some(vec![tag("Name", Some("other")), tag("stage", None)]));
    let left = listed("resource-id", &default);
    assert_eq!((left.len(), left[0].key.as_deref()), (1, Some("Name")));
    delete(resources.clone(), None);
    assert_eq!(listed("key", "*").len(), 0);
}

#[test]
fn bad_tags_are_refused_and_leave_nothing() {
    let bench = Bench::new();
    let id = vpc(&bench, "10.0.0.0/16");
    let tag = |key: &str, value: &str| Tag { key: Some(key.into()), value: Some(value.into()) };
    let create = |resources: Vec<String>, tags: Vec<Tag>| {
        bench.ask::<op::CreateTags>(CreateTagsRequest { resources, tags, dry_run: None })
    };
    for (resource, tag, code) in [
        ("ami-1", tag("a", "b"), "InvalidID"),
        ("vpc-1", tag("a", "b"), "InvalidVpcID.NotFound"),
        (&id, tag("aws:a", "b"), "InvalidParameterValue"),
        (&id, tag("", "b"), "InvalidParameterValue"),
        (&id, tag(&"k".repeat(128), "b"), "InvalidParameterValue"),
        (&id, tag("a", &"v".repeat(256)), "InvalidParameterValue"),
    ] {
        assert_eq!(refusal(create(vec![id.clone(), resource.into()], vec![tag])).0, code, "{resource}");
    }
    let listed = bench.ask::<op::DescribeTags>(DescribeTagsRequest::default()).unwrap().tags.unwrap();
    assert_eq!(listed, []);
    let many = (0..51).map(|n| tag(&n.to_string(), "")).collect();
    assert_eq!(refusal(create(vec![id], many)).0, "TagLimitExceeded");
}

#[test]
fn every_vpc_has_a_network_acl_that_allows_all() {
    let bench = Bench::new();
    let id = vpc(&bench, "10.0.0.0/16");
    let inside = subnet(&bench, &id, "10.0.0.0/24").subnet_id.unwrap();
    let ask = |name: &str, value: &str| {
        let filters = Some(vec![filter(name, &[value])]);
        let request = DescribeNetworkAclsRequest { filters, ..Default::default() };
        bench.ask::<op::DescribeNetworkAcls>(request).unwrap().network_acls.unwrap()
    };
    let found = ask("vpc-id", &id);
    assert_eq!((found.len(), found[0].is_default), (1, Some(true)));
    assert_eq!(found[0].associations.as_ref().unwrap()[0].subnet_id.as_ref(), Some(&inside));
    assert_eq!(ask("association.subnet-id", &inside), found);
    assert_eq!(ask("default", "true").len(), 2);
    let request =
        DescribeNetworkAclsRequest { network_acl_ids: Some(vec!["acl-1".into()]), ..Default::default() };
    assert_eq!(refusal(bench.ask::<op::DescribeNetworkAcls>(request)).0, "InvalidNetworkAclID.NotFound");
}
