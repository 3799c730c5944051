//! Clients that are slow, large or broken, against a gateway with little patience.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use base::clock::Clock;
use gateway::{Admission, Auth, Gateway, GatewayOptions, Routes};
use service::PlatformBuilder;
use store::{Memory, Store};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A gateway of its own, and a connection to it. Dropping the sender ends it.
async fn connect(options: GatewayOptions) -> (TcpStream, watch::Sender<bool>) {
    let sts = service_sts::Config { secret: base::Secret::new("s"), wall: base::clock::wall };
    let builder = PlatformBuilder::default().with(service_sts::service(&sts)).issuing(service_sts::keys(&sts));
    let store = Store::open(Memory::default().open(), builder.kinds()).unwrap();
    let platform = builder.build(store, Clock::new(Duration::ZERO), 7);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let listen = listener.local_addr().unwrap();
    let users = vec![rustix::process::getuid().as_raw()];
    let admission = Admission { auth: Auth::Open, users, is_open_to_all: false, listen };
    let gateway = Gateway::new(platform, Routes::default(), admission, options);
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move { gateway.serve(listener, stopped).await });
    (TcpStream::connect(listen).await.unwrap(), stop)
}

/// Sends `bytes`, and answers what comes back until the gateway closes.
async fn exchange(options: GatewayOptions, bytes: &[u8]) -> String {
    let (mut stream, _stop) = connect(options).await;
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    tokio::time::timeout(Duration::from_secs(10), read).await.expect("the gateway closes").unwrap();
    String::from_utf8(answer).unwrap()
}

const HEAD: &str = "POST / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n";

#[tokio::test]
async fn headers_that_never_end_are_cut_off() {
    let options = || GatewayOptions { header_timeout: Duration::from_millis(50), ..Default::default() };
    for begun in ["", "GET", "GET / HTTP/1.1\r\nhost: loc"] {
        let answer = exchange(options(), begun.as_bytes()).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
}

#[tokio::test]
async fn a_body_that_does_not_come_is_a_timeout() {
    let options = GatewayOptions { body_timeout: Duration::from_millis(50), ..Default::default() };
    let answer = exchange(options, format!("{HEAD}content-length: 10\r\n\r\n{{").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("RequestTimeout"), "{answer}");
}

#[tokio::test]
async fn a_body_may_have_as_many_bytes_as_the_limit_says() {
    for (length, status) in [(1000, "HTTP/1.1 403"), (1001, "HTTP/1.1 413"), (1_000_000, "HTTP/1.1 413")] {
        let options = GatewayOptions { body_limit: 1000, ..Default::default() };
        let body = "x".repeat(length);
        let answer =
            exchange(options, format!("{HEAD}content-length: {length}\r\n\r\n{body}").as_bytes()).await;
        assert!(answer.starts_with(status), "{length}: {answer}");
        assert!(answer.contains("x-amzn-requestid: "), "{answer}");
    }
}

#[tokio::test]
async fn a_client_that_has_said_everything_gets_its_answers() {
    let (mut stream, _stop) = connect(GatewayOptions::default()).await;
    for _ in 0..20 {
        stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    }
    stream.shutdown().await.unwrap();
    let mut answers = String::new();
    stream.read_to_string(&mut answers).await.unwrap();
    assert_eq!(answers.matches("HTTP/1.1 ").count(), 20, "{answers}");
}
