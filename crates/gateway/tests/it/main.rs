//! Clients that are slow, large or broken, against a gateway with little patience.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod tls;

use std::io::Write;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use authority::Seal;
use base::clock::Clock;
use gateway::{
    Admission, Auth, Balancers, Body, Endpoint, Gateway, GatewayOptions, Named, Peer, Routes, TlsDoor, text,
};
use service::PlatformBuilder;
use store::{Memory, Store};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A gateway of its own, and a connection to it. Dropping the sender ends it.
async fn connect(options: GatewayOptions) -> (TcpStream, watch::Sender<bool>) {
    let (listener, gateway) = gateway(options).await;
    let listen = listener.local_addr().unwrap();
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move { gateway.serve(listener, stopped).await });
    (TcpStream::connect(listen).await.unwrap(), stop)
}

async fn gateway(options: GatewayOptions) -> (TcpListener, Gateway) {
    gateway_for(rustix::process::getuid().as_raw(), options).await
}

/// A gateway whose operator is `user`.
async fn gateway_for(user: u32, options: GatewayOptions) -> (TcpListener, Gateway) {
    served(store(), user, options).await
}

fn builder() -> PlatformBuilder {
    let sts = service_sts::Config { secret: base::Secret::new("s"), wall: base::clock::wall };
    PlatformBuilder::default().with(service_sts::service(&sts)).issuing(service_sts::keys(&sts))
}

fn store() -> Store {
    Store::open(Memory::default().open(), authority::kinds(builder().kinds())).unwrap()
}

fn seal() -> Seal {
    Seal::new(&base::Secret::new("s"))
}

/// A gateway over these records.
async fn served(store: Store, user: u32, options: GatewayOptions) -> (TcpListener, Gateway) {
    let platform = builder().build(store.clone(), Clock::new(Duration::ZERO), 7);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let listen = listener.local_addr().unwrap();
    let admission = Admission { auth: Auth::Open, users: vec![user], is_open_to_all: false, listen };
    let routes = Routes::default().with("/", Arc::new(Page));
    let tls = TlsDoor::new(store, Arc::new(seal()), listen.ip());
    (listener, Gateway::new(platform, routes, Some(Arc::new(Echo)), Some(tls), admission, options))
}

/// A balancer with a listener at port 80 that says what came.
struct Echo;

impl Balancers for Echo {
    fn find(&self, host: &str, is_tls: bool) -> Option<Named> {
        let port = match host {
            "web-1.us-east-1.elb.localhost" => Some(80),
            "p81.web-1.us-east-1.elb.localhost" => None,
            _ => return None,
        };
        Some(Named { balancer: "web".into(), port: port.filter(|_| !is_tls) })
    }

    fn adopt(&self, mut stream: std::net::TcpStream, read: Vec<u8>, balancer: &str, port: u16) {
        std::thread::spawn(move || {
            stream.set_nonblocking(false).unwrap();
            stream.write_all(&read).unwrap();
        });
        assert_eq!((balancer, port), ("web", 80));
    }
}

/// What answers where no API does.
struct Page;

impl Endpoint for Page {
    fn handle<'a>(
        &'a self,
        _request: hyper::Request<hyper::body::Incoming>,
        _peer: &'a Peer,
    ) -> Pin<Box<dyn Future<Output = hyper::Response<Body>> + Send + 'a>> {
        Box::pin(async { text(http::StatusCode::OK, "the page") })
    }
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

#[tokio::test]
async fn a_signed_web_socket_is_no_operation() {
    let ask = async |upgrade: &str| {
        let request = format!(
            "{HEAD}authorization: AWS4-HMAC-SHA256 Credential=k/20260101/us-east-1/ssmmessages/aws4_request, \
             SignedHeaders=host, Signature=00\r\nx-amz-date: 20260101T000000Z\r\n{upgrade}content-length: 0\r\n\r\n"
        );
        exchange(GatewayOptions::default(), request.as_bytes()).await.contains("the page")
    };
    assert!(!ask("").await);
    assert!(ask("upgrade: WebSocket\r\n").await);
    // Some clients offer HTTP/2 with every request.
    assert!(!ask("upgrade: h2c\r\n").await);
}

