//! Network interfaces: made by customers, and by ECS for every `awsvpc` task.

use std::net::Ipv4Addr;

use aws_ec2::{
    CreateNetworkInterfaceRequest, CreateNetworkInterfaceResult, DeleteNetworkInterfaceRequest,
    DescribeNetworkInterfacesRequest, DescribeNetworkInterfacesResult, TagSpecification,
};
use base::{Fault, Tags};
use core_addresses::{capacity, is_assignable, next_free};
use service::{Principal, Tx, View};
use wire::Empty;

use crate::behaviour::{Asked, Attributes, select};
use crate::convert;
use crate::faults::{self, Resource};
use crate::state::default::{Home, Subnet};
use crate::state::{Interface, InterfaceId, Use};

/// AWS: the quota of a new account.
const MOST_GROUPS: usize = 5;
/// AWS: of any resource.
const MOST_TAGS: usize = 50;

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
    let subnet = home
        .subnet(&request.subnet_id)
        .ok_or_else(|| faults::not_found(Resource::Subnet, &[&request.subnet_id]))?;
    if let Some(other) = request.interface_type.as_deref().filter(|kind| *kind != "interface") {
        return Err(faults::refuse(&format!("InterfaceType={other}")));
    }
    let security_groups = groups_of(&home, request.groups)?;
    let tags = tags_of(request.tag_specifications)?;
    let asked = request.private_ip_address.as_deref().map(|text| parse(&subnet, text)).transpose()?;
    if request.dry_run == Some(true) {
        return Err(faults::dry_run());
    }
    let token = request.client_token.filter(|token| !token.is_empty());
    let description = request.description.unwrap_or_default();
    if let Some(earlier) = token.as_deref().and_then(|token| by_token(&tx.view(), &home, token)) {
        let is_same = earlier.subnet == subnet.id
            && earlier.description == description
            && earlier.security_groups == security_groups
            && asked.is_none_or(|address| address == earlier.address);
        return if is_same { Ok(created(&earlier)) } else { Err(faults::token_reused()) };
    }
    let address = choose(tx, &home, &subnet, asked)?;
    let interface = Interface {
        account: home.account,
        region: home.region,
        id: InterfaceId(format!("eni-{}", tx.chance.hex(17))),
        subnet: subnet.id,
        address,
        description,
        security_groups,
        used_by: use_of(tx),
        client_token: token,
        tags,
        created_at: tx.now,
    };
    let answer = created(&interface);
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

fn created(interface: &Interface) -> CreateNetworkInterfaceResult {
    CreateNetworkInterfaceResult {
        network_interface: Some(aws_ec2::NetworkInterface {
            // AWS: whatever it becomes, it begins so.
            status: convert::text("pending"),
            ..convert::network_interface(interface)
        }),
        client_token: interface.client_token.clone(),
    }
}

fn by_token(view: &View<'_>, home: &Home, token: &str) -> Option<std::sync::Arc<Interface>> {
    let (index, prefix) = Interface::of_token(home, token);
    view.by::<Interface>(index, &prefix).next()
}

fn groups_of(home: &Home, asked: Option<Vec<String>>) -> Result<Vec<String>, Fault> {
    let asked = asked.unwrap_or_default();
    if asked.is_empty() {
        return Ok(vec![home.security_group()]);
    }
    if asked.len() > MOST_GROUPS {
        return Err(faults::too_many_groups());
    }
    if let Some(id) = asked.iter().find(|id| !id.starts_with(Resource::SecurityGroup.prefix())) {
        return Err(faults::malformed(Resource::SecurityGroup, id));
    }
    let known = home.security_group();
    let missing: Vec<&str> = asked.iter().map(String::as_str).filter(|id| *id != known).collect();
    if missing.is_empty() {
        Ok(vec![known])
    } else {
        Err(faults::not_found(Resource::SecurityGroup, &missing))
    }
}

