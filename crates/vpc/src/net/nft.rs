//! A small encoder for nftables batches: what our few rules need, over NETLINK_NETFILTER, without
//! the `nft` program. All tables are of family `ip`.
//!
//! Invariant: a batch takes effect as a whole or not at all.

use std::io;
use std::net::Ipv4Addr;

use netlink_packet_core::{NLM_F_ACK, NLM_F_APPEND, NLM_F_CREATE, NLM_F_DUMP, NLM_F_REQUEST};
use rustix::io::Errno;
use rustix::net::netlink;

use super::attributes::Attributes;
use super::socket::{Frame, Socket};

const SUBSYSTEM: u16 = 10;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const NEW_TABLE: u16 = 0;
const GET_TABLE: u16 = 1;
const DELETE_TABLE: u16 = 2;
const NEW_CHAIN: u16 = 3;
const GET_CHAIN: u16 = 4;
const NEW_RULE: u16 = 6;
const NEW_SET: u16 = 9;
const NEW_ELEMENT: u16 = 12;
const DELETE_ELEMENT: u16 = 14;
const FAMILY_UNSPEC: u8 = 0;
const FAMILY_IPV4: u8 = 2;
/// The attribute that wraps each entry of a list.
const LIST_ELEMENT: u16 = 1;
/// The one register that our expressions use: each rule loads, then compares.
const REGISTER: u32 = 1;
/// `ipv4_addr` in nft's own numbering, so that `nft list` shows addresses.
const TYPE_IPV4: u32 = 7;
/// Netlink's header and the subsystem's.
const HEADERS: usize = 20;
/// Leaves out the flags in an attribute's kind.
const KIND_MASK: u16 = 0x3fff;
const CT_ESTABLISHED_OR_RELATED: u32 = 0b110;

/// Where a chain sees packets.
#[derive(Debug, Clone, Copy)]
pub enum Hook {
    Forward,
    /// Where source addresses are rewritten.
    SourceNat,
}

/// A base chain; its policy is to accept.
#[derive(Debug, Clone, Copy)]
pub struct Chain<'a> {
    pub name: &'a str,
    pub hook: Hook,
}

