//! Network interfaces.

use aws_ec2 as api;
use core_addresses::private_dns_name;
use store::Snapshot;

use super::{tags, text};
use crate::state::default::Home;
use crate::state::interface::{Interface, Use};
use crate::state::resource;
use crate::state::security_group::SecurityGroup;
use crate::state::vpc::Subnet;

/// AWS: `available` or `in-use`.
pub fn status(interface: &Interface) -> &'static str {
    match interface.used_by {
        Use::Free => "available",
        Use::Service { .. } | Use::Instance { .. } => "in-use",
    }
}

/// Groups by their ids, with their names.
pub fn group_names(records: &Snapshot, home: &Home, ids: &[String]) -> Vec<api::GroupIdentifier> {
    let name =
        |id: &String| resource::get::<SecurityGroup>(records, home, id).map(|group| group.name.clone());
    ids.iter().map(|id| api::GroupIdentifier { group_id: text(id), group_name: name(id) }).collect()
}

/// AWS: balancers' interfaces are asked for by `amazon-elb`, others by their service.
fn requester(service: &str) -> &str {
    if service.starts_with("elasticloadbalancing") { "amazon-elb" } else { service }
}

pub fn attachment(interface: &Interface) -> Option<api::NetworkInterfaceAttachment> {
    let (id, owner, instance) = match &interface.used_by {
        Use::Free => return None,
        Use::Service { service, attachment } => (attachment, requester(service), None),
        Use::Instance { instance, attachment } => {
            (attachment, interface.home.account.as_str(), Some(instance.clone()))
        }
    };
    Some(api::NetworkInterfaceAttachment {
        attachment_id: text(id),
        attach_time: Some(interface.created_at),
        delete_on_termination: Some(instance.is_some()),
        device_index: Some(i32::from(instance.is_none())),
        network_card_index: Some(0),
        instance_owner_id: text(owner),
        instance_id: instance,
        status: text("attached"),
        ..Default::default()
    })
}

pub fn network_interface(records: &Snapshot, interface: &Interface) -> api::NetworkInterface {
    let home = &interface.home;
    let subnet = resource::get::<Subnet>(records, home, &interface.subnet);
    let name = private_dns_name(interface.address, &home.region);
    let service = match &interface.used_by {
        Use::Free | Use::Instance { .. } => None,
        Use::Service { service, .. } => Some(requester(service)),
    };
    api::NetworkInterface {
        network_interface_id: text(&interface.id.0),
        subnet_id: text(&interface.subnet),
        vpc_id: Some(interface.vpc_id()),
        availability_zone: subnet.as_ref().map(|subnet| subnet.zone.clone()),
        availability_zone_id: subnet.map(|subnet| subnet.zone_id.clone()),
        description: text(&interface.description),
        owner_id: text(&home.account),
        requester_id: text(service.unwrap_or(home.account.as_str())),
        requester_managed: Some(service.is_some()),
        status: text(status(interface)),
        mac_address: text(interface.mac()),
        private_ip_address: text(interface.address),
        private_dns_name: text(&name),
        private_ip_addresses: Some(vec![api::NetworkInterfacePrivateIpAddress {
            primary: Some(true),
            private_dns_name: Some(name),
            private_ip_address: text(interface.address),
            ..Default::default()
        }]),
        ipv6_addresses: Some(Vec::new()),
        source_dest_check: Some(true),
        interface_type: text("interface"),
        groups: Some(group_names(records, home, &interface.security_groups)),
        attachment: attachment(interface),
        tag_set: Some(tags(&interface.tags)),
        ..Default::default()
    }
}
