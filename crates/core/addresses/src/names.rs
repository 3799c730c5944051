//! Names and hardware addresses that follow from an interface.

use std::fmt;
use std::net::Ipv4Addr;

use base::{Chance, Region};

/// A hardware address; its text is `0a:1b:2c:3d:4e:5f`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl std::str::FromStr for Mac {
    type Err = MacError;

    fn from_str(text: &str) -> Result<Self, MacError> {
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part = parts.next().filter(|part| part.len() == 2).ok_or(MacError)?;
            *byte = u8::from_str_radix(part, 16).map_err(|_| MacError)?;
        }
        if parts.next().is_some() { Err(MacError) } else { Ok(Mac(bytes)) }
    }
}

/// The text is not six pairs of hexadecimal digits with colons between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MacError;

impl fmt::Display for MacError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a hardware address")
    }
}

impl std::error::Error for MacError {}

/// The hardware address of a network interface, from its id: locally administered, unicast.
/// Interfaces are routed, so two that collide would not meet on a wire.
pub fn mac_of(interface: &str) -> Mac {
    let bits = Chance::new(0).split(interface).next().to_be_bytes();
    Mac([0x0a, bits[0], bits[1], bits[2], bits[3], bits[4]])
}

/// AWS: private names of us-east-1 end in `ec2.internal`, those of any other region in
/// `<region>.compute.internal` (VPC user guide, "Amazon EC2 instance hostnames").
pub fn dns_suffix(region: &Region) -> String {
    match region.as_str() {
        "us-east-1" => String::from("ec2.internal"),
        other => format!("{other}.compute.internal"),
    }
}

/// The private name of an address: `ip-172-31-0-5.ec2.internal`.
pub fn private_dns_name(address: Ipv4Addr, region: &Region) -> String {
    let [a, b, c, d] = address.octets();
    format!("ip-{a}-{b}-{c}-{d}.{}", dns_suffix(region))
}

/// The address that a private name spells, if it is one of `region`. Case does not matter, a
/// final dot neither.
pub fn private_address(name: &str, region: &Region) -> Option<Ipv4Addr> {
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    let (host, suffix) = name.split_once('.')?;
    let dashed = host.strip_prefix("ip-").filter(|_| suffix == dns_suffix(region))?;
    let address: Ipv4Addr = dashed.replace('-', ".").parse().ok()?;
    Some(address)
}
