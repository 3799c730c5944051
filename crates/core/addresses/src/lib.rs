//! Which address, MAC and host name comes next: pure arithmetic over IPv4 ranges.
//!
//! Owns the plan of a default VPC and the reserved addresses of a subnet.
//! Invariant: an address that [`next_free`] gives lies in its subnet, is not reserved and not in use.
//! Knows neither records nor kernels, and no IPv6: subnets here have none yet.

mod cidr;
mod names;
mod plan;
mod subnet;

pub use cidr::{Cidr, CidrError};
pub use names::{Mac, MacError, dns_suffix, mac_of, private_address, private_dns_name};
pub use plan::{DEFAULT_SUBNETS, DEFAULT_VPC};
pub use subnet::{capacity, gateway_of, is_assignable, next_free, resolver_of};
