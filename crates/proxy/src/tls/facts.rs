//! What a handshake was like.

use std::sync::Arc;
use std::time::Duration;

use rustls::{HandshakeKind, NamedGroup, ProtocolVersion, ServerConnection};

use super::policy::cipher_name;

/// Of a handshake that succeeded; in the names of AWS's headers and logs.
#[derive(Debug, Clone)]
pub struct Facts {
    /// `TLSv1.2` or `TLSv1.3`.
    pub version: &'static str,
    /// `ECDHE-RSA-AES128-GCM-SHA256`: as OpenSSL has it.
    pub cipher: &'static str,
    /// `x25519`: what the keys were exchanged over.
    pub key_exchange: &'static str,
    /// `h2` was agreed on.
    pub is_http2: bool,
    /// What the client named; lower case.
    pub server_name: Option<Box<str>>,
    /// The ARN of the certificate that the client was shown; `None`: it resumed a session.
    pub certificate: Option<Arc<str>>,
    pub is_resumed: bool,
    pub took_for: Duration,
}

impl Facts {
    pub(super) fn of(connection: &ServerConnection, picked: Option<Arc<str>>, took_for: Duration) -> Self {
        let is_resumed = connection.handshake_kind() == Some(HandshakeKind::Resumed);
        Facts {
            version: version_name(connection.protocol_version()),
            cipher: connection.negotiated_cipher_suite().map_or("-", |suite| cipher_name(suite.suite())),
            key_exchange: group_name(connection),
            is_http2: connection.alpn_protocol() == Some(b"h2"),
            server_name: connection.server_name().map(Into::into),
            certificate: picked.filter(|_| !is_resumed),
            is_resumed,
            took_for,
        }
    }
}

/// A handshake that failed. The connection is closed already.
#[derive(Debug)]
pub struct Refused {
    /// AWS: the code after `Failed:` in a connection log's `tls_verify_status`. Those that have a
    /// name of their own are about client certificates, which are not asked for here.
    pub code: &'static str,
    /// As far as it got; `-`.
    pub version: &'static str,
    pub cipher: &'static str,
    pub took_for: Duration,
    pub cause: std::io::Error,
}

pub(super) const UNMAPPED: &str = "UnmappedConnectionError";

fn version_name(version: Option<ProtocolVersion>) -> &'static str {
    match version {
        Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
        Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
        _ => "-",
    }
}

fn group_name(connection: &ServerConnection) -> &'static str {
    match connection.negotiated_key_exchange_group().map(|group| group.name()) {
        Some(NamedGroup::X25519) => "x25519",
        Some(NamedGroup::secp256r1) => "secp256r1",
        Some(NamedGroup::secp384r1) => "secp384r1",
        _ => "-",
    }
}