/// A step of a rule; a rule goes on while its steps match.
#[derive(Debug, Clone, Copy)]
pub enum Expression<'a> {
    /// The link's name begins with this.
    OutputBegins(&'a str),
    OutputDoesNotBegin(&'a str),
    /// The packet opens a connection, or belongs to none.
    IsNew,
    SourceIn(&'a str),
    SourceNotIn(&'a str),
    Masquerade,
    Drop,
}

/// Changes that take effect together.
pub struct Batch<'a> {
    table: &'a str,
    messages: Vec<(u16, u16, Vec<u8>)>,
}

impl<'a> Batch<'a> {
    /// Changes within one table.
    pub fn new(table: &'a str) -> Self {
        Batch { table, messages: Vec::new() }
    }

    fn message(&mut self, kind: u16, flags: u16, fill: impl FnOnce(&str, &mut Attributes<'_>)) {
        let mut body = Vec::with_capacity(128);
        fill(self.table, &mut Attributes::new(&mut body));
        self.messages.push((kind, flags, body));
    }

    /// Makes the table, empty: one that exists is deleted first.
    pub fn fresh_table(&mut self) {
        // Creating before deleting makes the deletion succeed whether or not it existed.
        for (kind, flags) in [(NEW_TABLE, NLM_F_CREATE), (DELETE_TABLE, 0), (NEW_TABLE, NLM_F_CREATE)] {
            self.message(kind, flags, |table, a| {
                a.text(1, table);
            });
        }
    }

    pub fn delete_table(&mut self) {
        for (kind, flags) in [(NEW_TABLE, NLM_F_CREATE), (DELETE_TABLE, 0)] {
            self.message(kind, flags, |table, a| {
                a.text(1, table);
            });
        }
    }

    pub fn chain(&mut self, chain: Chain<'_>) {
        let (kind, hook, priority) = match chain.hook {
            Hook::Forward => ("filter", 2, 0),
            Hook::SourceNat => ("nat", 4, 100),
        };
        self.message(NEW_CHAIN, NLM_F_CREATE, |table, a| {
            a.text(1, table).text(3, chain.name).text(7, kind);
            a.nest(4, |a| {
                a.number(1, hook).number(2, priority);
            });
        });
    }

    /// A set of addresses.
    pub fn set(&mut self, name: &str) {
        self.message(NEW_SET, NLM_F_CREATE, |table, a| {
            a.text(1, table).text(2, name).number(3, 0).number(4, TYPE_IPV4).number(5, 4).number(10, 1);
        });
    }

    pub fn add_address(&mut self, set: &str, address: Ipv4Addr) {
        self.element(NEW_ELEMENT, NLM_F_CREATE, set, address);
    }

    /// Fails as a whole when the address is not in the set.
    pub fn remove_address(&mut self, set: &str, address: Ipv4Addr) {
        self.element(DELETE_ELEMENT, 0, set, address);
    }

    fn element(&mut self, kind: u16, flags: u16, set: &str, address: Ipv4Addr) {
        self.message(kind, flags, |table, a| {
            a.text(1, table).text(2, set);
            a.nest(3, |a| {
                a.nest(LIST_ELEMENT, |a| {
                    a.nest(1, |a| {
                        a.raw(1, &address.octets());
                    });
                });
            });
        });
    }

    pub fn rule(&mut self, chain: &str, expressions: &[Expression<'_>]) {
        self.message(NEW_RULE, NLM_F_CREATE | NLM_F_APPEND, |table, a| {
            a.text(1, table).text(2, chain);
            a.nest(4, |a| expressions.iter().for_each(|expression| write(*expression, a)));
        });
    }
}

fn step(a: &mut Attributes<'_>, name: &str, fill: impl FnOnce(&mut Attributes<'_>)) {
    a.nest(LIST_ELEMENT, |a| {
        a.text(1, name).nest(2, fill);
    });
}

fn write(expression: Expression<'_>, a: &mut Attributes<'_>) {
    const OUTPUT_NAME: u32 = 7;
    match expression {
        Expression::OutputBegins(text) => link_name(a, OUTPUT_NAME, true, text),
        Expression::OutputDoesNotBegin(text) => link_name(a, OUTPUT_NAME, false, text),
        Expression::IsNew => is_new(a),
        Expression::SourceIn(set) => source(a, set, true),
        Expression::SourceNotIn(set) => source(a, set, false),
        Expression::Masquerade => step(a, "masq", |_| {}),
        Expression::Drop => step(a, "immediate", |a| {
            a.number(1, 0).nest(2, |a| {
                a.nest(2, |a| {
                    a.number(1, 0);
                });
            });
        }),
    }
}

fn compare(a: &mut Attributes<'_>, is_equal: bool, value: &[u8]) {
    step(a, "cmp", |a| {
        a.number(1, REGISTER).number(2, u32::from(!is_equal)).nest(3, |a| {
            a.raw(1, value);
        });
    });
}

/// Comparing only as many bytes as the text has makes it a prefix.
fn link_name(a: &mut Attributes<'_>, key: u32, is_equal: bool, text: &str) {
    step(a, "meta", |a| {
        a.number(1, REGISTER).number(2, key);
    });
    compare(a, is_equal, text.as_bytes());
}

fn is_new(a: &mut Attributes<'_>) {
    step(a, "ct", |a| {
        a.number(1, REGISTER).number(2, 0);
    });
    step(a, "bitwise", |a| {
        a.number(1, REGISTER).number(2, REGISTER).number(3, 4);
        a.nest(4, |a| {
            a.raw(1, &CT_ESTABLISHED_OR_RELATED.to_ne_bytes());
        });
        a.nest(5, |a| {
            a.raw(1, &[0; 4]);
        });
    });
    compare(a, true, &[0; 4]);
}

fn source(a: &mut Attributes<'_>, set: &str, is_in: bool) {
    const NETWORK_HEADER: u32 = 1;
    const SOURCE_OFFSET: u32 = 12;
    step(a, "payload", |a| {
        a.number(1, REGISTER).number(2, NETWORK_HEADER).number(3, SOURCE_OFFSET).number(4, 4);
    });
    step(a, "lookup", |a| {
        a.text(1, set).number(2, REGISTER).number(5, u32::from(!is_in));
    });
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
        let first = self.socket.sequence(count + 2);
        let mut bytes = Vec::with_capacity(4096);
        frame(&mut bytes, BATCH_BEGIN, NLM_F_REQUEST, first, FAMILY_UNSPEC, SUBSYSTEM, &[]);
        for (sequence, (kind, flags, body)) in (first + 1..).zip(&batch.messages) {
            let kind = (SUBSYSTEM << 8) | kind;
            frame(&mut bytes, kind, NLM_F_REQUEST | NLM_F_ACK | flags, sequence, FAMILY_IPV4, 0, body);
        }
        let last = first + count;
        frame(&mut bytes, BATCH_END, NLM_F_REQUEST, last + 1, FAMILY_UNSPEC, SUBSYSTEM, &[]);
        self.socket.send(&bytes)?;
        let mut failure = None;
        let mut missing = count;
        while missing > 0 {
            self.socket.receive(|sequence, frame| {
                if let Frame::Refused(code) = frame {
                    failure.get_or_insert_with(|| io::Error::from_raw_os_error(code));
                }
                match frame {
                    // A refusal of the batch itself is the only answer to it.
                    Frame::Refused(_) if !(first + 1..=last).contains(&sequence) => missing = 0,
                    Frame::Done | Frame::Refused(_) => missing = missing.saturating_sub(1),
                    Frame::Message(_) => {}
                }
                Ok(())
            })?;
        }
        failure.map_or(Ok(()), Err)
    }

    /// The names of all tables of family `ip`.
    pub fn tables(&mut self) -> io::Result<Vec<String>> {
        let found = self.dump(GET_TABLE, |message| text_of(message, 1))?;
        Ok(found.into_iter().flatten().collect())
    }

    /// `table chain` of every chain that drops forwarded IPv4 packets unless one of its rules lets
    /// them pass, as Docker's does.
    pub fn dropping_forward_chains(&mut self) -> io::Result<Vec<String>> {
        const FORWARD_HOOK: [u8; 4] = 2_u32.to_be_bytes();
        const DROP_POLICY: [u8; 4] = 0_u32.to_be_bytes();
        let found = self.dump(GET_CHAIN, |message| {
            let hook = attribute(message, 4).and_then(|hook| attribute(hook, 1));
            let drops = hook == Some(&FORWARD_HOOK) && attribute(message, 5) == Some(&DROP_POLICY);
            drops.then(|| Some(format!("{} {}", text_of(message, 1)?, text_of(message, 3)?))).flatten()
        })?;
        Ok(found.into_iter().flatten().collect())
    }

    /// Asks for everything of a kind; `read` gets the attributes of each.
    fn dump<T>(&mut self, kind: u16, read: impl Fn(&[u8]) -> T) -> io::Result<Vec<T>> {
        let sequence = self.socket.sequence(1);
        let mut bytes = Vec::new();
        let kind = (SUBSYSTEM << 8) | kind;
        frame(&mut bytes, kind, NLM_F_REQUEST | NLM_F_DUMP, sequence, FAMILY_IPV4, 0, &[]);
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

/// The value of the first attribute of a kind.
fn attribute(mut bytes: &[u8], kind: u16) -> Option<&[u8]> {
    while let [a, b, c, d, ..] = *bytes {
        let length = usize::from(u16::from_ne_bytes([a, b]));
        if length < 4 {
            return None;
        }
        if u16::from_ne_bytes([c, d]) & KIND_MASK == kind {
            return bytes.get(4..length);
        }
        bytes = bytes.get(length.next_multiple_of(4)..)?;
    }
    None
}

fn text_of(bytes: &[u8], kind: u16) -> Option<String> {
    let value = attribute(bytes, kind)?;
    Some(String::from_utf8_lossy(value).trim_end_matches('\0').to_owned())
}

fn frame(bytes: &mut Vec<u8>, kind: u16, flags: u16, sequence: u32, family: u8, resource: u16, body: &[u8]) {
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
    use super::{attribute, text_of};
    use crate::net::attributes::Attributes;

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
            add chain ip open FORWARD { type filter hook forward priority 0; policy accept; }";
        let found = crate::apart::run(|| {
            let made = std::process::Command::new("nft").arg(rules).status().ok()?;
            assert!(made.success());
            Some(super::Nft::open().and_then(|mut nft| nft.dropping_forward_chains()).unwrap())
        });
        if let Ok(Some(found)) = found {
            assert_eq!(found, ["filter FORWARD"]);
        }
    }
}
