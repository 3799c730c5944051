//! VPCs, subnets, route tables and gateways.

use aws_ec2 as api;
use core_addresses::{Cidr, capacity};
use store::Snapshot;

use super::{arn, some_tags, tags, text};
use crate::state::interface::Interface;
use crate::state::resource;
use crate::state::route_table::{Association, InternetGateway, Route, RouteTable};
use crate::state::vpc::{Subnet, Vpc};

pub fn vpc(vpc: &Vpc) -> api::Vpc {
    let association = api::VpcCidrBlockAssociation {
        association_id: text(&vpc.cidr_association),
        cidr_block: text(vpc.cidr),
        cidr_block_state: Some(api::VpcCidrBlockState { state: text("associated"), ..Default::default() }),
    };
    api::Vpc {
        vpc_id: text(&vpc.id),
        owner_id: text(&vpc.home.account),
        state: text("available"),
        cidr_block: text(vpc.cidr),
        cidr_block_association_set: Some(vec![association]),
        dhcp_options_id: Some(vpc.home.dhcp_options()),
        instance_tenancy: text("default"),
        is_default: Some(vpc.is_default),
        block_public_access_states: Some(block_public_access()),
        tags: some_tags(&vpc.tags),
        ..Default::default()
    }
}

fn block_public_access() -> api::BlockPublicAccessStates {
    api::BlockPublicAccessStates { internet_gateway_block_mode: text("off") }
}

/// With how many addresses can still be given.
pub fn subnet(records: &Snapshot, subnet: &Subnet) -> api::Subnet {
    let used = Interface::count_of_subnet(records, &subnet.home, &subnet.id);
    let free = capacity(subnet.cidr).saturating_sub(used);
    api::Subnet {
        subnet_id: text(&subnet.id),
        subnet_arn: arn(&subnet.home, "subnet", &subnet.id),
        vpc_id: text(&subnet.vpc),
        owner_id: text(&subnet.home.account),
        state: text("available"),
        cidr_block: text(subnet.cidr),
        available_ip_address_count: i32::try_from(free).ok(),
        availability_zone: text(&subnet.zone),
        availability_zone_id: text(&subnet.zone_id),
        default_for_az: Some(subnet.is_default),
        map_public_ip_on_launch: Some(subnet.maps_public_address),
        map_customer_owned_ip_on_launch: Some(false),
        assign_ipv6_address_on_creation: Some(false),
        enable_dns64: Some(false),
        ipv6_native: Some(false),
        ipv6_cidr_block_association_set: Some(Vec::new()),
        private_dns_name_options_on_launch: Some(api::PrivateDnsNameOptionsOnLaunch {
            hostname_type: text("ip-name"),
            enable_resource_name_dns_a_record: Some(false),
            enable_resource_name_dns_aaaa_record: Some(false),
        }),
        block_public_access_states: Some(block_public_access()),
        tags: some_tags(&subnet.tags),
        ..Default::default()
    }
}

/// AWS: the route within the VPC comes first, and is of the table's own making.
pub fn route_table(records: &Snapshot, table: &RouteTable) -> api::RouteTable {
    let local = resource::get::<Vpc>(records, &table.home, &table.vpc).map(|vpc| vpc.cidr);
    let local = local.map(|cidr| shown_route(cidr, "local", "CreateRouteTable", true));
    let others = table.routes.iter().map(|route| {
        let leads = leads_out(records, table, route);
        shown_route(route.destination, &route.gateway, "CreateRoute", leads)
    });
    api::RouteTable {
        route_table_id: text(&table.id),
        vpc_id: text(&table.vpc),
        owner_id: text(&table.home.account),
        associations: Some(table.associations.iter().map(|one| association(table, one)).collect()),
        propagating_vgws: Some(Vec::new()),
        routes: Some(local.into_iter().chain(others).collect()),
        tags: Some(tags(&table.tags)),
    }
}

/// Whether the route's gateway is there, and attached to the table's VPC.
fn leads_out(records: &Snapshot, table: &RouteTable, route: &Route) -> bool {
    let gateway = resource::get::<InternetGateway>(records, &table.home, &route.gateway);
    gateway.is_some_and(|gateway| gateway.vpc.as_deref() == Some(table.vpc.as_str()))
}

fn shown_route(destination: Cidr, gateway: &str, origin: &str, leads: bool) -> api::Route {
    api::Route {
        destination_cidr_block: text(destination),
        gateway_id: text(gateway),
        origin: text(origin),
        state: text(if leads { "active" } else { "blackhole" }),
        ..Default::default()
    }
}

fn association(table: &RouteTable, association: &Association) -> api::RouteTableAssociation {
    api::RouteTableAssociation {
        main: Some(association.subnet.is_none()),
        route_table_association_id: text(&association.id),
        route_table_id: text(&table.id),
        subnet_id: association.subnet.clone(),
        association_state: Some(api::RouteTableAssociationState {
            state: text("associated"),
            ..Default::default()
        }),
        ..Default::default()
    }
}

pub fn internet_gateway(gateway: &InternetGateway) -> api::InternetGateway {
    let attachment = gateway
        .vpc
        .as_ref()
        .map(|vpc| api::InternetGatewayAttachment { state: text("available"), vpc_id: text(vpc) });
    api::InternetGateway {
        internet_gateway_id: text(&gateway.id),
        owner_id: text(&gateway.home.account),
        attachments: Some(attachment.into_iter().collect()),
        tags: Some(tags(&gateway.tags)),
    }
}
