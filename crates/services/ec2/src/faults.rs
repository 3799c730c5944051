//! Every error that EC2 answers here, with AWS's texts (EC2 API reference, "Error codes").

use std::fmt::Display;

use base::Fault;

/// AWS: the answer to a request that asked only whether it may. Status 412.
pub fn dry_run() -> Fault {
    Fault::caller("DryRunOperation", "Request would have succeeded, but DryRun flag is set.").with_status(412)
}

/// What kind of thing an id names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Vpc,
    Subnet,
    SecurityGroup,
    SecurityGroupRule,
    NetworkInterface,
    NetworkAcl,
    RouteTable,
    InternetGateway,
    Instance,
}

impl Kind {
    /// Those that take tags.
    pub const TAGGED: [Kind; 8] = [
        Kind::Vpc,
        Kind::Subnet,
        Kind::SecurityGroup,
        Kind::SecurityGroupRule,
        Kind::NetworkInterface,
        Kind::RouteTable,
        Kind::InternetGateway,
        Kind::Instance,
    ];

    /// What its ids begin with.
    pub fn prefix(self) -> &'static str {
        match self {
            Kind::Vpc => "vpc-",
            Kind::Subnet => "subnet-",
            Kind::SecurityGroup => "sg-",
            Kind::SecurityGroupRule => "sgr-",
            Kind::NetworkInterface => "eni-",
            Kind::NetworkAcl => "acl-",
            Kind::RouteTable => "rtb-",
            Kind::InternetGateway => "igw-",
            Kind::Instance => "i-",
        }
    }

    /// AWS: its name in tag specifications and in lists of tags.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Vpc => "vpc",
            Kind::Subnet => "subnet",
            Kind::SecurityGroup => "security-group",
            Kind::SecurityGroupRule => "security-group-rule",
            Kind::NetworkInterface => "network-interface",
            Kind::NetworkAcl => "network-acl",
            Kind::RouteTable => "route-table",
            Kind::InternetGateway => "internet-gateway",
            Kind::Instance => "instance",
        }
    }
}

/// AWS: several missing ids are named together.
pub fn not_found(kind: Kind, ids: &[&str]) -> Fault {
    let (code, one, many) = match kind {
        Kind::Vpc => ("InvalidVpcID.NotFound", "vpc ID", "vpc IDs"),
        Kind::Subnet => ("InvalidSubnetID.NotFound", "subnet ID", "subnet IDs"),
        Kind::SecurityGroup => ("InvalidGroup.NotFound", "security group", "security groups"),
        Kind::SecurityGroupRule => {
            ("InvalidSecurityGroupRuleId.NotFound", "security group rule ID", "security group rule IDs")
        }
        Kind::NetworkInterface => {
            ("InvalidNetworkInterfaceID.NotFound", "networkInterface ID", "networkInterface IDs")
        }
        Kind::NetworkAcl => ("InvalidNetworkAclID.NotFound", "networkAcl ID", "networkAcl IDs"),
        Kind::RouteTable => ("InvalidRouteTableID.NotFound", "routeTable ID", "routeTable IDs"),
        Kind::InternetGateway => {
            ("InvalidInternetGatewayID.NotFound", "internetGateway ID", "internetGateway IDs")
        }
        Kind::Instance => ("InvalidInstanceID.NotFound", "instance ID", "instance IDs"),
    };
    let list = ids.join(", ");
    match ids.len() {
        1 => Fault::caller(code, format_args!("The {one} '{list}' does not exist")),
        _ => Fault::caller(code, format_args!("The {many} '{list}' do not exist")),
    }
}

/// An id that no resource of the kind could have.
pub fn malformed(kind: Kind, id: &str) -> Fault {
    let code = match kind {
        Kind::Vpc => "InvalidVpcID.Malformed",
        Kind::Subnet => "InvalidSubnetID.Malformed",
        Kind::SecurityGroup => "InvalidGroupId.Malformed",
        Kind::SecurityGroupRule => "InvalidSecurityGroupRuleId.Malformed",
        Kind::NetworkInterface => "InvalidNetworkInterfaceId.Malformed",
        Kind::NetworkAcl => "InvalidNetworkAclId.Malformed",
        Kind::RouteTable => "InvalidRouteTableId.Malformed",
        Kind::InternetGateway => "InvalidInternetGatewayId.Malformed",
        Kind::Instance => "InvalidInstanceID.Malformed",
    };
    let prefix = kind.prefix();
    Fault::caller(code, format_args!("Invalid id: \"{id}\" (expecting \"{prefix}...\")"))
}

