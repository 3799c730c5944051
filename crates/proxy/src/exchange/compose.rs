//! What a target is asked: the request's head as it goes on.

use core_routing::headers::{
    X_AMZN_TLS_CIPHER_SUITE, X_AMZN_TLS_VERSION, X_AMZN_TRACE_ID, X_FORWARDED_FOR, X_FORWARDED_PORT,
    X_FORWARDED_PROTO, forwarded_for, forwarded_proto, is_hop_by_hop, is_named_by_connection, is_valid_name,
    trace_id,
};
use core_routing::{Form, Head, Listener};

use super::Texts;
use crate::arrival::Arrival;
use crate::h1::{Framing, write_field, write_number};
use crate::table::Served;

/// AWS: all headers together beyond this begin a trace anew.
const LARGE_HEAD: usize = 7 * 1024;

/// A request that is about to be told to a target.
pub struct Outgoing<'a> {
    pub request: &'a Head,
    pub served: &'a Served,
    pub listener: &'a Listener,
    pub arrival: &'a Arrival,
    /// Path and query.
    pub target: &'a [u8],
    pub host: &'a [u8],
    /// What it asks to become, where it asks to.
    pub upgrade: Option<&'a [u8]>,
}

/// What the client asks its connection to become.
///
/// AWS: web sockets alone. Any other protocol, HTTP/2 in the clear above all, would carry requests
/// past rules and logs.
pub fn upgrade(request: &Head) -> Option<&[u8]> {
    if request.form != Form::Http11 || request.method() != b"GET" {
        return None;
    }
    let connection = request.fields.get("connection")?;
    let asks = is_named_by_connection(connection, b"upgrade");
    request.fields.get("upgrade").filter(|what| asks && what.eq_ignore_ascii_case(b"websocket"))
}

