//! What the resolver says by itself: a pure function of the question.

use std::net::Ipv4Addr;

use base::Region;
use core_addresses::{Cidr, dns_suffix, private_address, private_dns_name};
use hickory_proto::op::{Message, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, PTR};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};

use crate::PLATFORM;

/// How long a client may keep a local answer, in seconds. Tasks come and go.
const TTL_SECONDS: u32 = 10;

/// Names that others give to addresses within a VPC: balancers, service discovery.
pub trait Names: Send + Sync {
    /// The addresses of `name` (lower case, no final dot) as `vpc` sees it. `None`: not a name of
    /// this table; empty: it is, and has no address now.
    fn addresses(&self, vpc: &crate::VpcKey, name: &str) -> Option<Vec<Ipv4Addr>>;
}

/// What to do with a question.
pub enum Verdict {
    Answer(Box<Message>),
    /// Ask the machine's name servers.
    Forward,
}

/// Where the question was asked.
pub struct Place<'a> {
    pub vpc: &'a crate::VpcKey,
    pub region: &'a Region,
    pub cidr: Cidr,
    pub names: &'a dyn Names,
}

/// Answers a question, if it is about a name that is known here.
pub fn answer(question: &Message, place: &Place<'_>) -> Verdict {
    let header = &question.metadata;
    if header.op_code != OpCode::Query {
        return Verdict::Answer(Box::new(refusal(question, ResponseCode::NotImp)));
    }
    let [query] = &question.queries[..] else {
        return Verdict::Answer(Box::new(refusal(question, ResponseCode::FormErr)));
    };
    let name = query.name().to_ascii().to_ascii_lowercase();
    let name = name.trim_end_matches('.');
    if query.query_class() != DNSClass::IN {
        return Verdict::Forward;
    }
    if let Some(address) = reverse_of(name).filter(|address| place.cidr.contains(*address)) {
        return Verdict::Answer(Box::new(pointer(question, query, address, place.region)));
    }
    match addresses_of(name, place) {
        Some(addresses) => Verdict::Answer(Box::new(addressed(question, query, &addresses))),
        None if is_local(name, place.region) => {
            Verdict::Answer(Box::new(refusal(question, ResponseCode::NXDomain)))
        }
        None => Verdict::Forward,
    }
}

fn addresses_of(name: &str, place: &Place<'_>) -> Option<Vec<Ipv4Addr>> {
    if let Some(addresses) = place.names.addresses(place.vpc, name) {
        return Some(addresses);
    }
    if name == "localhost" {
        return Some(vec![Ipv4Addr::LOCALHOST]);
    }
    // Every other name under it is the platform's: registry hosts, endpoints.
    if name.ends_with(".localhost") {
        return Some(vec![PLATFORM]);
    }
    let address = private_address(name, place.region)?;
    place.cidr.contains(address).then(|| vec![address])
}

/// Names that nobody outside can answer for.
fn is_local(name: &str, region: &Region) -> bool {
    let suffix = dns_suffix(region);
    name.strip_suffix(suffix.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// The address that a name under `in-addr.arpa` spells.
fn reverse_of(name: &str) -> Option<Ipv4Addr> {
    let address: Ipv4Addr = name.strip_suffix(".in-addr.arpa")?.parse().ok()?;
    let [d, c, b, a] = address.octets();
    Some(Ipv4Addr::new(a, b, c, d))
}

/// An answer without records, to whatever was asked.
pub fn refusal(question: &Message, code: ResponseCode) -> Message {
    let mut answer = Message::error_msg(question.metadata.id, question.metadata.op_code, code);
    answer.metadata.recursion_desired = question.metadata.recursion_desired;
    answer.metadata.recursion_available = true;
    answer.add_queries(question.queries.iter().cloned());
    answer
}

/// A name of another type exists, without records: "no data", not "no such name".
fn addressed(question: &Message, query: &Query, addresses: &[Ipv4Addr]) -> Message {
    let mut answer = refusal(question, ResponseCode::NoError);
    answer.metadata.authoritative = true;
    if matches!(query.query_type(), RecordType::A | RecordType::ANY) {
        for address in addresses {
            let data = RData::A(A::from(*address));
            answer.add_answer(Record::from_rdata(query.name().clone(), TTL_SECONDS, data));
        }
    }
    answer
}

fn pointer(question: &Message, query: &Query, address: Ipv4Addr, region: &Region) -> Message {
    let mut answer = refusal(question, ResponseCode::NoError);
    answer.metadata.authoritative = true;
    if matches!(query.query_type(), RecordType::PTR | RecordType::ANY) {
        let name = Name::from_ascii(format!("{}.", private_dns_name(address, region)));
        let data = RData::PTR(PTR(name.expect("a private name is a name")));
        answer.add_answer(Record::from_rdata(query.name().clone(), TTL_SECONDS, data));
    }
    answer
}