pub fn group_name_not_found(name: &str, vpc: &str) -> Fault {
    Fault::caller(
        "InvalidGroup.NotFound",
        format_args!("The security group '{name}' does not exist in default VPC '{vpc}'"),
    )
}

pub fn invalid(message: impl Display) -> Fault {
    Fault::caller("InvalidParameterValue", message)
}

pub fn unknown_filter(name: &str) -> Fault {
    invalid(format_args!("The filter '{name}' is invalid"))
}

pub fn max_results_too_small(value: i32, least: i32) -> Fault {
    invalid(format_args!(
        "Value ( {value} ) for parameter maxResults is invalid. Expecting a value greater than or equal to \
         {least}."
    ))
}

pub fn max_results_too_large(value: i32, most: i32) -> Fault {
    invalid(format_args!(
        "Value ( {value} ) for parameter maxResults is invalid. Expecting a value smaller than or equal to \
         {most}."
    ))
}

pub fn invalid_token() -> Fault {
    Fault::caller("InvalidPaginationToken", "The specified pagination token is not valid or is expired.")
}

pub fn ids_with_pages(ids: &str) -> Fault {
    Fault::caller(
        "InvalidParameterCombination",
        format_args!("The parameter {ids} cannot be used with the parameter maxResults"),
    )
}

pub fn subnet_is_full(subnet: &str) -> Fault {
    Fault::caller(
        "InsufficientFreeAddressesInSubnet",
        format_args!(
            "The specified subnet '{subnet}' does not have enough free addresses to satisfy the request."
        ),
    )
}

pub fn address_in_use(address: impl Display) -> Fault {
    Fault::caller("InvalidIPAddress.InUse", format_args!("Address {address} is in use."))
}

pub fn address_malformed(address: &str) -> Fault {
    invalid(format_args!("invalid value for parameter address: {address}"))
}

pub fn address_outside() -> Fault {
    invalid("Address does not fall within the subnet's address range")
}

pub fn address_reserved() -> Fault {
    invalid("Address is in subnet's reserved address range")
}

pub fn too_many_groups() -> Fault {
    Fault::caller(
        "SecurityGroupsPerInterfaceLimitExceeded",
        "The maximum number of security groups per interface has been reached.",
    )
}

pub fn group_elsewhere(group: &str, subnet: &str) -> Fault {
    Fault::caller(
        "InvalidParameter",
        format_args!("Security group {group} and subnet {subnet} belong to different networks."),
    )
}

pub fn token_reused() -> Fault {
    Fault::caller(
        "IdempotentParameterMismatch",
        "The request uses the same client token as a previous, but non-identical request.",
    )
}

/// Something else stands on what is to be deleted.
pub fn has_dependencies(kind: &str, id: &str) -> Fault {
    Fault::caller(
        "DependencyViolation",
        format_args!("The {kind} '{id}' has dependencies and cannot be deleted."),
    )
}

pub fn has_dependent(id: &str) -> Fault {
    Fault::caller("DependencyViolation", format_args!("resource {id} has a dependent object"))
}

pub fn missing(parameter: &str) -> Fault {
    Fault::caller("MissingParameter", format_args!("The request must contain the parameter {parameter}"))
}

pub fn combination(message: impl Display) -> Fault {
    Fault::caller("InvalidParameterCombination", message)
}

/// A quota that AWS names so in its error codes.
pub fn limit(code: &'static str, what: &str) -> Fault {
    Fault::caller(code, format_args!("The maximum number of {what} has been reached."))
}

pub fn malformed_permission(message: impl Display) -> Fault {
    Fault::caller("InvalidPermission.Malformed", message)
}

