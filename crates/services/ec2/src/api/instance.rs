//! Instances: the machine itself, where it is a container instance.

use aws_ec2::{
    DescribeInstanceStatusRequest, DescribeInstanceStatusResult, DescribeInstancesRequest,
    DescribeInstancesResult, Instance as Shown, ModifyInstanceAttributeRequest,
};
use base::Fault;
use service::{Tx, View};
use wire::Empty;

use crate::api::network_interface;
use crate::behaviour::{Asked, Attributes, select};
use crate::convert;
use crate::faults::{self, Kind};
use crate::state::default::Home;
use crate::state::instance::{Instance, InstanceState};
use crate::state::interface::Interface;
use crate::state::resource;
use crate::state::vpc::Subnet;

const FILTERS: &[&str] = &[
    "affinity",
    "architecture",
    "availability-zone",
    "availability-zone-id",
    "block-device-mapping.attach-time",
    "block-device-mapping.delete-on-termination",
    "block-device-mapping.device-name",
    "block-device-mapping.status",
    "block-device-mapping.volume-id",
    "boot-mode",
    "client-token",
    "dns-name",
    "group-id",
    "group-name",
    "hypervisor",
    "iam-instance-profile.arn",
    "iam-instance-profile.id",
    "image-id",
    "instance-id",
    "instance-lifecycle",
    "instance-state-code",
    "instance-state-name",
    "instance-type",
    "instance.group-id",
    "instance.group-name",
    "ip-address",
    "key-name",
    "launch-time",
    "monitoring-state",
    "network-interface.addresses.primary",
    "network-interface.addresses.private-ip-address",
    "network-interface.attachment.attachment-id",
    "network-interface.attachment.instance-id",
    "network-interface.attachment.status",
    "network-interface.availability-zone",
    "network-interface.description",
    "network-interface.group-id",
    "network-interface.group-name",
    "network-interface.mac-address",
    "network-interface.network-interface-id",
    "network-interface.owner-id",
    "network-interface.private-dns-name",
    "network-interface.requester-id",
    "network-interface.status",
    "network-interface.subnet-id",
    "network-interface.vpc-id",
    "owner-id",
    "placement-group-name",
    "platform",
    "platform-details",
    "private-dns-name",
    "private-ip-address",
    "product-code",
    "reason",
    "requester-id",
    "reservation-id",
    "root-device-name",
    "root-device-type",
    "source-dest-check",
    "spot-instance-request-id",
    "state-reason-code",
    "state-reason-message",
    "subnet-id",
    "tenancy",
    "virtualization-type",
    "vpc-id",
];

const STATUS_FILTERS: &[&str] = &[
    "availability-zone",
    "availability-zone-id",
    "event.code",
    "event.description",
    "event.instance-event-id",
    "event.not-after",
    "event.not-before",
    "event.not-before-deadline",
    "instance-state-code",
    "instance-state-name",
    "instance-status.reachability",
    "instance-status.status",
    "operator.managed",
    "operator.principal",
    "system-status.reachability",
    "system-status.status",
];

pub fn describe(
    view: &View<'_>,
    request: DescribeInstancesRequest,
) -> Result<DescribeInstancesResult, Fault> {
    let has_ids = request.instance_ids.as_ref().is_some_and(|ids| !ids.is_empty());
    // AWS: pages and ids exclude each other for this resource.
    if has_ids && request.max_results.is_some() {
        return Err(faults::ids_with_pages("instancesSet"));
    }
    let asked = Asked {
        dry_run: request.dry_run,
        ids: request.instance_ids,
        filters: request.filters,
        max_results: request.max_results,
        next_token: request.next_token,
    };
    let all = resource::list::<Instance>(view, &Home::of(view.caller)).into_iter().map(|instance| {
        let shown = convert::instance(view, &instance);
        let reservation = convert::reservation(view, &instance);
        let attributes = attributes(&shown)
            .with("owner-id", &instance.home.account)
            .with_some("reservation-id", reservation.reservation_id.as_ref());
        (instance.id.clone(), attributes, instance.tags.clone(), reservation)
    });
    let page = select(Kind::Instance, FILTERS, asked, all)?;
    Ok(DescribeInstancesResult { reservations: Some(page.items), next_token: page.next_token })
}