impl Outgoing<'_> {
    /// Writes it in HTTP/1.1.
    pub fn write(&self, texts: &mut Texts, framing: Framing, out: &mut Vec<u8>) {
        out.extend_from_slice(self.request.method());
        out.push(b' ');
        out.extend_from_slice(self.target);
        out.extend_from_slice(b" HTTP/1.1\r\nHost: ");
        self.put_host(out);
        out.extend_from_slice(b"\r\n");
        self.fields(texts, &mut |name, value| write_field(out, name, value));
        match framing {
            Framing::Length(length) => {
                out.extend_from_slice(b"Content-Length: ");
                write_number(out, length);
                out.extend_from_slice(b"\r\n");
            }
            Framing::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
            Framing::None | Framing::UntilClose => {}
        }
        if let Some(upgrade) = self.upgrade {
            out.extend_from_slice(b"Connection: Upgrade\r\nUpgrade: ");
            out.extend_from_slice(upgrade);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"\r\n");
    }

    /// Writes it into a head of HTTP/2's form.
    pub fn put(&self, texts: &mut Texts, head: &mut Head) {
        head.clear();
        head.form = Form::Http2;
        head.method = head.fields.keep(self.request.method());
        head.target = head.fields.keep(self.target);
        let mut host = Vec::new();
        self.put_host(&mut host);
        head.authority = Some(head.fields.keep(&host));
        self.fields(texts, &mut |name, value| head.fields.add(name, value));
    }

    /// AWS: unless the host header is preserved, it names the listener's port where that is not the
    /// protocol's own, and does not where it is.
    fn put_host(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.host);
        if self.served.balancer.attributes.preserves_host || self.host.is_empty() {
            return;
        }
        let bare = core_routing::without_port(self.host);
        let usual = match self.listener.protocol {
            core_routing::Protocol::Http => 80,
            core_routing::Protocol::Https => 443,
        };
        if self.listener.port == usual && self.host[bare.len()..] == *format!(":{usual}").as_bytes() {
            out.truncate(out.len() - (self.host.len() - bare.len()));
        } else if self.listener.port != usual && bare.len() == self.host.len() {
            out.push(b':');
            write_number(out, u64::from(self.listener.port));
        }
    }

    /// Every field but those of framing and connection, and the host.
    fn fields(&self, texts: &mut Texts, put: &mut impl FnMut(&[u8], &[u8])) {
        let attributes = &self.served.balancer.attributes;
        let all = &self.request.fields;
        let mut seen = Seen::default();
        for (name, value) in all.iter() {
            match name.len() {
                4 if name.eq_ignore_ascii_case(b"host") => continue,
                6 if name.eq_ignore_ascii_case(b"expect") => continue,
                10 if name.eq_ignore_ascii_case(b"connection") => {
                    seen.connection |= !is_plain(value);
                    continue;
                }
                // Also under the names that some servers take for it.
                14 if is_like(name, b"content-length") => continue,
                17 if is_like(name, b"transfer-encoding") => continue,
                15 if name.eq_ignore_ascii_case(X_FORWARDED_FOR.as_bytes()) => {
                    seen.forwarded = true;
                    continue;
                }
                15 if name.eq_ignore_ascii_case(X_AMZN_TRACE_ID.as_bytes()) => {
                    seen.trace = true;
                    continue;
                }
                16 if name.eq_ignore_ascii_case(X_FORWARDED_PORT.as_bytes()) => continue,
                17 if name.eq_ignore_ascii_case(X_FORWARDED_PROTO.as_bytes()) => continue,
                _ => {}
            }
            let is_left_out = is_hop_by_hop(name)
                || (attributes.drops_invalid_headers && !is_valid_name(name))
                || (seen.connection
                    && all.all("connection").any(|value| is_named_by_connection(value, name)));
            if !is_left_out {
                put(name, value);
            }
        }
        self.added(texts, seen, put);
    }

    fn added(&self, texts: &mut Texts, seen: Seen, put: &mut impl FnMut(&[u8], &[u8])) {
        let (attributes, rules) = (&self.served.balancer.attributes, &self.listener.headers);
        let (all, arrival) = (&self.request.fields, self.arrival);
        let text = &mut texts.scratch;
        text.clear();
        // A field that did not come need not be looked for.
        let came = all.all(if seen.forwarded { X_FORWARDED_FOR } else { "" });
        if forwarded_for(attributes, came, arrival.peer, text) {
            put(X_FORWARDED_FOR.as_bytes(), text);
        }
        put(X_FORWARDED_PROTO.as_bytes(), forwarded_proto(self.listener.protocol).as_bytes());
        text.clear();
        write_number(text, u64::from(self.listener.port));
        put(X_FORWARDED_PORT.as_bytes(), text);
        texts.trace.clear();
        let came = seen.trace.then(|| all.get(X_AMZN_TRACE_ID)).flatten();
        let is_large = all.bytes().len() > LARGE_HEAD;
        let worker = &arrival.worker;
        trace_id(came, is_large, &mut worker.trace_ids.borrow_mut(), worker.now(), &mut texts.trace);
        put(X_AMZN_TRACE_ID.as_bytes(), &texts.trace);
        if let Some(tls) = arrival.tls.as_ref().filter(|_| attributes.tells_tls) {
            put(rules.name_of(X_AMZN_TLS_VERSION).as_bytes(), tls.version.as_bytes());
            put(rules.name_of(X_AMZN_TLS_CIPHER_SUITE).as_bytes(), tls.cipher.as_bytes());
        }
    }
}

#[derive(Default)]
struct Seen {
    /// `Connection` names fields.
    connection: bool,
    forwarded: bool,
    trace: bool,
}

/// `Connection` without names of fields.
fn is_plain(value: &[u8]) -> bool {
    value.eq_ignore_ascii_case(b"keep-alive") || value.eq_ignore_ascii_case(b"close")
}

/// Equal but for case and for underscores in place of dashes.
fn is_like(name: &[u8], known: &[u8]) -> bool {
    name.len() == known.len()
        && name.iter().zip(known).all(|(a, b)| a.eq_ignore_ascii_case(b) || (*a == b'_' && *b == b'-'))
}