/// `rule` as [`crate::behaviour::permission`] describes it.
pub fn duplicate_permission(rule: &str) -> Fault {
    Fault::caller("InvalidPermission.Duplicate", format_args!("the specified rule \"{rule}\" already exists"))
}

pub fn permission_not_found() -> Fault {
    Fault::caller("InvalidPermission.NotFound", "The specified rule does not exist in this security group.")
}

/// `towards` is `source` or `destination`.
pub fn no_peer(towards: &str) -> Fault {
    Fault::caller(
        "MissingParameter",
        format_args!("Missing {towards} specification: include {towards} security group or CIDR information"),
    )
}

pub fn same_permission_twice() -> Fault {
    invalid("The same permission must not appear multiple times")
}

pub fn group_exists(name: &str, vpc: &str) -> Fault {
    Fault::caller(
        "InvalidGroup.Duplicate",
        format_args!("The security group '{name}' already exists for VPC '{vpc}'"),
    )
}

pub fn default_group_stays(id: &str) -> Fault {
    Fault::caller(
        "CannotDelete",
        format_args!("the specified group: \"{id}\" name: \"default\" cannot be deleted by a user"),
    )
}

/// Neither `a.b.c.d/n` nor anything like it.
pub fn not_a_range(parameter: &str, text: &str) -> Fault {
    invalid(format_args!(
        "Value ({text}) for parameter {parameter} is invalid. This is not a valid CIDR block."
    ))
}

/// A range of a VPC or a subnet that is too large, too small or elsewhere.
pub fn range(kind: Kind, text: &str) -> Fault {
    let code = match kind {
        Kind::Vpc => "InvalidVpc.Range",
        _ => "InvalidSubnet.Range",
    };
    Fault::caller(code, format_args!("The CIDR '{text}' is invalid."))
}

pub fn subnet_conflict(range: impl Display) -> Fault {
    Fault::caller("InvalidSubnet.Conflict", format_args!("The CIDR '{range}' conflicts with another subnet"))
}

pub fn several_attributes() -> Fault {
    combination("Fields for multiple attribute types specified: only one attribute can be changed at a time")
}

pub fn no_attribute() -> Fault {
    combination("No attributes specified.")
}

pub fn unknown_attribute(name: &str) -> Fault {
    invalid(format_args!("Value ({name}) for parameter attribute is invalid. Unknown attribute."))
}

pub fn association_not_found(id: &str) -> Fault {
    Fault::caller("InvalidAssociationID.NotFound", format_args!("The association ID '{id}' does not exist"))
}

pub fn already_associated(message: impl Display) -> Fault {
    Fault::caller("Resource.AlreadyAssociated", message)
}

pub fn not_attached(gateway: &str, vpc: &str) -> Fault {
    Fault::caller("Gateway.NotAttached", format_args!("resource {gateway} is not attached to network {vpc}"))
}

pub fn route_exists(destination: impl Display) -> Fault {
    Fault::caller("RouteAlreadyExists", format_args!("The route identified by {destination} already exists."))
}

pub fn route_not_found(destination: impl Display, table: &str) -> Fault {
    Fault::caller(
        "InvalidRoute.NotFound",
        format_args!("no route with destination-cidr-block {destination} in route table {table}"),
    )
}

pub fn invalid_id(id: &str) -> Fault {
    Fault::caller("InvalidID", format_args!("The ID '{id}' is not valid"))
}

/// A rule's peer that lives in another VPC.
pub fn different_networks() -> Fault {
    Fault::caller(
        "InvalidGroup.NotFound",
        "You have specified two resources that belong to different networks.",
    )
}

/// What only the service that made a resource may do with it.
pub fn not_permitted(id: &str) -> Fault {
    Fault::caller(
        "OperationNotPermitted",
        format_args!("You are not allowed to manage '{id}': it belongs to a service."),
    )
}

pub fn interface_in_use(id: &str) -> Fault {
    invalid(format_args!("Network interface '{id}' is currently in use."))
}

/// What Boxship does not act on, by name.
pub fn refuse(what: &str) -> Fault {
    Fault::caller(
        "UnsupportedOperation",
        format_args!("Boxship does not support '{what}' of Amazon EC2 yet."),
    )
}
