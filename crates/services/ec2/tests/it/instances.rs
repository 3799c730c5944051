//! The machine as an instance.

use aws_ec2::*;
use service_ec2::instances::{self, Host};

use crate::{Bench, customer, ecs, filter, refusal};

const ID: &str = "i-0123456789abcdef0";

fn host(id: &str) -> Host {
    let customer = customer();
    Host {
        account: customer.account,
        region: customer.region,
        instance_id: id.into(),
        architecture: "x86_64".into(),
    }
}

fn settle(bench: &Bench, id: &str) -> String {
    bench.tokio.block_on(instances::settle(&bench.platform, host(id))).unwrap().to_string()
}

fn described(bench: &Bench, filters: Vec<Filter>) -> Vec<Instance> {
    let request = DescribeInstancesRequest { filters: Some(filters), ..Default::default() };
    let found = bench.ask::<op::DescribeInstances>(request).unwrap().reservations.unwrap();
    found.into_iter().flat_map(|one| one.instances.unwrap()).collect()
}

#[test]
fn the_machine_keeps_its_id_and_its_address() {
    let bench = Bench::new();
    assert_eq!(described(&bench, vec![]), []);
    let address = settle(&bench, ID);
    assert!(address.starts_with("172.31."), "{address}");
    assert_eq!(settle(&bench, ID), address, "the same machine again");
    let shown = described(&bench, vec![filter("instance-state-name", &["running"])]).remove(0);
    assert_eq!(shown.instance_id.as_deref(), Some(ID));
    assert_eq!(shown.private_ip_address.as_ref(), Some(&address));
    assert_eq!(shown.placement.unwrap().availability_zone.as_deref(), Some("us-east-1a"));
    assert_eq!(shown.security_groups.unwrap()[0].group_name.as_deref(), Some("default"));
    let records = bench.platform.store().snapshot();
    let [place] = &instances::places(&records)[..] else { panic!("one place") };
    assert_eq!((place.address.to_string(), place.on_host), (address.clone(), true));
    assert_eq!(Some(&place.vpc), shown.vpc_id.as_ref());
    assert_eq!(place.security_groups.len(), 1);
    let member = &service_ec2::security(&records)[0].members[0];
    assert_eq!(member.address.to_string(), address);

    bench.tokio.block_on(instances::leave(&bench.platform)).unwrap();
    let stopped = described(&bench, vec![filter("private-ip-address", &[&address])]).remove(0);
    assert_eq!(stopped.state.unwrap().name.as_deref(), Some("stopped"));
    let records = bench.platform.store().snapshot();
    assert_eq!(instances::places(&records), []);
    assert_eq!(instances::left(&records)[0].address.to_string(), address);
    let status = |all: bool| {
        let request =
            DescribeInstanceStatusRequest { include_all_instances: Some(all), ..Default::default() };
        bench.ask::<op::DescribeInstanceStatus>(request).unwrap().instance_statuses.unwrap().len()
    };
    assert_eq!((status(false), status(true)), (0, 1));
    let customer = customer();
    let known = instances::known(&bench.platform.store().snapshot(), &customer.account, &customer.region);
    assert_eq!(known.as_deref(), Some(ID));
    assert_eq!(settle(&bench, ID), address);
    assert_eq!(status(false), 1);
}

#[test]
fn the_machine_is_one_instance_at_a_time() {
    let bench = Bench::new();
    settle(&bench, ID);
    settle(&bench, "i-0123456789abcdef1");
    let running = described(&bench, vec![filter("instance-state-code", &["16"])]);
    assert_eq!(running.len(), 1);
    assert_eq!(running[0].instance_id.as_deref(), Some("i-0123456789abcdef1"));
    assert_eq!(described(&bench, vec![]).len(), 2);
}

