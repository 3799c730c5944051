//! Network interfaces: made by customers, and by services for tasks and balancers.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use aws_ec2::{
    AttributeBooleanValue, AttributeValue, CreateNetworkInterfaceRequest, CreateNetworkInterfaceResult,
    DeleteNetworkInterfaceRequest, DescribeNetworkInterfaceAttributeRequest,
    DescribeNetworkInterfaceAttributeResult, DescribeNetworkInterfacesRequest,
    DescribeNetworkInterfacesResult, ModifyNetworkInterfaceAttributeRequest,
};
use base::Fault;
use core_addresses::{capacity, is_assignable, next_free};
use service::{Principal, Tx, View};
use store::Snapshot;
use wire::Empty;

use crate::behaviour::{Asked, Attributes, select, tags};
use crate::convert;
use crate::faults::{self, Kind};
use crate::state::default::Home;
use crate::state::interface::{Interface, InterfaceId, Use};
use crate::state::resource;
use crate::state::security_group::{DEFAULT, SecurityGroup};
use crate::state::vpc::Subnet;

/// AWS: the quota of a new account.
const MOST_GROUPS: usize = 5;

const FILTERS: &[&str] = &[
    "addresses.association.owner-id",
    "addresses.association.public-ip",
    "addresses.primary",
    "addresses.private-ip-address",
    "association.allocation-id",
    "association.association-id",
    "association.ip-owner-id",
    "association.public-dns-name",
    "association.public-ip",
    "attachment.attach-time",
    "attachment.attachment-id",
    "attachment.delete-on-termination",
    "attachment.device-index",
    "attachment.instance-id",
    "attachment.instance-owner-id",
    "attachment.nat-gateway-id",
    "attachment.status",
    "availability-zone",
    "availability-zone-id",
    "description",
    "group-id",
    "group-name",
    "interface-type",
    "ipv6-addresses.ipv6-address",
    "mac-address",
    "network-interface-id",
    "operator.managed",
    "operator.principal",
    "owner-id",
    "private-dns-name",
    "private-ip-address",
    "requester-id",
    "requester-managed",
    "source-dest-check",
    "status",
    "subnet-id",
    "vpc-id",
];

pub fn create(
    tx: &mut Tx<'_>,
    request: CreateNetworkInterfaceRequest,
) -> Result<CreateNetworkInterfaceResult, Fault> {
    let home = Home::of(tx.caller);
    let subnet = resource::find::<Subnet>(tx, &home, &request.subnet_id)?;
    if let Some(other) = request.interface_type.as_deref().filter(|kind| *kind != "interface") {
        return Err(faults::refuse(&format!("InterfaceType={other}")));
    }
    let security_groups = groups_of(tx, &subnet, request.groups)?;
    let tags = tags::of_specifications(Kind::NetworkInterface, request.tag_specifications)?;
    let asked = request.private_ip_address.as_deref().map(|text| parse(&subnet, text)).transpose()?;
    if request.dry_run == Some(true) {
        return Err(faults::dry_run());
    }
    let token = request.client_token.filter(|token| !token.is_empty());
    let description = request.description.unwrap_or_default();
    if let Some(earlier) = token.as_deref().and_then(|token| Interface::of_token(tx, &home, token)) {
        let is_same = earlier.subnet == subnet.id
            && earlier.description == description
            && earlier.security_groups == security_groups
            && asked.is_none_or(|address| address == earlier.address);
        return if is_same { Ok(created(tx, &earlier)) } else { Err(faults::token_reused()) };
    }
    let address = choose(tx, &subnet, asked)?;
    let interface = Interface {
        home,
        id: InterfaceId(format!("eni-{}", tx.chance.hex(17))),
        vpc: Some(subnet.vpc.clone()),
        subnet: subnet.id.clone(),
        address,
        description,
        security_groups,
        used_by: use_of(tx),
        client_token: token,
        tags,
        created_at: tx.now,
    };
    let answer = created(tx, &interface);
    tx.put(interface);
    Ok(answer)
}

/// AWS: what a service makes for itself is in use from the start, and the service's to delete.
fn use_of(tx: &mut Tx<'_>) -> Use {
    match tx.caller.principal {
        Principal::Root | Principal::Role { .. } => Use::Free,
        Principal::Service(service) => {
            let attachment = format!("eni-attach-{}", tx.chance.hex(17));
            Use::Service { service: service.to_owned(), attachment }
        }
    }
}

fn created(records: &Snapshot, interface: &Interface) -> CreateNetworkInterfaceResult {
    CreateNetworkInterfaceResult {
        network_interface: Some(aws_ec2::NetworkInterface {
            // AWS: whatever it becomes, it begins so.
            status: convert::text("pending"),
            ..convert::network_interface(records, interface)
        }),
        client_token: interface.client_token.clone(),
    }
}

