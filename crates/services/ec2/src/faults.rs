//! Every error that EC2 answers here, with AWS's texts (EC2 API reference, "Error codes").

use std::fmt::Display;

use base::Fault;

/// AWS: the answer to a request that asked only whether it may. Status 412.
pub fn dry_run() -> Fault {
    Fault::caller("DryRunOperation", "Request would have succeeded, but DryRun flag is set.").with_status(412)
}

/// What kind of thing an id names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    Vpc,
    Subnet,
    SecurityGroup,
    NetworkInterface,
    RouteTable,
    InternetGateway,
}

impl Resource {
    /// What its ids begin with.
    pub fn prefix(self) -> &'static str {
        match self {
            Resource::Vpc => "vpc-",
            Resource::Subnet => "subnet-",
            Resource::SecurityGroup => "sg-",
            Resource::NetworkInterface => "eni-",
            Resource::RouteTable => "rtb-",
            Resource::InternetGateway => "igw-",
        }
    }
}

/// AWS: several missing ids are named together.
pub fn not_found(resource: Resource, ids: &[&str]) -> Fault {
    let (code, one, many) = match resource {
        Resource::Vpc => ("InvalidVpcID.NotFound", "vpc ID", "vpc IDs"),
        Resource::Subnet => ("InvalidSubnetID.NotFound", "subnet ID", "subnet IDs"),
        Resource::SecurityGroup => ("InvalidGroup.NotFound", "security group", "security groups"),
        Resource::NetworkInterface => {
            ("InvalidNetworkInterfaceID.NotFound", "networkInterface ID", "networkInterface IDs")
        }
        Resource::RouteTable => ("InvalidRouteTableID.NotFound", "routeTable ID", "routeTable IDs"),
        Resource::InternetGateway => {
            ("InvalidInternetGatewayID.NotFound", "internetGateway ID", "internetGateway IDs")
        }
    };
    let list = ids.join(", ");
    match ids.len() {
        1 => Fault::caller(code, format_args!("The {one} '{list}' does not exist")),
        _ => Fault::caller(code, format_args!("The {many} '{list}' do not exist")),
    }
}

/// An id that no resource of the kind could have.
pub fn malformed(resource: Resource, id: &str) -> Fault {
    let code = match resource {
        Resource::Vpc => "InvalidVpcID.Malformed",
        Resource::Subnet => "InvalidSubnetID.Malformed",
        Resource::SecurityGroup => "InvalidGroupId.Malformed",
        Resource::NetworkInterface => "InvalidNetworkInterfaceId.Malformed",
        Resource::RouteTable => "InvalidRouteTableId.Malformed",
        Resource::InternetGateway => "InvalidInternetGatewayId.Malformed",
    };
    let prefix = resource.prefix();
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

pub fn token_reused() -> Fault {
    Fault::caller(
        "IdempotentParameterMismatch",
        "The request uses the same client token as a previous, but non-identical request.",
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
