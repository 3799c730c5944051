//! A small encoder for nftables batches: what our few rules need, over NETLINK_NETFILTER, without
//! the `nft` program. All tables are of family `ip`.
//!
//! Invariant: a batch takes effect as a whole or not at all.

mod batch;
mod expression;
mod sets;

use std::io;

use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST};
use rustix::io::Errno;
use rustix::net::netlink;

pub use batch::{Batch, Chain, Hook, Target, Way};
pub use expression::{Expression, Side, Transport};
pub use sets::{Element, Keyed, NamedSet};

use super::attributes::{Attributes, attribute, attributes};
use super::socket::{Frame, Socket};

const SUBSYSTEM: u16 = 10;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const NEW_TABLE: u16 = 0;
const GET_TABLE: u16 = 1;
const DELETE_TABLE: u16 = 2;
const NEW_CHAIN: u16 = 3;
const GET_CHAIN: u16 = 4;
const DELETE_CHAIN: u16 = 5;
const NEW_RULE: u16 = 6;
const GET_RULE: u16 = 7;
const DELETE_RULE: u16 = 8;
const NEW_SET: u16 = 9;
const GET_SET: u16 = 10;
const DELETE_SET: u16 = 11;
const NEW_ELEMENT: u16 = 12;
const GET_ELEMENT: u16 = 13;
const DELETE_ELEMENT: u16 = 14;
const FAMILY_UNSPEC: u8 = 0;
const FAMILY_INET: u8 = 1;
pub(super) const FAMILY_IPV4: u8 = 2;
/// The attribute that wraps each entry of a list.
const LIST_ELEMENT: u16 = 1;
/// Netlink's header and the subsystem's.
pub(super) const HEADERS: usize = 20;

/// A chain that is not ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignChain {
    /// `ip` or `inet`.
    pub family: &'static str,
    pub table: String,
    pub name: String,
}

/// A packet filter socket of one network namespace.
pub struct Nft {
    socket: Socket,
}

impl Nft {
    /// Opens it in the calling thread's namespace.
    pub fn open() -> io::Result<Self> {
        Ok(Nft { socket: Socket::open(Some(netlink::NETFILTER))? })
    }

    /// Commits the batch and waits for the kernel's verdict.
    pub fn commit(&mut self, batch: Batch<'_>) -> io::Result<()> {
        let count = batch.messages.len() as u32;
        if count == 0 {
            return Ok(());
        }
        let first = self.socket.sequence(count + 2);
        let last = first + count;
        let mut bytes = Vec::with_capacity(4096);
        frame(&mut bytes, BATCH_BEGIN, NLM_F_REQUEST, first, FAMILY_UNSPEC, SUBSYSTEM, &[]);
        for (sequence, (kind, flags, body)) in (first + 1..).zip(&batch.messages) {
            let kind = (SUBSYSTEM << 8) | kind;
            // Refusals come unasked. One word for all that succeeds: the buffer for answers is small.
            let asked = if sequence == last { NLM_F_ACK } else { 0 };
            frame(&mut bytes, kind, NLM_F_REQUEST | asked | flags, sequence, FAMILY_IPV4, 0, body);
        }
        frame(&mut bytes, BATCH_END, NLM_F_REQUEST, last + 1, FAMILY_UNSPEC, SUBSYSTEM, &[]);
        self.socket.send_all(&bytes)?;
        let mut failure = None;
        let mut is_open = true;
        while is_open {
            self.socket.receive(|sequence, frame| {
                if !(first..=last).contains(&sequence) {
                    return Ok(());
                }
                if let Frame::Refused(code) = frame {
                    failure.get_or_insert_with(|| io::Error::from_raw_os_error(code));
                }
                // A refusal of the batch itself, which has its first number, is the only answer to it.
                is_open &= sequence != first && sequence != last;
                Ok(())
            })?;
        }
        failure.map_or(Ok(()), Err)
    }

    /// The names of all tables of family `ip`.
    pub fn tables(&mut self) -> io::Result<Vec<String>> {
        let found = self.dump(GET_TABLE, &[], |message| text_of(message, 1))?;
        Ok(found.into_iter().flatten().collect())
    }