/// The asked for groups of the subnet's VPC, or its own one.
pub fn groups_of(
    records: &Snapshot,
    subnet: &Subnet,
    asked: Option<Vec<String>>,
) -> Result<Vec<String>, Fault> {
    let (home, vpc) = (&subnet.home, subnet.vpc.as_str());
    let mut asked = asked.unwrap_or_default();
    if asked.is_empty() {
        let own = SecurityGroup::of_vpc(records, home, vpc).into_iter().find(|group| group.is_default());
        return own.map(|own| vec![own.id.clone()]).ok_or_else(|| {
            Fault::server("InternalError", format_args!("{vpc} has no security group '{DEFAULT}'."))
        });
    }
    let mut seen = BTreeSet::new();
    asked.retain(|id| seen.insert(id.clone()));
    if asked.len() > MOST_GROUPS {
        return Err(faults::too_many_groups());
    }
    if let Some(id) = asked.iter().find(|id| !id.starts_with(Kind::SecurityGroup.prefix())) {
        return Err(faults::malformed(Kind::SecurityGroup, id));
    }
    let found = asked.iter().map(|id| (id, resource::get::<SecurityGroup>(records, home, id)));
    let (mut missing, mut elsewhere) = (Vec::new(), None);
    for (id, group) in found {
        match group {
            None => missing.push(id.as_str()),
            Some(group) if group.vpc != vpc => elsewhere = elsewhere.or(Some(id)),
            Some(_) => {}
        }
    }
    match (missing.is_empty(), elsewhere) {
        (false, _) => Err(faults::not_found(Kind::SecurityGroup, &missing)),
        (true, Some(id)) => Err(faults::group_elsewhere(id, &subnet.id)),
        (true, None) => Ok(asked),
    }
}

fn parse(subnet: &Subnet, text: &str) -> Result<Ipv4Addr, Fault> {
    let address: Ipv4Addr = text.parse().map_err(|_| faults::address_malformed(text))?;
    match (subnet.cidr.contains(address), is_assignable(subnet.cidr, address)) {
        (true, true) => Ok(address),
        (true, false) => Err(faults::address_reserved()),
        (false, _) => Err(faults::address_outside()),
    }
}

/// The asked for address, or a free one anywhere in the subnet: an address that was just given
/// back is not the next to be given out.
pub fn choose(tx: &mut Tx<'_>, subnet: &Subnet, asked: Option<Ipv4Addr>) -> Result<Ipv4Addr, Fault> {
    let start = tx.chance.below(capacity(subnet.cidr));
    let is_used = |address: Ipv4Addr| Interface::has_address(tx, &subnet.home, &subnet.id, address);
    match asked {
        Some(address) if is_used(address) => Err(faults::address_in_use(address)),
        Some(address) => Ok(address),
        None => next_free(subnet.cidr, start, is_used).ok_or_else(|| faults::subnet_is_full(&subnet.id)),
    }
}

pub fn delete(tx: &mut Tx<'_>, request: DeleteNetworkInterfaceRequest) -> Result<Empty, Fault> {
    let home = Home::of(tx.caller);
    let id = &request.network_interface_id;
    let interface = resource::find::<Interface>(tx, &home, id)?;
    let may_delete = match &interface.used_by {
        Use::Free => true,
        Use::Service { .. } => is_managed_by(&interface, &tx.caller.principal),
        Use::Instance { .. } => false,
    };
    if !may_delete {
        return Err(faults::interface_in_use(id));
    }
    if request.dry_run == Some(true) {
        return Err(faults::dry_run());
    }
    tx.delete::<Interface>(&resource::key_of(&home, id));
    Ok(Empty::default())
}

pub fn modify_attribute(
    tx: &mut Tx<'_>,
    request: ModifyNetworkInterfaceAttributeRequest,
) -> Result<Empty, Fault> {
    let home = Home::of(tx.caller);
    let id = &request.network_interface_id;
    let interface = resource::find::<Interface>(tx, &home, id)?;
    if matches!(interface.used_by, Use::Service { .. }) && !is_managed_by(&interface, &tx.caller.principal) {
        return Err(faults::not_permitted(id));
    }
    let description = request.description.and_then(|value| value.value);
    let groups = request.groups.filter(|groups| !groups.is_empty());
    let changed = match (description, groups) {
        (Some(description), None) => Interface { description, ..(*interface).clone() },
        (None, Some(groups)) => {
            let subnet = resource::find::<Subnet>(tx, &home, &interface.subnet)?;
            let security_groups = groups_of(tx, &subnet, Some(groups))?;
            Interface { security_groups, ..(*interface).clone() }
        }
        (None, None) => return Err(faults::no_attribute()),
        (Some(_), Some(_)) => return Err(faults::several_attributes()),
    };
    if request.dry_run == Some(true) {
        return Err(faults::dry_run());
    }
    tx.put(changed);
    Ok(Empty::default())
}

