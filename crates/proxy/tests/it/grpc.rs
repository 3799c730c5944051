//! Targets that speak HTTP/2 and gRPC: streams both ways, trailers, resets, refusals, leaving.

use std::net::SocketAddrV4;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use core_routing::{Protocol, Version};
use h2::client::SendRequest;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{HeaderMap, Request, Response};
use proxy::counts::Metric;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::h2_stage::{Seen, Stage};

/// A target in HTTP/2 over plain TCP, on a thread of its own.
#[derive(Clone, Default)]
struct Target {
    seen: Seen,
    connections: Arc<AtomicUsize>,
    refused: Arc<AtomicUsize>,
    resets: Arc<Mutex<Vec<Reason>>>,
    /// 0: as many as anyone likes.
    streams: u32,
    /// Over TLS, with a certificate that nobody trusts.
    tls: Option<TlsAcceptor>,
}

impl Target {
    fn start(&self) -> u16 {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let target = self.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).unwrap();
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    tokio::spawn(target.clone().serve(stream));
                }
            });
        });
        port
    }

    async fn serve(self, stream: TcpStream) {
        self.connections.fetch_add(1, Ordering::SeqCst);
        match self.tls.clone() {
            None => self.speak(stream).await,
            Some(tls) => {
                let stream = tls.accept(stream).await.unwrap();
                assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
                self.speak(stream).await;
            }
        }
    }

    async fn speak(self, stream: impl AsyncRead + AsyncWrite + Unpin) {
        let mut builder = h2::server::Builder::new();
        if self.streams > 0 {
            builder.max_concurrent_streams(self.streams);
        }
        let Ok(mut connection) = builder.handshake::<_, Bytes>(stream).await else { return };
        while let Some(Ok((request, respond))) = connection.accept().await {
            if request.uri().path() == "/leave" {
                connection.graceful_shutdown();
            }
            tokio::spawn(self.clone().answer(request, respond));
        }
    }

    async fn answer(self, request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
        let path = request.uri().path().to_owned();
        let is_grpc = path.starts_with("/echo.");
        let te = request.headers().get("te").cloned();
        let mut head = Response::new(());
        if path != "/health" {
            self.seen.lock().unwrap().push(format!("{} {path}", request.method()));
        }
        match path.as_str() {
            "/health" | "/echo.Echo/Fail" => {
                head.headers_mut().insert("grpc-status", "12".parse().unwrap());
                head.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
                let _ = respond.send_response(head, true);
                return;
            }
            "/echo.Echo/Reset" => return respond.send_reset(Reason::CANCEL),
            "/refused" if self.refused.fetch_add(1, Ordering::SeqCst) == 0 => {
                return respond.send_reset(Reason::REFUSED_STREAM);
            }
            "/echo.Echo/Hang" => {
                let reason = std::future::poll_fn(|cx| respond.poll_reset(cx)).await.unwrap();
                self.resets.lock().unwrap().push(reason);
                return;
            }
            _ => {}
        }
        if is_grpc {
            assert_eq!(te.unwrap(), "trailers");
            head.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
        }
        let mut send = respond.send_response(head, false).unwrap();
        let mut body = request.into_body();
        while let Some(Ok(bytes)) = body.data().await {
            let _ = body.flow_control().release_capacity(bytes.len());
            // Small enough in these tests to do without waiting for room.
            if send.send_data(bytes, false).is_err() {
                return;
            }
        }
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().unwrap());
        let asked = body.trailers().await.unwrap().unwrap_or_default();
        if let Some(value) = asked.get("x-asked") {
            trailers.insert("x-asked", value.clone());
        }
        let _ = send.send_trailers(trailers);
    }
}

struct Client {
    send: SendRequest<Bytes>,
}

