//! EC2 and IAM as far as ECS needs them: two VPCs, one role that exists, interfaces in a record.

use aws_ec2 as ec2;
use base::{Fault, Timestamp};
use serde::{Deserialize, Serialize};
use service::{Acts, Operation, Service};
use store::{Key, Record};

pub const ROLE: &str = "arn:aws:iam::000000000000:role/ecs-execution";
pub const SUBNETS: [&str; 2] = ["subnet-a", "subnet-b"];
pub const ELSEWHERE: &str = "subnet-elsewhere";
pub const FULL: &str = "subnet-full";

/// An interface that was made and not given back.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Made {
    pub id: String,
    pub subnet: String,
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

fn subnet(id: &str) -> Result<ec2::Subnet, Fault> {
    let (vpc, zone) = match id {
        "subnet-a" | FULL => ("vpc-main", "us-east-1a"),
        "subnet-b" => ("vpc-main", "us-east-1b"),
        ELSEWHERE => ("vpc-other", "us-east-1a"),
        _ => {
            let message = format!("The subnet ID '{id}' does not exist");
            return Err(Fault::caller("InvalidSubnetID.NotFound", message));
        }
    };
    Ok(ec2::Subnet {
        subnet_id: Some(id.into()),
        vpc_id: Some(vpc.into()),
        cidr_block: Some("172.31.0.0/20".into()),
        availability_zone: Some(zone.into()),
        ..Default::default()
    })
}

fn group(id: &str) -> Result<ec2::SecurityGroup, Fault> {
    let vpc = match id {
        "sg-main" => "vpc-main",
        "sg-other" => "vpc-other",
        _ => {
            let message = format!("The security group '{id}' does not exist");
            return Err(Fault::caller("InvalidGroup.NotFound", message));
        }
    };
    Ok(ec2::SecurityGroup { group_id: Some(id.into()), vpc_id: Some(vpc.into()), ..Default::default() })
}

pub fn ec2() -> Service {
    use aws_ec2::op;
    let describe_subnets = Operation::read::<op::DescribeSubnets>(Acts::All, |_, request| {
        let found: Result<Vec<_>, _> = request.subnet_ids.iter().flatten().map(|id| subnet(id)).collect();
        Ok(ec2::DescribeSubnetsResult { subnets: Some(found?), next_token: None })
    });
    let describe_groups = Operation::read::<op::DescribeSecurityGroups>(Acts::All, |_, request| {
        let found: Result<Vec<_>, _> = request.group_ids.iter().flatten().map(|id| group(id)).collect();
        Ok(ec2::DescribeSecurityGroupsResult { security_groups: Some(found?), next_token: None })
    });
    let describe_vpcs = Operation::read::<op::DescribeVpcs>(Acts::All, |_, request| {
        let vpcs = request.vpc_ids.unwrap_or_default().into_iter().map(|id| ec2::Vpc {
            is_default: Some(id == "vpc-main"),
            vpc_id: Some(id),
            cidr_block: Some("172.31.0.0/16".into()),
            ..Default::default()
        });
        Ok(ec2::DescribeVpcsResult { vpcs: Some(vpcs.collect()), next_token: None })
    });
    let describe_tables = Operation::read::<op::DescribeRouteTables>(Acts::All, |_, _| {
        Ok(ec2::DescribeRouteTablesResult { route_tables: Some(tables().into()), next_token: None })
    });
    let describing = [describe_subnets, describe_groups, describe_vpcs, describe_tables];
    let mut service = service(
        &aws_ec2::API,
        describing.into_iter().chain([create_interface(), delete_interface()]).collect(),
    );
    service.kinds = |kinds| kinds.with::<Made>();
    service
}

/// The main one leads out, that of `subnet-b` does not.
fn tables() -> [ec2::RouteTable; 2] {
    let table = |subnet: Option<&str>, state: &str| ec2::RouteTable {
        associations: Some(vec![ec2::RouteTableAssociation {
            subnet_id: subnet.map(str::to_owned),
            ..Default::default()
        }]),
        routes: Some(vec![ec2::Route {
            destination_cidr_block: Some("0.0.0.0/0".into()),
            gateway_id: Some("igw-main".into()),
            state: Some(state.into()),
            ..Default::default()
        }]),
        ..Default::default()
    };
    [table(None, "active"), table(Some("subnet-b"), "blackhole")]
}

fn create_interface() -> Operation {
    Operation::write::<aws_ec2::op::CreateNetworkInterface>(Acts::All, |tx, request| {
        if request.subnet_id == FULL {
            return Err(Fault::caller("InsufficientFreeAddressesInSubnet", "no free address"));
        }
        let count = tx.count::<Made>() + 4;
        let id = format!("eni-{}", tx.chance.hex(17));
        tx.put(Made { id: id.clone(), subnet: request.subnet_id.clone() });
        let groups = request.groups.unwrap_or_else(|| vec!["sg-default".into()]).into_iter();
        let groups = groups.map(|id| ec2::GroupIdentifier { group_id: Some(id), ..Default::default() });
        let interface = ec2::NetworkInterface {
            network_interface_id: Some(id),
            subnet_id: Some(request.subnet_id),
            private_ip_address: Some(format!("172.31.0.{count}")),
            private_dns_name: Some(format!("ip-172-31-0-{count}.ec2.internal")),
            mac_address: Some(format!("02:00:00:00:00:{count:02x}")),
            groups: Some(groups.collect()),
            ..Default::default()
        };
        Ok(ec2::CreateNetworkInterfaceResult { network_interface: Some(interface), ..Default::default() })
    })
}

fn delete_interface() -> Operation {
    Operation::write::<aws_ec2::op::DeleteNetworkInterface>(Acts::All, |tx, request| {
        let key = Key::of(&[&request.network_interface_id]);
        if !tx.contains::<Made>(&key) {
            return Err(Fault::caller("InvalidNetworkInterfaceID.NotFound", "gone"));
        }
        tx.delete::<Made>(&key);
        Ok(Default::default())
    })
}

/// Lets tasks assume the role; what is URL-encoded may also be plain.
const TRUST: &str = r#"{"Statement":{"Effect":"Allow","Principal":{"Service":"ecs-tasks.amazonaws.com"},"Action":"sts:AssumeRole"}}"#;

pub fn iam() -> Service {
    let get_role =
        Operation::read::<aws_iam::op::GetRole>(Acts::All, |_, request: aws_iam::GetRoleRequest| {
            if request.role_name != "ecs-execution" {
                return Err(Fault::caller("NoSuchEntity", "no such role"));
            }
            let role = aws_iam::Role {
                path: "/".into(),
                role_name: request.role_name,
                role_id: "AROA".into(),
                arn: ROLE.into(),
                create_date: Timestamp::EPOCH,
                assume_role_policy_document: Some(TRUST.into()),
                ..Default::default()
            };
            Ok(aws_iam::GetRoleResponse { role })
        });
    service(&aws_iam::API, vec![get_role])
}
