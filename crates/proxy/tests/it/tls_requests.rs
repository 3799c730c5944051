//! HTTP/1.1 and WebSockets over TLS, targets behind TLS, and HTTP/2 where there is no TLS.

use std::io::{Read, Write};
use std::net::{SocketAddrV4, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use core_routing::{Protocol, Version};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConnection, ServerConfig, ServerConnection, StreamOwned};

use crate::h2_stage::{Seen, Stage};
use crate::h2_wire::{Client, PREFACE};

const PATIENCE: Duration = Duration::from_secs(30);

fn connect(at: SocketAddrV4) -> StreamOwned<ClientConnection, TcpStream> {
    let tcp = TcpStream::connect(at).unwrap();
    tcp.set_read_timeout(Some(PATIENCE)).unwrap();
    let name = ServerName::try_from("a.example.com").unwrap();
    StreamOwned::new(ClientConnection::new(crate::tls::trusting(&["http/1.1"]), name).unwrap(), tcp)
}

/// Reads until `end` has come, or nothing comes any more.
fn upto(stream: &mut impl Read, end: &str) -> String {
    let mut text = String::new();
    let mut byte = [0];
    while !text.ends_with(end) && matches!(stream.read(&mut byte), Ok(1)) {
        text.push(char::from(byte[0]));
    }
    text
}

#[test]
fn http1_goes_over_tls() {
    let stage = Stage::http1();
    let mut stream = connect(stage.at);
    for path in ["/one", "/two"] {
        write!(stream, "GET {path} HTTP/1.1\r\nhost: a.example.com\r\n\r\n").unwrap();
        let head = upto(&mut stream, "\r\n\r\n").to_ascii_lowercase();
        assert!(head.starts_with("http/1.1 200 ok\r\n"), "{head}");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        let mut body = vec![0; length.parse().unwrap()];
        stream.read_exact(&mut body).unwrap();
        let body = String::from_utf8(body).unwrap().to_ascii_lowercase();
        assert!(body.starts_with(&format!("get {path} http/1.1\r\n")), "{body}");
        for line in ["x-forwarded-proto: https", "x-forwarded-port: 8443"] {
            assert!(body.lines().any(|found| found == line), "{line} in {body}");
        }
    }
}

/// A target that agrees to every upgrade and then says back what it hears.
fn echoing() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::thread::spawn(move || echo(stream.unwrap()));
        }
    });
    port
}

fn echo(mut stream: TcpStream) {
    let head = upto(&mut stream, "\r\n\r\n");
    if head.starts_with("GET /health") {
        let healthy = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        stream.write_all(healthy).unwrap();
        return;
    }
    assert!(head.to_ascii_lowercase().contains("\r\nupgrade: websocket\r\n"), "{head}");
    let agreed = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    stream.write_all(agreed).unwrap();
    let mut bytes = [0; 64 * 1024];
    while let Ok(count @ 1..) = stream.read(&mut bytes) {
        stream.write_all(&bytes[..count]).unwrap();
    }
}

#[test]
fn web_sockets_go_over_tls() {
    let stage = Stage::before(echoing(), Version::Http1, Protocol::Http, Seen::default());
    let mut stream = connect(stage.at);
    let request = "GET /chat HTTP/1.1\r\nhost: a.example.com\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
        sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let head = upto(&mut stream, "\r\n\r\n").to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 101 "), "{head}");
    assert!(head.contains("upgrade: websocket"), "{head}");
    for size in [1, 100, 200_000] {
        for piece in vec![b'm'; size].chunks(16 * 1024) {
            stream.write_all(piece).unwrap();
            let mut echo = vec![0; piece.len()];
            stream.read_exact(&mut echo).unwrap();
            assert_eq!(echo, piece);
        }
    }
}

/// A target that answers everything in HTTP/1.1 over TLS, with a certificate that nobody trusts.
fn encrypted() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let made = crate::tls::certificate("own", &["somebody-else.example"]);
    let chain = vec![CertificateDer::from_pem_slice(made.chain.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(made.key.expose().as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap());
    std::thread::spawn(move || {
        for tcp in listener.incoming() {
            let mut stream = StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), tcp.unwrap());
            std::thread::spawn(move || {
                while upto(&mut stream, "\r\n\r\n").starts_with("GET ") {
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
                    if stream.write_all(answer).is_err() {
                        return;
                    }
                }
            });
        }
    });
    port
}

#[test]
fn targets_behind_tls_are_asked_and_checked() {
    let stage = Stage::before(encrypted(), Version::Http1, Protocol::Https, Seen::default());
    let mut client = Client::ready(stage.at);
    client.get(1, "/");
    assert_eq!(client.answer(1), (200, b"ok".to_vec()));
}

#[test]
fn http2_is_not_spoken_in_the_clear() {
    let stage = Stage::http1();
    let mut stream = TcpStream::connect(stage.plain).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(PREFACE).unwrap();
    stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).unwrap();
    let mut answer = Vec::new();
    // A reset after the answer is as good.
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8(answer).unwrap();
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 4") || answer.starts_with("HTTP/1.1 505"),
        "{answer}"
    );
    assert!(stage.requests().is_empty());
    // An upgrade is asked for in vain.
    let mut stream = TcpStream::connect(stage.plain).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = "GET / HTTP/1.1\r\nhost: a\r\nconnection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\n\
        http2-settings: AAMAAABkAAQAAP__\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let head = upto(&mut stream, "\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    stage.serves();
}

#[test]
fn plain_http_is_told_where_tls_is_spoken() {
    let stage = Stage::http1();
    let mut stream = TcpStream::connect(stage.at).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a.example.com\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\nServer: awselb/2.0\r\n"), "{answer}");
    let (head, page) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(&format!("Content-Length: {}\r\n", page.len())), "{answer}");
    assert!(page.contains("sent to HTTPS port"), "{answer}");
    assert!(stage.requests().is_empty());
}
