//! The first bytes of a connection, which say who is to have it: TLS, a balancer, or the APIs.
//!
//! Invariant: reading them is bounded in size and time, and whatever was read is handed on.
//!
//! Deliberately ignores every request of a connection but the first.

use std::time::Duration;

use rustls::server::Acceptor;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::accept::stopped;
use crate::balancers::{Balancers, Named, named};

/// A `Host` that has not come by then does not come early: the connection is no balancer's. A
/// balancer takes a first line of 16 KiB, and says by itself that one is too long.
const LIMIT: usize = 32 << 10;
/// Few heads are longer.
const CHUNK: usize = 2 << 10;
/// The first byte of a TLS record that carries a handshake. No method begins with it.
const HANDSHAKE: u8 = 0x16;

/// Who is to have a connection.
#[derive(Debug, PartialEq, Eq)]
pub enum For {
    /// The balancer, as it came: TLS is its own affair.
    Balancer(Named),
    /// A client that speaks TLS to the one port itself.
    Tls,
    /// Whoever answers plain HTTP.
    Http,
    /// It ended, or said nothing in time.
    Nobody,
}

/// What the bytes say so far.
#[derive(Debug, PartialEq, Eq)]
enum Said<'a> {
    /// Too little.
    More,
    /// A client's hello, with the server that it names.
    Tls(Option<String>),
    /// A request, with its `Host`.
    Http(Option<&'a str>),
}

/// Reads until it is clear who is to have the connection. Answers that, and what was read.
pub async fn read(
    stream: &mut TcpStream,
    balancers: Option<&dyn Balancers>,
    patience: Duration,
    stop: &mut watch::Receiver<bool>,
) -> (For, Vec<u8>) {
    let mut bytes = Vec::with_capacity(CHUNK);
    let mut line = 0;
    let patience = tokio::time::sleep(patience);
    tokio::pin!(patience);
    loop {
        let read = tokio::select! {
            biased;
            read = stream.read_buf(&mut bytes) => read,
            () = stopped(stop) => Ok(0),
            () = &mut patience => Ok(0),
        };
        match read {
            // What has begun is answered as ever, if only with an error.
            Ok(0) | Err(_) if bytes.is_empty() => return (For::Nobody, bytes),
            Ok(0) | Err(_) => return (For::Http, bytes),
            Ok(_) => {}
        }
        let Some(balancers) = balancers else {
            let to = if bytes[0] == HANDSHAKE { For::Tls } else { For::Http };
            return (to, bytes);
        };
        match said(&bytes, &mut line) {
            Said::More if bytes.len() < LIMIT => {}
            Said::More if bytes[0] == HANDSHAKE => return (For::Tls, bytes),
            Said::More => return (For::Http, bytes),
            Said::Tls(name) => {
                let balancer = name.and_then(|name| named(balancers, &name, true));
                let balancer = balancer.filter(|balancer| balancer.port.is_some());
                return (balancer.map_or(For::Tls, For::Balancer), bytes);
            }
            Said::Http(host) => {
                let balancer = host.and_then(|host| named(balancers, host, false));
                let balancer = balancer.filter(|balancer| balancer.port.is_some());
                return (balancer.map_or(For::Http, For::Balancer), bytes);
            }
        }
    }
}

/// `line` is where the first line begins that has not been looked at; it moves on.
fn said<'a>(bytes: &'a [u8], line: &mut usize) -> Said<'a> {
    if bytes.first() == Some(&HANDSHAKE) {
        return hello(bytes);
    }
    let is_first = |line: usize| line == 0;
    while let Some(length) = bytes[*line..].iter().position(|byte| *byte == b'\n') {
        let text = &bytes[*line..*line + length];
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        let (at, was_first) = (*line, is_first(*line));
        *line = at + length + 1;
        if text.is_empty() && !was_first {
            return Said::Http(None);
        }
        if !was_first && text.len() > 5 && text[..5].eq_ignore_ascii_case(b"host:") {
            return Said::Http(std::str::from_utf8(&text[5..]).ok().map(str::trim));
        }
    }
    Said::More
}

fn hello(bytes: &[u8]) -> Said<'static> {
    let mut acceptor = Acceptor::default();
    let mut rest = bytes;
    while !rest.is_empty() {
        if acceptor.read_tls(&mut rest).is_err() {
            return Said::Tls(None);
        }
    }
    match acceptor.accept() {
        Ok(Some(accepted)) => Said::Tls(accepted.client_hello().server_name().map(str::to_owned)),
        Ok(None) => Said::More,
        // Whoever speaks TLS says what is wrong.
        Err(_) => Said::Tls(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same verdict, whatever the pieces in which the bytes come.
    fn check(bytes: &[u8], expected: &Said<'_>) {
        let mut line = 0;
        for end in 1..=bytes.len() {
            match said(&bytes[..end], &mut line) {
                Said::More => {}
                verdict => return assert_eq!(verdict, *expected, "{}", String::from_utf8_lossy(bytes)),
            }
        }
        assert_eq!(Said::More, *expected, "{}", String::from_utf8_lossy(bytes));
    }

    #[test]
    fn a_head_says_its_host_however_it_comes() {
        check(
            b"GET / HTTP/1.1\r\nHost: web.elb.localhost:4566\r\n",
            &Said::Http(Some("web.elb.localhost:4566")),
        );
        check(b"GET / HTTP/1.1\naccept: *\nhOsT:a\n", &Said::Http(Some("a")));
        check(b"GET / HTTP/1.1\r\nHost: a", &Said::More);
        check(b"GET / HTTP/1.1\r\nX-Host: a\r\n\r\nHost: b\r\n", &Said::Http(None));
        check(b"host: a\r\n\r\n", &Said::Http(None));
        check(b"GET / HTTP/1.1\r\nHost: \xff\r\n", &Said::Http(None));
        check(b"", &Said::More);
    }

    #[test]
    fn a_hello_says_its_server_once_it_is_whole() {
        let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        let name = "web.elb.localhost".try_into().unwrap();
        let mut client = rustls::ClientConnection::new(std::sync::Arc::new(config), name).unwrap();
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).unwrap();
        check(&bytes, &Said::Tls(Some("web.elb.localhost".into())));
        check(&bytes[..bytes.len() - 1], &Said::More);
        check(b"\x16garbage that is no hello", &Said::Tls(None));
    }
}
