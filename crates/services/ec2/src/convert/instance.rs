//! Instances.

use aws_ec2 as api;
use base::Chance;
use core_addresses::private_dns_name;
use store::Snapshot;

use super::{attachment, group_names, tags, text};
use crate::state::instance::{Instance, InstanceState};
use crate::state::interface::Interface;
use crate::state::resource;
use crate::state::vpc::Subnet;

/// As the API names the machine's type: it is none of AWS's.
const TYPE: &str = "boxship.host";

/// AWS: codes of instance states.
fn state(instance: &Instance) -> api::InstanceState {
    let (code, name) = match instance.state {
        InstanceState::Running => (16, "running"),
        InstanceState::Stopped { .. } => (80, "stopped"),
    };
    api::InstanceState { code: Some(code), name: text(name) }
}

/// AWS: instances that were launched together are listed as one reservation; here each is alone.
pub fn reservation(records: &Snapshot, one: &Instance) -> api::Reservation {
    let digits = Chance::new(0).split(&one.id).hex(17);
    api::Reservation {
        reservation_id: Some(format!("r-{digits}")),
        owner_id: text(&one.home.account),
        groups: Some(Vec::new()),
        instances: Some(vec![instance(records, one)]),
        ..Default::default()
    }
}

pub fn instance(records: &Snapshot, instance: &Instance) -> api::Instance {
    let home = &instance.home;
    let interface = resource::get::<Interface>(records, home, &instance.interface);
    let shown = api::Instance {
        instance_id: text(&instance.id),
        image_id: text("ami-00000000000000000"),
        instance_type: text(TYPE),
        architecture: text(&instance.architecture),
        state: Some(state(instance)),
        state_transition_reason: text(match instance.state {
            InstanceState::Running => String::new(),
            InstanceState::Stopped { at } => format!("User initiated ({})", at.iso8601()),
        }),
        state_reason: match instance.state {
            InstanceState::Running => None,
            InstanceState::Stopped { .. } => Some(api::StateReason {
                code: text("Client.UserInitiatedShutdown"),
                message: text("Client.UserInitiatedShutdown: User initiated shutdown"),
            }),
        },
        launch_time: Some(instance.launched_at),
        ami_launch_index: Some(0),
        hypervisor: text("xen"),
        virtualization_type: text("hvm"),
        root_device_type: text("ebs"),
        public_dns_name: text(""),
        product_codes: Some(Vec::new()),
        block_device_mappings: Some(Vec::new()),
        monitoring: Some(api::Monitoring { state: text("disabled"), ..Default::default() }),
        platform_details: text("Linux/UNIX"),
        ebs_optimized: Some(false),
        ena_support: Some(true),
        source_dest_check: Some(true),
        tags: Some(tags(&instance.tags)),
        ..Default::default()
    };
    let Some(interface) = interface else { return shown };
    let subnet = resource::get::<Subnet>(records, home, &interface.subnet);
    api::Instance {
        private_ip_address: text(interface.address),
        private_dns_name: Some(private_dns_name(interface.address, &home.region)),
        vpc_id: Some(interface.vpc_id()),
        subnet_id: text(&interface.subnet),
        placement: Some(api::Placement {
            availability_zone: subnet.as_ref().map(|subnet| subnet.zone.clone()),
            availability_zone_id: subnet.map(|subnet| subnet.zone_id.clone()),
            group_name: text(""),
            tenancy: text("default"),
            ..Default::default()
        }),
        security_groups: Some(group_names(records, home, &interface.security_groups)),
        network_interfaces: Some(vec![of_instance(records, &interface)]),
        ..shown
    }
}

fn of_instance(records: &Snapshot, interface: &Interface) -> api::InstanceNetworkInterface {
    let home = &interface.home;
    let name = private_dns_name(interface.address, &home.region);
    let attachment = attachment(interface).map(|one| api::InstanceNetworkInterfaceAttachment {
        attach_time: one.attach_time,
        attachment_id: one.attachment_id,
        delete_on_termination: one.delete_on_termination,
        device_index: one.device_index,
        status: one.status,
        network_card_index: one.network_card_index,
        ..Default::default()
    });
    api::InstanceNetworkInterface {
        network_interface_id: text(&interface.id.0),
        subnet_id: text(&interface.subnet),
        vpc_id: Some(interface.vpc_id()),
        description: text(&interface.description),
        owner_id: text(&home.account),
        status: text("in-use"),
        mac_address: text(interface.mac()),
        private_ip_address: text(interface.address),
        private_dns_name: text(&name),
        private_ip_addresses: Some(vec![api::InstancePrivateIpAddress {
            primary: Some(true),
            private_dns_name: Some(name),
            private_ip_address: text(interface.address),
            ..Default::default()
        }]),
        ipv6_addresses: Some(Vec::new()),
        source_dest_check: Some(true),
        groups: Some(group_names(records, home, &interface.security_groups)),
        attachment,
        interface_type: text("interface"),
        ..Default::default()
    }
}

/// AWS: checks pass while an instance runs, and do not apply while it does not.
pub fn instance_status(records: &Snapshot, instance: &Instance) -> api::InstanceStatus {
    let interface = resource::get::<Interface>(records, &instance.home, &instance.interface);
    let subnet = interface.and_then(|one| resource::get::<Subnet>(records, &instance.home, &one.subnet));
    let (status, reached) = match instance.state {
        InstanceState::Running => ("ok", Some("passed")),
        InstanceState::Stopped { .. } => ("not-applicable", None),
    };
    let summary = api::InstanceStatusSummary {
        status: text(status),
        details: reached.map(|reached| {
            vec![api::InstanceStatusDetails {
                name: text("reachability"),
                status: text(reached),
                ..Default::default()
            }]
        }),
    };
    api::InstanceStatus {
        instance_id: text(&instance.id),
        availability_zone: subnet.as_ref().map(|subnet| subnet.zone.clone()),
        availability_zone_id: subnet.map(|subnet| subnet.zone_id.clone()),
        instance_state: Some(state(instance)),
        instance_status: Some(summary.clone()),
        system_status: Some(summary),
        ..Default::default()
    }
}