    /// Every chain that drops forwarded IPv4 packets unless one of its rules lets them pass, as
    /// Docker's does.
    pub fn dropping_forward_chains(&mut self) -> io::Result<Vec<ForeignChain>> {
        const FORWARD_HOOK: [u8; 4] = 2_u32.to_be_bytes();
        const DROP_POLICY: [u8; 4] = 0_u32.to_be_bytes();
        let mut found = Vec::new();
        for (number, family) in [(FAMILY_IPV4, "ip"), (FAMILY_INET, "inet")] {
            let chains = self.dump_of(number, GET_CHAIN, &[], |message| {
                let hook = attribute(message, 4).and_then(|hook| attribute(hook, 1));
                let drops = hook == Some(&FORWARD_HOOK) && attribute(message, 5) == Some(&DROP_POLICY);
                let (table, name) = (text_of(message, 1)?, text_of(message, 3)?);
                drops.then_some(ForeignChain { family, table, name })
            })?;
            found.extend(chains.into_iter().flatten());
        }
        Ok(found)
    }

    /// Whether a rule of a chain's table names links that begin so.
    pub fn mentions(&mut self, chain: &ForeignChain, link: &str) -> io::Result<bool> {
        let number = if chain.family == "inet" { FAMILY_INET } else { FAMILY_IPV4 };
        let mut body = Vec::new();
        Attributes::new(&mut body).text(1, &chain.table);
        let rules = self.dump_of(number, GET_RULE, &body, |message| {
            message.windows(link.len()).any(|bytes| bytes == link.as_bytes())
        })?;
        Ok(rules.contains(&true))
    }

    /// Whether a table of family `ip` has a chain of this name.
    pub fn has_chain(&mut self, table: &str, name: &str) -> io::Result<bool> {
        let found = self.dump(GET_CHAIN, &[], |message| {
            text_of(message, 1).as_deref() == Some(table) && text_of(message, 3).as_deref() == Some(name)
        })?;
        Ok(found.contains(&true))
    }