fn attributes(shown: &Shown) -> Attributes {
    let state = shown.state.as_ref();
    let placement = shown.placement.as_ref();
    let reason = shown.state_reason.as_ref();
    let mut attributes = Attributes::default()
        .with_some("architecture", shown.architecture.as_ref())
        .with_some("availability-zone", placement.and_then(|one| one.availability_zone.as_ref()))
        .with_some("availability-zone-id", placement.and_then(|one| one.availability_zone_id.as_ref()))
        .with_some("tenancy", placement.and_then(|one| one.tenancy.as_ref()))
        .with_some("hypervisor", shown.hypervisor.as_ref())
        .with_some("image-id", shown.image_id.as_ref())
        .with_some("instance-id", shown.instance_id.as_ref())
        .with_some("instance-state-code", state.and_then(|one| one.code))
        .with_some("instance-state-name", state.and_then(|one| one.name.as_ref()))
        .with_some("instance-type", shown.instance_type.as_ref())
        .with_some("launch-time", shown.launch_time.map(|at| at.iso8601()))
        .with("monitoring-state", "disabled")
        .with_some("platform-details", shown.platform_details.as_ref())
        .with_some("private-dns-name", shown.private_dns_name.as_ref())
        .with_some("private-ip-address", shown.private_ip_address.as_ref())
        .with_some("reason", shown.state_transition_reason.as_ref())
        .with_some("root-device-type", shown.root_device_type.as_ref())
        .with_some("source-dest-check", shown.source_dest_check)
        .with_some("state-reason-code", reason.and_then(|one| one.code.as_ref()))
        .with_some("state-reason-message", reason.and_then(|one| one.message.as_ref()))
        .with_some("subnet-id", shown.subnet_id.as_ref())
        .with_some("virtualization-type", shown.virtualization_type.as_ref())
        .with_some("vpc-id", shown.vpc_id.as_ref());
    for group in shown.security_groups.iter().flatten() {
        for (id, name) in [
            ("group-id", "group-name"),
            ("instance.group-id", "instance.group-name"),
            ("network-interface.group-id", "network-interface.group-name"),
        ] {
            attributes =
                attributes.with_some(id, group.group_id.as_ref()).with_some(name, group.group_name.as_ref());
        }
    }
    for interface in shown.network_interfaces.iter().flatten() {
        let attachment = interface.attachment.as_ref();
        attributes = attributes
            .with("network-interface.addresses.primary", true)
            .with_some(
                "network-interface.addresses.private-ip-address",
                interface.private_ip_address.as_ref(),
            )
            .with_some(
                "network-interface.attachment.attachment-id",
                attachment.and_then(|one| one.attachment_id.as_ref()),
            )
            .with_some("network-interface.attachment.instance-id", shown.instance_id.as_ref())
            .with_some("network-interface.attachment.status", attachment.and_then(|one| one.status.as_ref()))
            .with_some(
                "network-interface.availability-zone",
                placement.and_then(|one| one.availability_zone.as_ref()),
            )
            .with_some("network-interface.description", interface.description.as_ref())
            .with_some("network-interface.mac-address", interface.mac_address.as_ref())
            .with_some("network-interface.network-interface-id", interface.network_interface_id.as_ref())
            .with_some("network-interface.owner-id", interface.owner_id.as_ref())
            .with_some("network-interface.private-dns-name", interface.private_dns_name.as_ref())
            .with_some("network-interface.status", interface.status.as_ref())
            .with_some("network-interface.subnet-id", interface.subnet_id.as_ref())
            .with_some("network-interface.vpc-id", interface.vpc_id.as_ref());
    }
    attributes
}

/// AWS: only running instances, unless all are asked for.
pub fn describe_status(
    view: &View<'_>,
    request: DescribeInstanceStatusRequest,
) -> Result<DescribeInstanceStatusResult, Fault> {
    let has_ids = request.instance_ids.as_ref().is_some_and(|ids| !ids.is_empty());
    if has_ids && request.max_results.is_some() {
        return Err(faults::ids_with_pages("instancesSet"));
    }
    let wants_all = request.include_all_instances == Some(true);
    let asked = Asked {
        dry_run: request.dry_run,
        ids: request.instance_ids,
        filters: request.filters,
        max_results: request.max_results,
        next_token: request.next_token,
    };
    let all = resource::list::<Instance>(view, &Home::of(view.caller)).into_iter().map(|instance| {
        let shown = convert::instance_status(view, &instance);
        let (state, own) = (shown.instance_state.as_ref(), shown.instance_status.as_ref());
        let status = own.and_then(|one| one.status.as_ref());
        let reached = own.and_then(|one| one.details.as_ref()?.first()?.status.as_ref());
        let attributes = Attributes::default()
            .with_some("availability-zone", shown.availability_zone.as_ref())
            .with_some("availability-zone-id", shown.availability_zone_id.as_ref())
            .with_some("instance-state-code", state.and_then(|one| one.code))
            .with_some("instance-state-name", state.and_then(|one| one.name.as_ref()))
            .with_some("instance-status.status", status)
            .with_some("instance-status.reachability", reached)
            .with_some("system-status.status", status)
            .with_some("system-status.reachability", reached);
        let is_running = instance.state == InstanceState::Running;
        (instance.id.clone(), attributes, instance.tags.clone(), (is_running, shown))
    });
    let page = select(Kind::Instance, STATUS_FILTERS, asked, all)?;
    let shown = page.items.into_iter().filter(|(is_running, _)| wants_all || *is_running);
    Ok(DescribeInstanceStatusResult {
        instance_statuses: Some(shown.map(|(_, shown)| shown).collect()),
        next_token: page.next_token,
    })
}

/// AWS: an instance's groups are those of its first interface.
pub fn modify_attribute(tx: &mut Tx<'_>, request: ModifyInstanceAttributeRequest) -> Result<Empty, Fault> {
    let home = Home::of(tx.caller);
    let instance = resource::find::<Instance>(tx, &home, &request.instance_id)?;
    let interface = resource::find::<Interface>(tx, &home, &instance.interface)?;
    let groups = request.groups.filter(|groups| !groups.is_empty()).ok_or_else(faults::no_attribute)?;
    let subnet = resource::find::<Subnet>(tx, &home, &interface.subnet)?;
    let security_groups = network_interface::groups_of(tx, &subnet, Some(groups))?;
    if request.dry_run == Some(true) {
        return Err(faults::dry_run());
    }
    tx.put(Interface { security_groups, ..(*interface).clone() });
    Ok(Empty::default())
}
