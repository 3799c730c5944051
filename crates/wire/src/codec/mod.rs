//! Requests and answers as bytes, in every protocol.
//!
//! Owns the choice of codec and the envelopes around shapes. It opens no connection, checks no
//! signature, and leaves sizes of bodies to the gateway.

mod client;
mod server;

pub use client::{Request, ResponseError, decode_response, encode_request};
pub use server::{DecodeFault, decode, encode, encode_fault};

use crate::api::Protocol;

/// The parts of a request that a codec may need beside its body.
#[derive(Debug, Clone, Copy)]
pub struct Parts<'a> {
    /// Still percent-encoded.
    pub path: &'a str,
    /// Without its `?`, still percent-encoded.
    pub query: &'a str,
    pub headers: &'a http::HeaderMap,
}

/// An answer, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
}

impl Protocol {
    /// The content type of its requests and, but for the query protocols, of its answers.
    pub const fn content_type(self) -> &'static str {
        match self {
            Protocol::AwsJson10 => "application/x-amz-json-1.0",
            Protocol::AwsJson11 => "application/x-amz-json-1.1",
            Protocol::Query | Protocol::Ec2 => "application/x-www-form-urlencoded",
            Protocol::RestJson => "application/json",
            Protocol::RestXml => "application/xml",
            Protocol::RpcV2Cbor => "application/cbor",
        }
    }

    /// Whether the codecs of this crate speak it.
    pub const fn is_built(self) -> bool {
        matches!(self, Protocol::AwsJson10 | Protocol::AwsJson11 | Protocol::Query | Protocol::Ec2)
    }
}

fn request_id_header(request_id: &str) -> (&'static str, String) {
    ("x-amzn-requestid", request_id.to_owned())
}