/// Asks who the holder of `key` and `token` is, in the form of a query API and of a JSON API.
async fn who(key: &str, token: &str) -> [String; 2] {
    let authorization = |service: &str| {
        format!(
            "authorization: AWS4-HMAC-SHA256 Credential={key}/20260101/us-east-1/{service}/aws4_request, \
             SignedHeaders=host, Signature=00\r\nx-amz-date: 20260101T000000Z\r\nx-amz-security-token: {token}\r\n"
        )
    };
    let form = "Action=GetCallerIdentity&Version=2011-06-15";
    let query = format!("{HEAD}{}content-length: {}\r\n\r\n{form}", authorization("sts"), form.len());
    let target = "x-amz-target: AmazonEC2ContainerServiceV20141113.ListClusters\r\n";
    let json = format!("{HEAD}{}{target}content-length: 2\r\n\r\n{{}}", authorization("ecs"));
    let ask = async |text: String| exchange(GatewayOptions::default(), text.as_bytes()).await;
    [ask(query).await, ask(json).await]
}

/// The text of an element.
fn member(answer: &str, name: &str) -> String {
    let (_, rest) = answer.split_once(&format!("<{name}>")).unwrap_or_else(|| panic!("{name} in {answer}"));
    rest.split_once('<').unwrap().0.to_owned()
}