#[test]
fn its_groups_change_and_its_interface_stays() {
    let bench = Bench::new();
    settle(&bench, ID);
    let group = CreateSecurityGroupRequest {
        group_name: "web".into(),
        description: "d".into(),
        ..Default::default()
    };
    let group = bench.ask::<op::CreateSecurityGroup>(group).unwrap().group_id.unwrap();
    let modify = |id: &str, groups: Option<Vec<String>>| {
        let request = ModifyInstanceAttributeRequest { instance_id: id.into(), groups, ..Default::default() };
        bench.ask::<op::ModifyInstanceAttribute>(request)
    };
    modify(ID, Some(vec![group.clone()])).unwrap();
    assert_eq!(described(&bench, vec![filter("instance.group-id", &[&group])]).len(), 1);
    assert_eq!(refusal(modify(ID, None)).0, "InvalidParameterCombination");
    assert_eq!(refusal(modify("i-1", Some(vec![group.clone()]))).0, "InvalidInstanceID.NotFound");
    assert_eq!(refusal(modify(ID, Some(vec!["sg-1".into()]))).0, "InvalidGroup.NotFound");
    let shown = described(&bench, vec![]).remove(0).network_interfaces.unwrap().remove(0);
    let id = shown.network_interface_id.unwrap();
    let request = DeleteNetworkInterfaceRequest { network_interface_id: id.clone(), dry_run: None };
    assert_eq!(refusal(bench.ask::<op::DeleteNetworkInterface>(request)).0, "InvalidParameterValue");
    let filters = Some(vec![filter("attachment.instance-id", &[ID])]);
    let request = DescribeNetworkInterfacesRequest { filters, ..Default::default() };
    let found = bench.ask::<op::DescribeNetworkInterfaces>(request).unwrap().network_interfaces.unwrap();
    assert_eq!(found[0].network_interface_id.as_ref(), Some(&id));
    assert_eq!(found[0].attachment.as_ref().unwrap().device_index, Some(0));
}

#[test]
fn interfaces_of_services_change_by_their_service_alone() {
    let bench = Bench::new();
    let elb = service::Caller {
        principal: service::Principal::Service("elasticloadbalancing.amazonaws.com"),
        ..ecs()
    };
    let subnets = bench.ask::<op::DescribeSubnets>(DescribeSubnetsRequest::default()).unwrap();
    let request = CreateNetworkInterfaceRequest {
        subnet_id: subnets.subnets.unwrap()[0].subnet_id.clone().unwrap(),
        description: Some("ELB app/web/0123456789abcdef".into()),
        ..Default::default()
    };
    let made = bench.ask_as::<op::CreateNetworkInterface>(&elb, request).unwrap().network_interface.unwrap();
    assert_eq!((made.requester_id.as_deref(), made.requester_managed), (Some("amazon-elb"), Some(true)));
    assert_eq!(made.attachment.unwrap().instance_owner_id.as_deref(), Some("amazon-elb"));
    assert_eq!(made.interface_type.as_deref(), Some("interface"));
    let id = made.network_interface_id.unwrap();
    let modify = || ModifyNetworkInterfaceAttributeRequest {
        network_interface_id: id.clone(),
        description: Some(AttributeValue { value: Some("mine".into()) }),
        ..Default::default()
    };
    let refused = bench.ask::<op::ModifyNetworkInterfaceAttribute>(modify());
    assert_eq!(refusal(refused).0, "OperationNotPermitted");
    bench.ask_as::<op::ModifyNetworkInterfaceAttribute>(&elb, modify()).unwrap();
    let asked = |attribute: Option<&str>| {
        let request = DescribeNetworkInterfaceAttributeRequest {
            network_interface_id: id.clone(),
            attribute: attribute.map(str::to_owned),
            dry_run: None,
        };
        bench.ask::<op::DescribeNetworkInterfaceAttribute>(request)
    };
    let shown = asked(Some("description")).unwrap().description.unwrap();
    assert_eq!(shown.value.as_deref(), Some("mine"));
    assert_eq!(asked(Some("groupSet")).unwrap().groups.unwrap().len(), 1);
    assert!(asked(Some("attachment")).unwrap().attachment.is_some());
    assert_eq!(refusal(asked(Some("colour"))).0, "InvalidParameterValue");
    assert_eq!(refusal(asked(None)).0, "MissingParameter");
}
