//! Protocol-neutral shapes and the protocols that carry them.
//!
//! A generated structure has one read and one write body ([`Shape`]); what differs between
//! protocols is data in its [`Schema`]. Each protocol implements [`Reader`] and [`Writer`] once.
//! [`decode`] and [`encode`] are the server's side, [`encode_request`] and [`decode_response`] the
//! client's; [`present`] says which members a request carries; [`sigv4`] reads and makes signatures.
//!
//! Invariant: no input makes anything here panic, recurse without bound, or take more than a small
//! multiple of the input's size. Ignores connections, body sizes and who may call: the gateway's.

mod api;
mod codec;
mod document;
mod flow;
mod json;
mod pattern;
pub mod present;
mod query;
pub mod schema;
mod shape;
pub mod sigv4;
mod text;
mod tree;
mod validate;
mod xml;

pub use api::{Api, ErrorDefinition, Operation, OperationDefinition, Protocol};
pub use base::{Blame, Timestamp};
pub use codec::{
    DecodeFault, Encoded, Parts, Request, ResponseError, decode, decode_response, encode, encode_fault,
    encode_request,
};
pub use document::Document;
pub use flow::{MAX_DEPTH, MAX_STRUCTURES, ReadError, Reader, Writer};
pub use pattern::Pattern;
pub use query::value as form_value;
pub use schema::{Kind, Limits, Location, Member, Schema, TimeFormat};
pub use shape::{AsAny, Empty, Shape, Sink, Source, Value};
pub use validate::Violation;
