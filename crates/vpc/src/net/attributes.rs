//! Netlink attributes, written by hand: length, kind, value, padded to four bytes.

const NESTED: u16 = 0x8000;
/// Leaves out the flags in an attribute's kind.
const KIND_MASK: u16 = 0x3fff;

/// Appends attributes to a message.
pub struct Attributes<'a> {
    bytes: &'a mut Vec<u8>,
}

impl<'a> Attributes<'a> {
    pub fn new(bytes: &'a mut Vec<u8>) -> Self {
        Attributes { bytes }
    }

    pub fn raw(&mut self, kind: u16, value: &[u8]) -> &mut Self {
        let length = u16::try_from(value.len() + 4).expect("our attributes are short");
        self.bytes.extend_from_slice(&length.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(value);
        self.pad();
        self
    }

    /// A string with its final zero.
    pub fn text(&mut self, kind: u16, value: &str) -> &mut Self {
        let mut zeroed = value.as_bytes().to_vec();
        zeroed.push(0);
        self.raw(kind, &zeroed)
    }

    /// A number in network order, as nftables has them.
    pub fn number(&mut self, kind: u16, value: u32) -> &mut Self {
        self.raw(kind, &value.to_be_bytes())
    }

    pub fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Attributes<'_>)) -> &mut Self {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        fill(&mut Attributes { bytes: self.bytes });
        let length = u16::try_from(self.bytes.len() - start).expect("our attributes are short");
        self.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        self.bytes[start + 2..start + 4].copy_from_slice(&(kind | NESTED).to_ne_bytes());
        self
    }

    /// Attributes that somebody else has written.
    pub fn copy(&mut self, attributes: &[u8]) {
        self.bytes.extend_from_slice(attributes);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

/// Every attribute with its kind, in order; what is cut ends them.
pub fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let [a, b, c, d, ..] = *bytes else { return None };
        let length = usize::from(u16::from_ne_bytes([a, b]));
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((u16::from_ne_bytes([c, d]) & KIND_MASK, value))
    })
}

/// The value of the first attribute of a kind.
pub fn attribute(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(bytes).find(|(found, _)| *found == kind).map(|(_, value)| value)
}
