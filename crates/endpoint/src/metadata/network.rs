//! A container's networks.

use base::Region;
use core_addresses::{Cidr, dns_suffix, gateway_of, resolver_of};
use core_lifecycle::{Interface, NetworkMode};
use serde_json::{Value, json};

use crate::known::Subject;
use crate::route::Version;

pub(super) fn value(subject: &Subject, container: &str, version: Version) -> Value {
    let task = &subject.task;
    let network = match (task.network_mode, &task.interface) {
        (NetworkMode::Awsvpc, Some(interface)) => awsvpc(interface, &task.region, version),
        (NetworkMode::Awsvpc | NetworkMode::None, _) => json!({ "NetworkMode": "none" }),
        (NetworkMode::Host, _) => json!({ "NetworkMode": "host" }),
        (NetworkMode::Bridge, _) => {
            let addresses: Vec<_> = subject.addresses.get(container).into_iter().collect();
            json!({ "NetworkMode": "bridge", "IPv4Addresses": addresses })
        }
    };
    Value::Array(vec![network])
}

/// AWS: version 4 tells the whole of the interface, version 3 its address.
fn awsvpc(interface: &Interface, region: &str, version: Version) -> Value {
    let mut value = json!({ "NetworkMode": "awsvpc", "IPv4Addresses": [interface.address] });
    if version == Version::V3 {
        return value;
    }
    value["AttachmentIndex"] = json!(0);
    value["MACAddress"] = json!(interface.mac);
    value["IPv4SubnetCIDRBlock"] = json!(interface.subnet_cidr);
    value["PrivateDNSName"] = json!(interface.private_dns_name);
    if let Some(region) = Region::parse(region) {
        value["DomainNameSearchList"] = json!([dns_suffix(&region)]);
    }
    if let Ok(vpc) = interface.vpc_cidr.parse::<Cidr>() {
        value["DomainNameServers"] = json!([resolver_of(vpc)]);
    }
    if let Ok(subnet) = interface.subnet_cidr.parse::<Cidr>() {
        value["SubnetGatewayIpv4Address"] = json!(format!("{}/{}", gateway_of(subnet), subnet.prefix()));
    }
    value
}