#[tokio::test]
async fn a_key_of_ours_is_good_where_it_is_known() {
    let form = "Action=GetSessionToken&Version=2011-06-15";
    let authorization = "authorization: AWS4-HMAC-SHA256 Credential=111122223333/20260101/us-east-1/sts/aws4_request, \
                         SignedHeaders=host, Signature=00\r\nx-amz-date: 20260101T000000Z\r\n";
    let (mut stream, _stop) = connect(GatewayOptions::default()).await;
    let head = HEAD.replace("connection: close\r\n", "");
    let request = format!("{head}{authorization}content-length: {}\r\n\r\n{form}", form.len());
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut issued = String::new();
    while !issued.contains("</GetSessionTokenResponse>") {
        let mut part = vec![0; 4_096];
        let length = stream.read(&mut part).await.unwrap();
        assert_ne!(length, 0, "{issued}");
        issued.push_str(std::str::from_utf8(&part[..length]).unwrap());
    }
    let (key, token) = (member(&issued, "AccessKeyId"), member(&issued, "SessionToken"));
    let form = "Action=GetCallerIdentity&Version=2011-06-15";
    let authorization = authorization.replace("111122223333", &key);
    let request = format!(
        "{HEAD}{authorization}x-amz-security-token: {token}\r\ncontent-length: {}\r\n\r\n{form}",
        form.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert_eq!(member(&answer, "Account"), "111122223333");
    // Another gateway has the same secret, and no record of the session.
    let [query, json] = who(&key, &token).await;
    assert!(
        query.starts_with("HTTP/1.1 403") && query.contains("<Code>InvalidClientTokenId</Code>"),
        "{query}"
    );
    assert!(json.starts_with("HTTP/1.1 400") && json.contains("UnrecognizedClientException"), "{json}");
}

#[tokio::test]
async fn a_key_of_anybody_else_is_the_default_accounts() {
    let [query, _] = who("ASIAIOSFODNN7EXAMPLE", "x").await;
    assert_eq!(member(&query, "Arn"), "arn:aws:iam::000000000000:root");
}

#[tokio::test]
async fn a_task_leaves_room_for_others() {
    let (listener, gateway) = gateway(GatewayOptions { task_connections: 2, ..Default::default() }).await;
    let listen = listener.local_addr().unwrap();
    let (_stop, stopped) = watch::channel(false);
    tokio::spawn(async move { gateway.serve_vpc(listener, "vpc", stopped).await });
    let ask = async |from: &str| {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind((from.parse::<std::net::Ipv4Addr>().unwrap(), 0).into()).unwrap();
        let mut stream = socket.connect(listen).await.unwrap();
        // A refused connection may be reset before it takes this.
        let _ = stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        let mut byte = [0];
        let read = stream.read(&mut byte).await;
        (stream, read.is_ok_and(|length| length == 1))
    };
    let (first, second) = (ask("127.0.0.1").await, ask("127.0.0.1").await);
    assert!(first.1 && second.1);
    assert!(!ask("127.0.0.1").await.1);
    assert!(ask("127.0.0.2").await.1);
}

/// One request for GetSessionToken or GetCallerIdentity with a connection of its own.
async fn call(at: std::net::SocketAddr, action: &str, key: &str, more: &str) -> String {
    let form = format!("Action={action}&Version=2011-06-15");
    let request = format!(
        "{HEAD}authorization: AWS4-HMAC-SHA256 Credential={key}/20260101/us-east-1/sts/aws4_request, \
         SignedHeaders=host, Signature=00\r\nx-amz-date: 20260101T000000Z\r\n{more}content-length: {}\r\n\r\n{form}",
        form.len()
    );
    let mut stream = TcpStream::connect(at).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn on_the_hosts_network_a_stranger_needs_a_key_of_ours() {
    let own = rustix::process::getuid().as_raw();
    for (user, is_stranger) in [(own, false), (own + 1, true)] {
        let (listener, gateway) = gateway_for(user, GatewayOptions::default()).await;
        // A key from within a VPC, where everybody is a task.
        let inside = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (shared, vpc) = (listener.local_addr().unwrap(), inside.local_addr().unwrap());
        let (_stop, stopped) = watch::channel(false);
        let (one, other) = (gateway.clone(), stopped.clone());
        tokio::spawn(async move { one.serve_vpc(inside, "vpc", other).await });
        tokio::spawn(async move { gateway.serve_shared(listener, shared, stopped).await });
        let issued = call(vpc, "GetSessionToken", "111122223333", "").await;
        let (key, token) = (member(&issued, "AccessKeyId"), member(&issued, "SessionToken"));
        let token = format!("x-amz-security-token: {token}\r\n");
        let answer = call(shared, "GetCallerIdentity", &key, &token).await;
        assert_eq!(member(&answer, "Account"), "111122223333");
        for (key, more) in [("111122223333", ""), (&*key, "x-amz-security-token: x\r\n")] {
            let answer = call(shared, "GetCallerIdentity", key, more).await;
            let is_refused = answer.contains("Forbidden: on the host's network");
            assert_eq!(is_refused, is_stranger, "{answer}");
        }
        // A browser can be there, too.
        let answer =
            call(shared, "GetCallerIdentity", &key, &format!("{token}origin: http://evil.example\r\n")).await;
        assert!(answer.contains("Forbidden: web pages"), "{answer}");
    }
}

#[tokio::test]
async fn a_balancers_connection_goes_to_it_with_every_byte() {
    for head in [
        "GET /a HTTP/1.1\r\nHost: web-1.us-east-1.elb.localhost:4566\r\nOrigin: http://evil.example\r\n\r\nbody",
        "GET /a HTTP/1.1\r\nhost: WEB-1.us-east-1.elb.localhost.\r\n\r\n",
    ] {
        assert_eq!(exchange(GatewayOptions::default(), head.as_bytes()).await, head);
    }
}

#[tokio::test]
async fn a_balancer_gets_no_connection_that_was_somebody_elses() {
    let first = "GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let then = "GET / HTTP/1.1\r\nhost: web-1.us-east-1.elb.localhost\r\n\r\n";
    let answers = exchange(GatewayOptions::default(), format!("{first}{then}").as_bytes()).await;
    assert!(answers.starts_with("HTTP/1.1 200") && answers.contains("HTTP/1.1 421"), "{answers}");
    let none = "GET / HTTP/1.1\r\nhost: p81.web-1.us-east-1.elb.localhost\r\n\r\n";
    assert!(exchange(GatewayOptions::default(), none.as_bytes()).await.starts_with("HTTP/1.1 404"));
}

#[tokio::test]
async fn a_stranger_reaches_no_balancer() {
    let (listener, gateway) = gateway_for(u32::MAX, GatewayOptions::default()).await;
    let at = listener.local_addr().unwrap();
    let (_stop, stopped) = watch::channel(false);
    tokio::spawn(async move { gateway.serve(listener, stopped).await });
    let mut stream = TcpStream::connect(at).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: web-1.us-east-1.elb.localhost\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
}

#[tokio::test]
async fn a_task_reaches_no_balancer_through_the_one_port() {
    let (listener, gateway) = gateway(GatewayOptions::default()).await;
    let at = listener.local_addr().unwrap();
    let (_stop, stopped) = watch::channel(false);
    tokio::spawn(async move { gateway.serve_vpc(listener, "000000000000/us-east-1/vpc-1", stopped).await });
    let mut stream = TcpStream::connect(at).await.unwrap();
    let head = "GET / HTTP/1.1\r\nhost: web-1.us-east-1.elb.localhost\r\nconnection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 404") && !answer.contains("the page"), "{answer}");
}

#[tokio::test]
async fn a_name_of_no_balancer_is_not_the_platforms() {
    for (host, status) in [("gone-1.us-east-1.elb.localhost:4566", "404"), ("elb.localhost", "200")] {
        let head = format!("GET / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        let answer = exchange(GatewayOptions::default(), head.as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{host}: {answer}");
    }
}
