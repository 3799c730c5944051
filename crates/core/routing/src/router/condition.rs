//! A rule's conditions, compiled.

use std::cell::Cell;
use std::net::IpAddr;

use super::RouterError;
use super::text::{Case, Text};
use crate::request::{RequestView, without_port};
use crate::table::{Condition, Pattern, QueryPair};

#[derive(Debug, Clone)]
pub(crate) enum Test {
    Host(Box<[Text]>),
    Path(Box<[Text]>),
    Header {
        name: Box<str>,
        /// Among the names that the listener's rules ask for.
        number: u32,
        values: Box<[Text]>,
    },
    Method(Box<[Box<[u8]>]>),
    Query(Box<[Pair]>),
    Source(Box<[Range]>),
}

#[derive(Debug, Clone)]
pub(crate) struct Pair {
    key: Option<Text>,
    value: Text,
}

/// Addresses by their first and last.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Range {
    first: IpAddr,
    last: IpAddr,
}

/// A request with what is made once for all rules.
pub(crate) struct Prepared<'a> {
    pub(crate) request: &'a RequestView<'a>,
    /// In lower case, without port.
    pub(crate) host: &'a [u8],
    /// Headers that are known not to have come, by their names' numbers: many rules ask for one.
    pub(crate) missing: Cell<u64>,
}

impl Test {
    /// `names`: of headers that rules ask for, each at its number.
    pub(crate) fn compile(condition: &Condition, names: &mut Vec<String>) -> Result<Test, RouterError> {
        let texts = |patterns: &[Pattern], case| -> Result<Box<[Text]>, RouterError> {
            patterns.iter().map(|pattern| Text::compile(pattern, case)).collect()
        };
        Ok(match condition {
            Condition::Host(patterns) => Test::Host(texts(patterns, Case::Ignored)?),
            Condition::Path(patterns) => Test::Path(texts(patterns, Case::Matters)?),
            Condition::Header { name, values } => {
                let known = names.iter().position(|known| known.eq_ignore_ascii_case(name));
                let number = known.unwrap_or(names.len()) as u32;
                if known.is_none() {
                    names.push(name.clone());
                }
                Test::Header { name: name.as_str().into(), number, values: texts(values, Case::Ignored)? }
            }
            Condition::Method(methods) => {
                Test::Method(methods.iter().map(|method| method.as_bytes().into()).collect())
            }
            Condition::Query(pairs) => {
                let pair = |pair: &QueryPair| Pair {
                    key: pair.key.as_ref().map(|key| Text::wildcard(key, Case::Ignored)),
                    value: Text::wildcard(&pair.value, Case::Ignored),
                };
                Test::Query(pairs.iter().map(pair).collect())
            }
            Condition::SourceIp(ranges) => {
                Test::Source(ranges.iter().map(|text| Range::parse(text)).collect::<Result<_, _>>()?)
            }
        })
    }

    pub(crate) fn fits(&self, prepared: &Prepared<'_>) -> bool {
        let request = prepared.request;
        match self {
            // The host is in lower case already.
            Test::Host(texts) => texts.iter().any(|text| text.fits(prepared.host, Case::Matters)),
            Test::Path(texts) => texts.iter().any(|text| text.fits(request.path, Case::Matters)),
            Test::Header { name, number, values } => prepared.header(name, *number, values),
            Test::Method(methods) => methods.iter().any(|method| **method == *request.method),
            Test::Query(pairs) => pairs.iter().any(|pair| pair.fits(request.query)),
            Test::Source(ranges) => ranges.iter().any(|range| range.has(request.source)),
        }
    }
}

impl Prepared<'_> {
    fn header(&self, name: &str, number: u32, values: &[Text]) -> bool {
        let bit = 1_u64.checked_shl(number).unwrap_or(0);
        if self.missing.get() & bit != 0 {
            return false;
        }
        let fits = |value: &[u8]| values.iter().any(|text| text.fits(value, Case::Ignored));
        if name.eq_ignore_ascii_case("host") {
            return !self.request.host.is_empty() && fits(self.request.host);
        }
        let mut has_come = false;
        let is_fit = self.request.headers.any(name, &mut |value| {
            has_come = true;
            fits(value)
        });
        if !has_come {
            self.missing.set(self.missing.get() | bit);
        }
        is_fit
    }
}

impl Pair {
    fn fits(&self, query: &[u8]) -> bool {
        !query.is_empty()
            && query.split(|byte| *byte == b'&').any(|part| {
                let (key, value) = match part.iter().position(|byte| *byte == b'=') {
                    Some(at) => (&part[..at], &part[at + 1..]),
                    None => (part, b"".as_slice()),
                };
                let is_key = self.key.as_ref().is_none_or(|text| text.fits(key, Case::Ignored));
                is_key && self.value.fits(value, Case::Ignored)
            })
    }
}

impl Range {
    fn parse(text: &str) -> Result<Range, RouterError> {
        let wrong = || RouterError::Range { text: text.to_owned() };
        let (address, bits) = text.split_once('/').ok_or_else(wrong)?;
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let bits: u32 = bits.parse().map_err(|_| wrong())?;
        match address {
            IpAddr::V4(address) if bits <= 32 => {
                let rest = u32::MAX.checked_shr(bits).unwrap_or(0);
                let first = address.to_bits() & !rest;
                Ok(Range { first: IpAddr::V4(first.into()), last: IpAddr::V4((first | rest).into()) })
            }
            IpAddr::V6(address) if bits <= 128 => {
                let rest = u128::MAX.checked_shr(bits).unwrap_or(0);
                let first = address.to_bits() & !rest;
                Ok(Range { first: IpAddr::V6(first.into()), last: IpAddr::V6((first | rest).into()) })
            }
            _ => Err(wrong()),
        }
    }

    fn has(&self, address: IpAddr) -> bool {
        // Addresses of the two versions are ordered apart: a range has only its own.
        let address = address.to_canonical();
        address >= self.first && address <= self.last
    }
}

/// Hands the request's host in lower case and without port to `then`.
pub(crate) fn with_host<R>(host: &[u8], then: impl FnOnce(&[u8]) -> R) -> R {
    let host = without_port(host);
    let mut buffer = [0_u8; 256];
    match buffer.get_mut(..host.len()) {
        Some(place) => {
            place.copy_from_slice(host);
            place.make_ascii_lowercase();
            then(place)
        }
        // Longer than any name: rare, so a copy is fine.
        None => then(&host.to_ascii_lowercase()),
    }
}
