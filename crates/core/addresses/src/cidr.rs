//! An IPv4 range.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A range of addresses with a common prefix, `172.31.0.0/20`.
/// Invariant: the bits after the prefix are zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cidr {
    base: Ipv4Addr,
    prefix: u8,
}

/// The text is not an IPv4 range in canonical form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CidrError {
    /// Not `a.b.c.d/n` with n from 0 to 32.
    Malformed,
    /// Bits after the prefix are set, as in `10.0.0.1/16`.
    HostBits,
}

impl fmt::Display for CidrError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CidrError::Malformed => "not an IPv4 range",
            CidrError::HostBits => "bits after the prefix are set",
        })
    }
}

impl std::error::Error for CidrError {}

impl Cidr {
    /// The range of `address` with `prefix` bits; bits after the prefix are cleared.
    /// A prefix above 32 counts as 32.
    pub const fn new(address: Ipv4Addr, prefix: u8) -> Self {
        let prefix = if prefix > 32 { 32 } else { prefix };
        let base = Ipv4Addr::from_bits(address.to_bits() & mask(prefix));
        Cidr { base, prefix }
    }

    /// Reads a range of which bits after the prefix may be set, and clears them:
    /// `100.68.0.18/18` is `100.68.0.0/18`.
    ///
    /// # Errors
    /// When the text is not `a.b.c.d/n`.
    pub fn canonical(text: &str) -> Result<Self, CidrError> {
        let (address, prefix) = parts(text)?;
        Ok(Cidr::new(address, prefix))
    }

    /// The first address.
    pub const fn base(self) -> Ipv4Addr {
        self.base
    }

    /// How many leading bits are fixed, 0 to 32.
    pub const fn prefix(self) -> u8 {
        self.prefix
    }

    /// How many addresses it has, the reserved ones included.
    pub const fn size(self) -> u64 {
        1 << (32 - self.prefix)
    }

    pub const fn contains(self, address: Ipv4Addr) -> bool {
        address.to_bits() & mask(self.prefix) == self.base.to_bits()
    }

    /// Whether every address of `other` lies in it.
    pub const fn covers(self, other: Cidr) -> bool {
        self.prefix <= other.prefix && self.contains(other.base)
    }

    /// Whether the two share an address. Ranges nest or are apart, nothing else.
    pub const fn overlaps(self, other: Cidr) -> bool {
        self.covers(other) || other.covers(self)
    }

    /// The address `index` places after the first, if it lies in the range.
    pub fn nth(self, index: u64) -> Option<Ipv4Addr> {
        let offset = u32::try_from(index).ok()?;
        (index < self.size()).then(|| Ipv4Addr::from_bits(self.base.to_bits() + offset))
    }

    /// Every address in order.
    pub fn hosts(self) -> impl Iterator<Item = Ipv4Addr> {
        (0..self.size()).filter_map(move |index| self.nth(index))
    }
}

const fn mask(prefix: u8) -> u32 {
    if prefix == 0 { 0 } else { u32::MAX << (32 - prefix) }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.prefix)
    }
}

impl FromStr for Cidr {
    type Err = CidrError;

    fn from_str(text: &str) -> Result<Self, CidrError> {
        let (address, prefix) = parts(text)?;
        let range = Cidr::new(address, prefix);
        if range.base == address { Ok(range) } else { Err(CidrError::HostBits) }
    }
}

fn parts(text: &str) -> Result<(Ipv4Addr, u8), CidrError> {
    let (address, prefix) = text.split_once('/').ok_or(CidrError::Malformed)?;
    let address: Ipv4Addr = address.parse().map_err(|_| CidrError::Malformed)?;
    let is_number = matches!(prefix.len(), 1..=2)
        && prefix.bytes().all(|b| b.is_ascii_digit())
        && !(prefix.len() == 2 && prefix.starts_with('0'));
    let prefix = prefix.parse::<u8>().ok().filter(|n| is_number && *n <= 32).ok_or(CidrError::Malformed)?;
    Ok((address, prefix))
}

/// As its text.
impl Serialize for Cidr {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Cidr {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