fn tags_of(specifications: Option<Vec<TagSpecification>>) -> Result<Tags, Fault> {
    let mut tags = Tags::new();
    for specification in specifications.unwrap_or_default() {
        let kind = specification.resource_type.unwrap_or_default();
        if kind != "network-interface" {
            return Err(faults::invalid(format_args!(
                "'{kind}' is not a valid taggable resource type for this operation."
            )));
        }
        for tag in specification.tags.unwrap_or_default() {
            let key = tag.key.unwrap_or_default();
            if key.is_empty() || key.starts_with("aws:") {
                return Err(faults::invalid(format_args!(
                    "Tag keys starting with 'aws:' are reserved for internal use, and none may be empty: '{key}'"
                )));
            }
            if tags.insert(key.clone(), tag.value.unwrap_or_default()).is_some() {
                return Err(faults::invalid(format_args!("Duplicate tag key '{key}' specified.")));
            }
        }
    }
    if tags.len() > MOST_TAGS {
        return Err(Fault::caller("TagLimitExceeded", "More than 50 tags specified."));
    }
    Ok(tags)
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
fn choose(tx: &mut Tx<'_>, home: &Home, subnet: &Subnet, asked: Option<Ipv4Addr>) -> Result<Ipv4Addr, Fault> {
    let start = tx.chance.below(capacity(subnet.cidr));
    let is_used = |address: Ipv4Addr| {
        let (index, prefix) = Interface::of_address(home, &subnet.id, address);
        tx.by::<Interface>(index, &prefix).next().is_some()
    };
    match asked {
        Some(address) if is_used(address) => Err(faults::address_in_use(address)),
        Some(address) => Ok(address),
        None => next_free(subnet.cidr, start, is_used).ok_or_else(|| faults::subnet_is_full(&subnet.id)),
    }
}

pub fn delete(tx: &mut Tx<'_>, request: DeleteNetworkInterfaceRequest) -> Result<Empty, Fault> {
    let home = Home::of(tx.caller);
    let id = &request.network_interface_id;
    if !id.starts_with(Resource::NetworkInterface.prefix()) {
        return Err(faults::malformed(Resource::NetworkInterface, id));
    }
    let key = Interface::at(&home, id);
    let found = tx.get::<Interface>(&key);
    let interface = found.ok_or_else(|| faults::not_found(Resource::NetworkInterface, &[id]))?;
    let is_ours = match &interface.used_by {
        Use::Free => true,
        Use::Service { service, .. } => {
            matches!(tx.caller.principal, Principal::Service(caller) if caller == service)
        }
    };
    if !is_ours {
        return Err(faults::interface_in_use(id));
    }
    if request.dry_run == Some(true) {
        return Err(faults::dry_run());
    }
    tx.delete::<Interface>(&key);
    Ok(Empty::default())
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
    let asked = Asked {
        dry_run: request.dry_run,
        ids: request.network_interface_ids,
        filters: request.filters,
        max_results: request.max_results,
        next_token: request.next_token,
    };
    let all = view.scan::<Interface>(&Interface::all(&Home::of(view.caller))).map(|interface| {
        let shown = convert::network_interface(&interface);
        (interface.id.0.clone(), attributes(&interface, &shown), interface.tags.clone(), shown)
    });
    let page = select(Resource::NetworkInterface, FILTERS, asked, all)?;
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
        .with_some("attachment.instance-owner-id", attachment.and_then(|one| one.instance_owner_id.as_ref()))
        .with_some("attachment.status", attachment.and_then(|one| one.status.as_ref()))
        .with_some("availability-zone", shown.availability_zone.as_ref())
        .with_some("availability-zone-id", shown.availability_zone_id.as_ref())
        .with("description", &interface.description)
        .with("interface-type", "interface")
        .with("mac-address", interface.mac())
        .with("network-interface-id", &interface.id.0)
        .with("operator.managed", false)
        .with("owner-id", &interface.account)
        .with_some("private-dns-name", shown.private_dns_name.as_ref())
        .with("private-ip-address", interface.address)
        .with_some("requester-id", shown.requester_id.as_ref())
        .with_some("requester-managed", shown.requester_managed)
        .with("source-dest-check", true)
        .with("status", convert::status(interface))
        .with("subnet-id", &interface.subnet)
        .with_some("vpc-id", shown.vpc_id.as_ref())
        .with("group-name", "default");
    interface.security_groups.iter().fold(attributes, |all, group| all.with("group-id", group))
}