pub fn describe_attribute(
    view: &View<'_>,
    request: DescribeNetworkInterfaceAttributeRequest,
) -> Result<DescribeNetworkInterfaceAttributeResult, Fault> {
    let home = Home::of(view.caller);
    let interface = resource::find::<Interface>(view, &home, &request.network_interface_id)?;
    let mut shown = DescribeNetworkInterfaceAttributeResult {
        network_interface_id: convert::text(&interface.id.0),
        ..Default::default()
    };
    match request.attribute.as_deref() {
        Some("description") => {
            shown.description = Some(AttributeValue { value: convert::text(&interface.description) });
        }
        Some("groupSet") => {
            shown.groups = Some(convert::group_names(view, &home, &interface.security_groups));
        }
        Some("sourceDestCheck") => {
            shown.source_dest_check = Some(AttributeBooleanValue { value: Some(true) });
        }
        Some("attachment") => shown.attachment = convert::attachment(&interface),
        Some("associatePublicIpAddress") => shown.associate_public_ip_address = Some(false),
        Some(other) => return Err(faults::unknown_attribute(other)),
        None => return Err(faults::missing("attribute")),
    }
    if request.dry_run == Some(true) {
        return Err(faults::dry_run());
    }
    Ok(shown)
}

/// Whether it is that service's own.
fn is_managed_by(interface: &Interface, principal: &Principal) -> bool {
    match (&interface.used_by, principal) {
        (Use::Service { service, .. }, Principal::Service(caller)) => caller == service,
        (Use::Service { .. } | Use::Free | Use::Instance { .. }, _) => false,
    }
}

pub fn describe(
    view: &View<'_>,
    request: DescribeNetworkInterfacesRequest,
) -> Result<DescribeNetworkInterfacesResult, Fault> {
    let has_ids = request.network_interface_ids.as_ref().is_some_and(|ids| !ids.is_empty());
    // AWS: pages and ids exclude each other for this resource.
    if has_ids && request.max_results.is_some() {
        return Err(faults::ids_with_pages("networkInterfaceIds"));
    }
    let ids = request.network_interface_ids.as_ref();
    let all = resource::named::<Interface>(view, &Home::of(view.caller), ids);
    let asked = Asked {
        dry_run: request.dry_run,
        ids: request.network_interface_ids,
        filters: request.filters,
        max_results: request.max_results,
        next_token: request.next_token,
    };
    let all = all.into_iter().map(|interface| {
        let shown = convert::network_interface(view, &interface);
        (interface.id.0.clone(), attributes(&interface, &shown), interface.tags.clone(), shown)
    });
    let page = select(Kind::NetworkInterface, FILTERS, asked, all)?;
    Ok(DescribeNetworkInterfacesResult { network_interfaces: Some(page.items), next_token: page.next_token })
}

fn attributes(interface: &Interface, shown: &aws_ec2::NetworkInterface) -> Attributes {
    let attachment = shown.attachment.as_ref();
    let attributes = Attributes::default()
        .with("addresses.primary", true)
        .with("addresses.private-ip-address", interface.address)
        .with_some("attachment.attach-time", attachment.map(|_| interface.created_at))
        .with_some("attachment.attachment-id", attachment.and_then(|one| one.attachment_id.as_ref()))
        .with_some("attachment.delete-on-termination", attachment.and_then(|one| one.delete_on_termination))
        .with_some("attachment.device-index", attachment.and_then(|one| one.device_index))
        .with_some("attachment.instance-id", attachment.and_then(|one| one.instance_id.as_ref()))
        .with_some("attachment.instance-owner-id", attachment.and_then(|one| one.instance_owner_id.as_ref()))
        .with_some("attachment.status", attachment.and_then(|one| one.status.as_ref()))
        .with_some("availability-zone", shown.availability_zone.as_ref())
        .with_some("availability-zone-id", shown.availability_zone_id.as_ref())
        .with("description", &interface.description)
        .with("interface-type", "interface")
        .with("mac-address", interface.mac())
        .with("network-interface-id", &interface.id.0)
        .with("operator.managed", false)
        .with("owner-id", &interface.home.account)
        .with_some("private-dns-name", shown.private_dns_name.as_ref())
        .with("private-ip-address", interface.address)
        .with_some("requester-id", shown.requester_id.as_ref())
        .with_some("requester-managed", shown.requester_managed)
        .with("source-dest-check", true)
        .with("status", convert::status(interface))
        .with("subnet-id", &interface.subnet)
        .with_some("vpc-id", shown.vpc_id.as_ref());
    shown.groups.iter().flatten().fold(attributes, |all, group| {
        all.with_some("group-id", group.group_id.as_ref()).with_some("group-name", group.group_name.as_ref())
    })
}
