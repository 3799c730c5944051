//! EC2 and ACM as far as balancers need them: two VPCs, groups, interfaces in a record, instances,
//! one certificate.

use aws_ec2 as ec2;
use base::Fault;
use serde::{Deserialize, Serialize};
use service::{Acts, Operation, Service};
use store::{Key, Record};

pub const CERTIFICATE: &str = "arn:aws:acm:us-east-1:000000000000:certificate/one";
pub const OTHER: &str = "arn:aws:acm:us-east-1:000000000000:certificate/two";

/// An interface that was made and not given back.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Made {
    pub id: String,
    pub subnet: String,
    pub groups: Vec<String>,
    pub owner: String,
}

impl Record for Made {
    const KIND: &'static str = "test/interface";
    fn key(&self) -> Key {
        Key::of(&[&self.id])
    }
}

fn service(api: &'static wire::Api, operations: Vec<Operation>) -> Service {
    Service {
        api,
        operations,
        kinds: |kinds| kinds,
        refuse: |what| Fault::caller("InvalidParameterValue", what),
        observe: None,
    }
}

/// Id, VPC, zone and range.
const ALL_SUBNETS: [(&str, &str, &str, &str); 8] = [
    ("subnet-a", "vpc-main", "us-east-1a", "172.31.0.0/20"),
    ("subnet-b", "vpc-main", "us-east-1b", "172.31.16.0/20"),
    ("subnet-c", "vpc-main", "us-east-1c", "172.31.32.0/20"),
    ("subnet-a2", "vpc-main", "us-east-1a", "172.31.48.0/20"),
    ("subnet-tiny", "vpc-main", "us-east-1b", "172.31.64.0/28"),
    ("subnet-x", "vpc-other", "us-east-1a", "10.0.0.0/24"),
    ("subnet-y", "vpc-other", "us-east-1b", "10.0.1.0/24"),
    ("subnet-full", "vpc-main", "us-east-1c", "172.31.80.0/20"),
];

fn subnet((id, vpc, zone, cidr): &(&str, &str, &str, &str)) -> ec2::Subnet {
    ec2::Subnet {
        subnet_id: Some(String::from(*id)),
        vpc_id: Some(String::from(*vpc)),
        cidr_block: Some(String::from(*cidr)),
        availability_zone: Some(String::from(*zone)),
        available_ip_address_count: Some(if *id == "subnet-full" { 3 } else { 4000 }),
        ..Default::default()
    }
}

fn not_found(code: &'static str, what: &str, id: &str) -> Fault {
    Fault::caller(code, format!("The {what} '{id}' does not exist"))
}

fn subnets() -> Operation {
    Operation::read::<ec2::op::DescribeSubnets>(Acts::All, |_, request| {
        let ids = request.subnet_ids.unwrap_or_default();
        let known = |id: &String| ALL_SUBNETS.iter().any(|one| one.0 == id);
        if let Some(id) = ids.iter().find(|id| !known(id)) {
            return Err(not_found("InvalidSubnetID.NotFound", "subnet ID", id));
        }
        let vpcs: Vec<String> = request
            .filters
            .into_iter()
            .flatten()
            .flat_map(|filter| filter.values.unwrap_or_default())
            .collect();
        let is_asked = |one: &&(&str, &str, &str, &str)| {
            (ids.is_empty() || ids.iter().any(|id| id == one.0))
                && (vpcs.is_empty() || vpcs.iter().any(|vpc| vpc == one.1))
        };
        let found = ALL_SUBNETS.iter().filter(is_asked).map(subnet);
        Ok(ec2::DescribeSubnetsResult { subnets: Some(found.collect()), next_token: None })
    })
}

fn groups() -> Operation {
    Operation::read::<ec2::op::DescribeSecurityGroups>(Acts::All, |_, request| {
        let group = |id: String| {
            let vpc = match id.as_str() {
                "sg-main" | "sg-web" => "vpc-main",
                "sg-other" => "vpc-other",
                _ => return Err(not_found("InvalidGroup.NotFound", "security group", &id)),
            };
            Ok(ec2::SecurityGroup { group_id: Some(id), vpc_id: Some(vpc.into()), ..Default::default() })
        };
        let found: Result<Vec<_>, _> = request.group_ids.into_iter().flatten().map(group).collect();
        Ok(ec2::DescribeSecurityGroupsResult { security_groups: Some(found?), next_token: None })
    })
}

fn vpcs() -> Operation {
    Operation::read::<ec2::op::DescribeVpcs>(Acts::All, |_, request| {
        let vpc = |id: String| {
            let cidr = match id.as_str() {
                "vpc-main" => "172.31.0.0/16",
                "vpc-other" => "10.0.0.0/16",
                _ => return Err(not_found("InvalidVpcID.NotFound", "vpc ID", &id)),
            };
            Ok(ec2::Vpc {
                is_default: Some(id == "vpc-main"),
                vpc_id: Some(id),
                cidr_block: Some(cidr.into()),
                ..Default::default()
            })
        };
        let found: Result<Vec<_>, _> = request.vpc_ids.into_iter().flatten().map(vpc).collect();
        Ok(ec2::DescribeVpcsResult { vpcs: Some(found?), next_token: None })
    })
}

