//! Addresses within one subnet.

use std::net::Ipv4Addr;

use crate::Cidr;

/// AWS: network, gateway, resolver and one for later use (VPC user guide, "Subnet CIDR blocks").
const RESERVED_FIRST: u64 = 4;
/// AWS: the broadcast address.
const RESERVED_LAST: u64 = 1;

/// How many addresses interfaces can have in an empty subnet.
pub const fn capacity(subnet: Cidr) -> u64 {
    subnet.size().saturating_sub(RESERVED_FIRST + RESERVED_LAST)
}

/// Whether an interface may have the address.
pub fn is_assignable(subnet: Cidr, address: Ipv4Addr) -> bool {
    let offset = u64::from(address.to_bits().wrapping_sub(subnet.base().to_bits()));
    subnet.contains(address) && offset >= RESERVED_FIRST && offset + RESERVED_LAST < subnet.size()
}

/// The first free address at or after the `start`th assignable one, from the front again when the
/// end is reached; `None` when the subnet is full. `start` may be any number.
pub fn next_free(subnet: Cidr, start: u64, is_used: impl Fn(Ipv4Addr) -> bool) -> Option<Ipv4Addr> {
    let capacity = capacity(subnet);
    (0..capacity)
        .filter_map(|step| subnet.nth(RESERVED_FIRST + (start % capacity + step) % capacity))
        .find(|address| !is_used(*address))
}

/// The subnet's router: its second address. A range of one address has only that one.
pub fn gateway_of(subnet: Cidr) -> Ipv4Addr {
    subnet.nth(1).unwrap_or(subnet.base())
}

/// AWS: the resolver of a VPC answers at its base plus two.
pub fn resolver_of(vpc: Cidr) -> Ipv4Addr {
    vpc.nth(2).unwrap_or(vpc.base())
}