impl Client {
    async fn connect(at: SocketAddrV4) -> Self {
        let stream = TcpStream::connect(at).await.unwrap();
        let name = ServerName::try_from("a.example.com").unwrap();
        let stream = TlsConnector::from(crate::tls::trusting(&["h2"])).connect(name, stream).await.unwrap();
        let (send, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        Client { send }
    }

    async fn ask(
        &mut self,
        method: &str,
        path: &str,
        body: &[&'static [u8]],
        trailers: Option<HeaderMap>,
    ) -> Result<Answer, h2::Error> {
        let uri = format!("https://a.example.com{path}");
        let request = Request::builder().method(method).uri(uri).header("te", "trailers");
        let request = request.header("content-type", "application/grpc").body(()).unwrap();
        let mut send = self.send.clone().ready().await?;
        let (response, mut stream) = send.send_request(request, body.is_empty() && trailers.is_none())?;
        for (at, piece) in body.iter().enumerate() {
            stream.send_data(Bytes::from_static(piece), at + 1 == body.len() && trailers.is_none())?;
        }
        if let Some(trailers) = trailers {
            stream.send_trailers(trailers)?;
        }
        let (parts, mut incoming) = response.await?.into_parts();
        let mut body = Vec::new();
        while let Some(bytes) = incoming.data().await {
            let bytes = bytes?;
            incoming.flow_control().release_capacity(bytes.len())?;
            body.extend(&bytes);
        }
        let trailers = incoming.trailers().await?;
        Ok(Answer { status: parts.status.as_u16(), fields: parts.headers, body, trailers })
    }
}

struct Answer {
    status: u16,
    fields: HeaderMap,
    body: Vec<u8>,
    trailers: Option<HeaderMap>,
}

fn block_on(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future);
}

fn stage(target: &Target, version: Version) -> Stage {
    Stage::before(target.start(), version, Protocol::Http, target.seen.clone())
}

#[test]
fn messages_go_both_ways_while_the_call_lasts() {
    let target = Target::default();
    let stage = stage(&target, Version::Grpc);
    block_on(async {
        let client = Client::connect(stage.at).await;
        let request =
            Request::post("https://a.example.com/echo.Echo/Bidi").header("content-type", "application/grpc");
        let request = request.header("te", "trailers").body(()).unwrap();
        let mut send = client.send.clone().ready().await.unwrap();
        let (response, mut stream) = send.send_request(request, false).unwrap();
        stream.send_data(Bytes::from_static(b"first"), false).unwrap();
        let mut body = response.await.unwrap().into_body();
        // Each echo is there before the next message leaves: nothing waits for the end.
        for message in ["first", "second", "third"] {
            if message != "first" {
                stream.send_data(Bytes::from_static(message.as_bytes()), false).unwrap();
            }
            let echo = body.data().await.unwrap().unwrap();
            body.flow_control().release_capacity(echo.len()).unwrap();
            assert_eq!(echo, message);
        }
        stream.send_data(Bytes::new(), true).unwrap();
        assert!(body.data().await.is_none());
        let trailers = body.trailers().await.unwrap().unwrap();
        assert_eq!(trailers["grpc-status"], "0");
    });
}

#[test]
fn statuses_and_trailers_pass_through() {
    let target = Target::default();
    let stage = stage(&target, Version::Grpc);
    block_on(async {
        let mut client = Client::connect(stage.at).await;
        let failed = client.ask("POST", "/echo.Echo/Fail", &[b"x"], None).await.unwrap();
        assert_eq!((failed.status, &failed.fields["grpc-status"]), (200, &"12".parse().unwrap()));
        assert!(failed.body.is_empty() && failed.trailers.is_none());
        let mut asked = HeaderMap::new();
        asked.insert("x-asked", "yes".parse().unwrap());
        let echoed = client.ask("POST", "/echo.Echo/Unary", &[b"a", b"b"], Some(asked)).await.unwrap();
        assert_eq!((echoed.status, echoed.body.as_slice()), (200, &b"ab"[..]));
        assert_eq!(echoed.trailers.unwrap()["x-asked"], "yes");
    });
}

#[test]
fn versions_that_do_not_fit_are_answered_with_464() {
    let target = Target::default();
    let grpc = stage(&target, Version::Grpc);
    block_on(async {
        let mut client = Client::connect(grpc.at).await;
        let got = client.ask("GET", "/echo.Echo/Unary", &[], None).await.unwrap();
        assert_eq!(got.status, 464);
    });
    assert!(grpc.requests().is_empty());
    let http1 = Stage::http1();
    block_on(async {
        let mut client = Client::connect(http1.at).await;
        let got = client.ask("POST", "/echo.Echo/Unary", &[b"x"], None).await.unwrap();
        assert_eq!(got.status, 464);
    });
    assert!(http1.requests().is_empty());
}

#[test]
fn a_reset_is_handed_on_both_ways() {
    let target = Target::default();
    let stage = stage(&target, Version::Grpc);
    block_on(async {
        let mut client = Client::connect(stage.at).await;
        // Before its head, a reset is a bad answer.
        let reset = client.ask("POST", "/echo.Echo/Reset", &[b"x"], None).await.unwrap();
        assert_eq!(reset.status, 502);
        let request =
            Request::post("https://a.example.com/echo.Echo/Hang").header("content-type", "application/grpc");
        let request = request.header("te", "trailers").body(()).unwrap();
        let mut send = client.send.clone().ready().await.unwrap();
        let (response, mut stream) = send.send_request(request, false).unwrap();
        while target.seen.lock().unwrap().len() < 2 {
            tokio::task::yield_now().await;
        }
        stream.send_reset(Reason::CANCEL);
        assert!(response.await.is_err());
        while target.resets.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        assert_eq!(*target.resets.lock().unwrap(), [Reason::CANCEL]);
    });
}

#[test]
fn what_a_target_refuses_or_leaves_is_asked_again() {
    let target = Target::default();
    let stage = stage(&target, Version::Http2);
    block_on(async {
        let mut client = Client::connect(stage.at).await;
        let answer = client.ask("GET", "/refused", &[], None).await.unwrap();
        assert_eq!(answer.status, 200);
        assert_eq!(target.refused.load(Ordering::SeqCst), 2);
        for _ in 0..20 {
            assert_eq!(client.ask("GET", "/leave", &[], None).await.unwrap().status, 200);
            assert_eq!(client.ask("GET", "/stay", &[], None).await.unwrap().status, 200);
        }
        // Each that left had to be replaced, and is counted once its exchange is over.
        let until = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
        while stage.counted(Metric::NewConnectionCount) < 20 {
            assert!(tokio::time::Instant::now() < until);
            tokio::task::yield_now().await;
        }
        let made = target.connections.load(Ordering::SeqCst) as u64;
        assert!(stage.counted(Metric::NewConnectionCount) <= made);
    });
}

#[test]
fn a_target_is_given_no_more_streams_than_it_takes() {
    let target = Target { streams: 3, ..Target::default() };
    let stage = stage(&target, Version::Http2);
    block_on(async {
        let client = Client::connect(stage.at).await;
        let asked = (0..60).map(|_| {
            let mut client = Client { send: client.send.clone() };
            async move { client.ask("POST", "/many", &[b"x"], None).await.unwrap().status }
        });
        assert!(futures_util::future::join_all(asked).await.iter().all(|status| *status == 200));
    });
}

#[test]
fn requests_share_a_connection_to_the_target() {
    let target = Target::default();
    let stage = stage(&target, Version::Http2);
    block_on(async {
        let mut client = Client::connect(stage.at).await;
        for _ in 0..20 {
            assert_eq!(client.ask("POST", "/one", &[b"x"], None).await.unwrap().body, b"x");
        }
    });
    // One of the checks', which may come and go, and one of the requests'.
    assert!(target.connections.load(Ordering::SeqCst) <= 3);
}

#[test]
fn calls_are_encrypted_again_where_the_group_says_so() {
    let made = crate::tls::certificate("own", &["somebody-else.example"]);
    let chain = vec![CertificateDer::from_pem_slice(made.chain.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(made.key.expose().as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let mut config = config.unwrap().with_no_client_auth().with_single_cert(chain, key).unwrap();
    config.alpn_protocols = vec![b"http/1.1".to_vec(), b"h2".to_vec()];
    let target = Target { tls: Some(TlsAcceptor::from(Arc::new(config))), ..Target::default() };
    let stage = Stage::before(target.start(), Version::Grpc, Protocol::Https, target.seen.clone());
    block_on(async {
        let mut client = Client::connect(stage.at).await;
        let echoed = client.ask("POST", "/echo.Echo/Unary", &[b"a", b"b"], None).await.unwrap();
        assert_eq!((echoed.status, echoed.body.as_slice()), (200, &b"ab"[..]));
        assert_eq!(echoed.trailers.unwrap()["grpc-status"], "0");
    });
}