fn gateways() -> Operation {
    Operation::read::<ec2::op::DescribeInternetGateways>(Acts::All, |_, request| {
        let mut asked =
            request.filters.into_iter().flatten().flat_map(|filter| filter.values.unwrap_or_default());
        let found = asked.any(|vpc| vpc == "vpc-main").then(ec2::InternetGateway::default);
        let internet_gateways = Some(found.into_iter().collect());
        Ok(ec2::DescribeInternetGatewaysResult { internet_gateways, next_token: None })
    })
}

fn create_interface() -> Operation {
    Operation::write::<ec2::op::CreateNetworkInterface>(Acts::All, |tx, request| {
        let count = tx.count::<Made>() + 4;
        let id = format!("eni-{}", tx.chance.hex(17));
        let groups = request.groups.unwrap_or_else(|| vec!["sg-main".into()]);
        let subnet = request.subnet_id;
        let owner = format!("{:?}", tx.caller.principal);
        tx.put(Made { id: id.clone(), subnet: subnet.clone(), groups: groups.clone(), owner });
        let start = ALL_SUBNETS.iter().find(|one| one.0 == subnet).unwrap().3.rsplit_once('.').unwrap().0;
        let groups =
            groups.into_iter().map(|id| ec2::GroupIdentifier { group_id: Some(id), ..Default::default() });
        let interface = ec2::NetworkInterface {
            network_interface_id: Some(id),
            private_ip_address: Some(format!("{start}.{count}")),
            subnet_id: Some(subnet),
            groups: Some(groups.collect()),
            ..Default::default()
        };
        Ok(ec2::CreateNetworkInterfaceResult { network_interface: Some(interface), ..Default::default() })
    })
}

fn delete_interface() -> Operation {
    Operation::write::<ec2::op::DeleteNetworkInterface>(Acts::All, |tx, request| {
        let key = Key::of(&[&request.network_interface_id]);
        if !tx.delete::<Made>(&key) {
            return Err(not_found("InvalidNetworkInterfaceID.NotFound", "interface", "eni"));
        }
        Ok(Default::default())
    })
}

fn modify_interface() -> Operation {
    Operation::write::<ec2::op::ModifyNetworkInterfaceAttribute>(Acts::All, |tx, request| {
        let made = tx.get::<Made>(&Key::of(&[&request.network_interface_id])).unwrap();
        tx.put(Made { groups: request.groups.unwrap(), ..(*made).clone() });
        Ok(Default::default())
    })
}

fn instances() -> Operation {
    Operation::read::<ec2::op::DescribeInstances>(Acts::All, |_, request| {
        let asked =
            request.filters.into_iter().flatten().flat_map(|filter| filter.values.unwrap_or_default());
        let instance = |id: String| {
            let (state, vpc) = match id.as_str() {
                "i-one" | "i-two" => ("running", "vpc-main"),
                "i-stopped" => ("stopped", "vpc-main"),
                "i-other" => ("running", "vpc-other"),
                _ => return None,
            };
            Some(ec2::Instance {
                instance_id: Some(id),
                vpc_id: Some(vpc.into()),
                private_ip_address: Some("172.31.0.77".into()),
                state: Some(ec2::InstanceState { name: Some(state.into()), ..Default::default() }),
                placement: Some(ec2::Placement {
                    availability_zone: Some("us-east-1a".into()),
                    ..Default::default()
                }),
                ..Default::default()
            })
        };
        let instances = Some(asked.filter_map(instance).collect());
        let reservation = ec2::Reservation { instances, ..Default::default() };
        Ok(ec2::DescribeInstancesResult { reservations: Some(vec![reservation]), next_token: None })
    })
}

pub fn ec2() -> Service {
    let operations = vec![
        subnets(),
        groups(),
        vpcs(),
        gateways(),
        create_interface(),
        delete_interface(),
        modify_interface(),
        instances(),
    ];
    let mut service = service(&aws_ec2::API, operations);
    service.kinds = |kinds| kinds.with::<Made>();
    service
}

pub fn acm() -> Service {
    let describe = Operation::read::<aws_acm::op::DescribeCertificate>(Acts::All, |_, request| {
        let arn = request.certificate_arn;
        if arn != CERTIFICATE && arn != OTHER {
            return Err(Fault::caller("ResourceNotFoundException", "no such certificate"));
        }
        let certificate = aws_acm::CertificateDetail {
            certificate_arn: Some(arn),
            status: Some("ISSUED".into()),
            ..Default::default()
        };
        Ok(aws_acm::DescribeCertificateResponse { certificate: Some(certificate) })
    });
    service(&aws_acm::API, vec![describe])
}
