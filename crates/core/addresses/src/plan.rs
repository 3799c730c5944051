//! The default VPC of every account and region.

use std::net::Ipv4Addr;

use crate::Cidr;

/// AWS: the range of every default VPC (VPC user guide, "Default VPC components").
pub const DEFAULT_VPC: Cidr = Cidr::new(Ipv4Addr::new(172, 31, 0, 0), 16);

/// AWS: one /20 per zone, in the order of the zones a, b, c.
pub const DEFAULT_SUBNETS: [Cidr; 3] = [
    Cidr::new(Ipv4Addr::new(172, 31, 0, 0), 20),
    Cidr::new(Ipv4Addr::new(172, 31, 16, 0), 20),
    Cidr::new(Ipv4Addr::new(172, 31, 32, 0), 20),
];