    /// Every entry of a map of ports; none if there is no such map.
    pub fn targets(&mut self, table: &str, map: &str) -> io::Result<Vec<(u16, Target)>> {
        let mut body = Vec::new();
        Attributes::new(&mut body).text(1, table).text(2, map);
        let found = self.dump(GET_ELEMENT, &body, |message| {
            attributes(attribute(message, 3).unwrap_or_default())
                .filter_map(|(_, element)| {
                    let key = attribute(attribute(element, 1)?, 1)?;
                    let target = Target::read(attribute(attribute(element, 2)?, 1)?)?;
                    Some((u16::from_be_bytes([*key.first()?, *key.get(1)?]), target))
                })
                .collect::<Vec<_>>()
        });
        match found {
            Ok(found) => Ok(found.into_iter().flatten().collect()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// The names of a table's sets and maps, those of single rules left out.
    pub fn sets(&mut self, table: &str) -> io::Result<Vec<String>> {
        let mut body = Vec::new();
        Attributes::new(&mut body).text(1, table);
        let found = self.dump(GET_SET, &body, |message| text_of(message, 2))?;
        Ok(found.into_iter().flatten().filter(|name| !name.starts_with("__")).collect())
    }

    /// Every element of a set or map: its key, and the value that a map has for it (nothing for
    /// verdicts).
    pub fn elements(&mut self, table: &str, set: &str) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let mut body = Vec::new();
        Attributes::new(&mut body).text(1, table).text(2, set);
        let found = self.dump(GET_ELEMENT, &body, |message| {
            let all = attributes(attribute(message, 3).unwrap_or_default());
            all.filter_map(|(_, element)| {
                let key = attribute(attribute(element, 1)?, 1)?.to_vec();
                let value = attribute(element, 2).and_then(|value| attribute(value, 1)).unwrap_or_default();
                Some((key, value.to_vec()))
            })
            .collect::<Vec<_>>()
        })?;
        Ok(found.into_iter().flatten().collect())
    }

    fn dump<T>(&mut self, kind: u16, body: &[u8], read: impl Fn(&[u8]) -> T) -> io::Result<Vec<T>> {
        self.dump_of(FAMILY_IPV4, kind, body, read)
    }

    /// Asks for everything of a kind; `read` gets the attributes of each message.
    fn dump_of<T>(
        &mut self,
        family: u8,
        kind: u16,
        body: &[u8],
        read: impl Fn(&[u8]) -> T,
    ) -> io::Result<Vec<T>> {
        let sequence = self.socket.sequence(1);
        let mut bytes = Vec::new();
        let kind = (SUBSYSTEM << 8) | kind;
        frame(&mut bytes, kind, NLM_F_REQUEST | NLM_F_DUMP, sequence, family, 0, body);
        self.socket.send(&bytes)?;
        let mut found = Vec::new();
        let mut is_open = true;
        while is_open {
            self.socket.receive(|of, frame| {
                match frame {
                    _ if of != sequence => {}
                    Frame::Done => is_open = false,
                    Frame::Refused(code) => return Err(Errno::from_raw_os_error(code).into()),
                    Frame::Message(message) => found.push(read(message.get(HEADERS..).unwrap_or_default())),
                }
                Ok(())
            })?;
        }
        Ok(found)
    }
}

fn text_of(bytes: &[u8], kind: u16) -> Option<String> {
    let value = attribute(bytes, kind)?;
    Some(String::from_utf8_lossy(value).trim_end_matches('\0').to_owned())
}

/// Appends a message to a subsystem of the packet filter.
pub(super) fn frame(
    bytes: &mut Vec<u8>,
    kind: u16,
    flags: u16,
    sequence: u32,
    family: u8,
    resource: u16,
    body: &[u8],
) {
    let length = (20 + body.len()) as u32;
    bytes.extend_from_slice(&length.to_ne_bytes());
    bytes.extend_from_slice(&kind.to_ne_bytes());
    bytes.extend_from_slice(&flags.to_ne_bytes());
    bytes.extend_from_slice(&sequence.to_ne_bytes());
    bytes.extend_from_slice(&0_u32.to_ne_bytes());
    bytes.extend_from_slice(&[family, 0]);
    bytes.extend_from_slice(&resource.to_be_bytes());
    bytes.extend_from_slice(body);
}

#[cfg(test)]
mod tests {
    use super::text_of;
    use crate::net::attributes::{Attributes, attribute};

    #[test]
    fn attributes_are_read_as_they_are_written() {
        let mut bytes = Vec::new();
        Attributes::new(&mut bytes).text(1, "filter").number(5, 7).nest(4, |a| {
            a.number(2, 0).number(1, 2);
        });
        assert_eq!(text_of(&bytes, 1).as_deref(), Some("filter"));
        assert_eq!(attribute(&bytes, 5), Some(&[0, 0, 0, 7][..]));
        assert_eq!(attribute(attribute(&bytes, 4).unwrap(), 1), Some(&[0, 0, 0, 2][..]));
        assert_eq!(attribute(&bytes, 9), None);
        for end in 0..bytes.len() {
            // A cut message ends the search; it is no reason to panic.
            let _ = (attribute(&bytes[..end], 4), text_of(&bytes[..end], 1));
        }
        assert_eq!(attribute(&[3, 0, 1, 0], 9), None);
    }

    /// Docker's, and any other firewall's that lets nothing pass unasked. Without root or `nft`
    /// there is nothing to look at.
    #[test]
    fn a_firewall_that_drops_forwarded_packets_is_found() {
        let rules = "add table ip filter
            add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }
            add chain ip filter INPUT { type filter hook input priority 0; policy drop; }
            add table ip open
            add table inet wall
            add chain inet wall pass { type filter hook forward priority 0; policy drop; }
            add chain ip open FORWARD { type filter hook forward priority 0; policy accept; }";
        let found = crate::apart::run(|| {
            let made = std::process::Command::new("nft").arg(rules).status().ok()?;
            assert!(made.success());
            Some(super::Nft::open().and_then(|mut nft| nft.dropping_forward_chains()).unwrap())
        });
        if let Ok(Some(found)) = found {
            let names: Vec<_> =
                found.iter().map(|one| [one.family, &one.table, &one.name].join(" ")).collect();
            assert_eq!(names, ["ip filter FORWARD", "inet wall pass"]);
        }
    }
}
