//! Network interfaces: addresses, owners, repetition.

use std::collections::BTreeSet;

use aws_ec2::*;

use crate::{Bench, customer, ecs, filter, refusal};

fn subnet(bench: &Bench) -> Subnet {
    let filters = Some(vec![filter("availability-zone", &["us-east-1a"])]);
    let request = DescribeSubnetsRequest { filters, ..Default::default() };
    bench.ask::<op::DescribeSubnets>(request).unwrap().subnets.unwrap().remove(0)
}

fn request(bench: &Bench) -> CreateNetworkInterfaceRequest {
    CreateNetworkInterfaceRequest { subnet_id: subnet(bench).subnet_id.unwrap(), ..Default::default() }
}

fn create(bench: &Bench, request: CreateNetworkInterfaceRequest) -> NetworkInterface {
    bench.ask::<op::CreateNetworkInterface>(request).unwrap().network_interface.unwrap()
}

fn delete(id: &str) -> DeleteNetworkInterfaceRequest {
    DeleteNetworkInterfaceRequest { network_interface_id: id.into(), dry_run: None }
}

fn at(bench: &Bench, address: &str) -> CreateNetworkInterfaceRequest {
    CreateNetworkInterfaceRequest { private_ip_address: Some(address.into()), ..request(bench) }
}

#[test]
fn addresses_are_unique_and_counted() {
    let bench = Bench::new();
    let made: Vec<_> = (0..20).map(|_| create(&bench, request(&bench))).collect();
    let addresses: BTreeSet<_> = made.iter().map(|one| one.private_ip_address.clone().unwrap()).collect();
    assert_eq!(addresses.len(), 20);
    assert_eq!(subnet(&bench).available_ip_address_count, Some(4071));
    let first = &made[0];
    let dashed = first.private_ip_address.clone().unwrap().replace('.', "-");
    assert_eq!(first.private_dns_name, Some(format!("ip-{dashed}.ec2.internal")));
    assert_eq!(first.mac_address.as_ref().unwrap().len(), 17);
    assert_eq!(first.groups.as_ref().unwrap()[0].group_name.as_deref(), Some("default"));
    bench.ask::<op::DeleteNetworkInterface>(delete(first.network_interface_id.as_ref().unwrap())).unwrap();
    assert_eq!(subnet(&bench).available_ip_address_count, Some(4072));
}

#[test]
fn an_address_can_be_asked_for() {
    let bench = Bench::new();
    assert_eq!(create(&bench, at(&bench, "172.31.3.7")).private_ip_address.as_deref(), Some("172.31.3.7"));
    for (address, code, text) in [
        ("172.31.3.7", "InvalidIPAddress.InUse", "Address 172.31.3.7 is in use."),
        ("172.31.0.2", "InvalidParameterValue", "Address is in subnet's reserved address range"),
        ("172.31.15.255", "InvalidParameterValue", "Address is in subnet's reserved address range"),
        ("172.31.16.9", "InvalidParameterValue", "Address does not fall within the subnet's address range"),
        ("172.31", "InvalidParameterValue", "invalid value for parameter address: 172.31"),
    ] {
        let answer = bench.ask::<op::CreateNetworkInterface>(at(&bench, address));
        assert_eq!(refusal(answer), (code.into(), text.into()), "{address}");
    }
}

#[test]
fn what_a_service_made_is_in_use_and_its_own() {
    let bench = Bench::new();
    let description = "arn:aws:ecs:us-east-1:000000000000:attachment/0b6d4ad3-0f6c-4c0b-9d5c-1d1f7f2e8a11";
    let asked = CreateNetworkInterfaceRequest { description: Some(description.into()), ..request(&bench) };
    let made = bench.ask_as::<op::CreateNetworkInterface>(&ecs(), asked).unwrap().network_interface.unwrap();
    let id = made.network_interface_id.unwrap();
    let filters = vec![
        filter("description", &["arn:aws:ecs:*"]),
        filter("status", &["in-use"]),
        filter("requester-managed", &["true"]),
    ];
    let wanted = DescribeNetworkInterfacesRequest { filters: Some(filters), ..Default::default() };
    let found =
        bench.ask::<op::DescribeNetworkInterfaces>(wanted.clone()).unwrap().network_interfaces.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].attachment.as_ref().unwrap().status.as_deref(), Some("attached"));
    let (code, text) = refusal(bench.ask_as::<op::DeleteNetworkInterface>(&customer(), delete(&id)));
    assert_eq!(
        (code, text),
        ("InvalidParameterValue".into(), format!("Network interface '{id}' is currently in use."))
    );
    bench.ask_as::<op::DeleteNetworkInterface>(&ecs(), delete(&id)).unwrap();
    let (code, _) = refusal(bench.ask_as::<op::DeleteNetworkInterface>(&ecs(), delete(&id)));
    assert_eq!(code, "InvalidNetworkInterfaceID.NotFound");
    assert_eq!(bench.ask::<op::DescribeNetworkInterfaces>(wanted).unwrap().network_interfaces.unwrap(), []);
}

#[test]
fn the_same_token_makes_one_interface() {
    let bench = Bench::new();
    let asked = CreateNetworkInterfaceRequest { client_token: Some("t".into()), ..request(&bench) };
    let (one, two) = (create(&bench, asked.clone()), create(&bench, asked.clone()));
    assert_eq!(one.network_interface_id, two.network_interface_id);
    let other = CreateNetworkInterfaceRequest { description: Some("other".into()), ..asked };
    assert_eq!(refusal(bench.ask::<op::CreateNetworkInterface>(other)).0, "IdempotentParameterMismatch");
}

#[test]
fn what_is_not_acted_on_is_refused_by_name() {
    let bench = Bench::new();
    let code = |asked| refusal(bench.ask::<op::CreateNetworkInterface>(asked));
    let (name, text) = code(CreateNetworkInterfaceRequest { ipv6_address_count: Some(1), ..request(&bench) });
    assert_eq!((name.as_str(), text.contains("Ipv6AddressCount")), ("UnsupportedOperation", true));
    let (name, _) =
        code(CreateNetworkInterfaceRequest { interface_type: Some("efa".into()), ..request(&bench) });
    assert_eq!(name, "UnsupportedOperation");
    let (name, _) =
        code(CreateNetworkInterfaceRequest { groups: Some(vec!["sg-1".into()]), ..request(&bench) });
    assert_eq!(name, "InvalidGroup.NotFound");
    let (name, _) =
        code(CreateNetworkInterfaceRequest { subnet_id: "subnet-1".into(), ..Default::default() });
    assert_eq!(name, "InvalidSubnetID.NotFound");
    let tags = |kind: &str| TagSpecification {
        resource_type: Some(kind.into()),
        tags: Some(vec![Tag { key: Some("Name".into()), value: Some("web".into()) }]),
    };
    let asked = |kind| CreateNetworkInterfaceRequest {
        tag_specifications: Some(vec![tags(kind)]),
        ..request(&bench)
    };
    assert_eq!(code(asked("vpc")).0, "InvalidParameterValue");
    create(&bench, asked("network-interface"));
    let filters = Some(vec![filter("tag:Name", &["w?b"]), filter("tag-key", &["Name"])]);
    let wanted = DescribeNetworkInterfacesRequest { filters, ..Default::default() };
    let found = bench.ask::<op::DescribeNetworkInterfaces>(wanted).unwrap().network_interfaces.unwrap();
    assert_eq!(found.len(), 1);
}
