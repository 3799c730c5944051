//! One request, one connection.

use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ::http::header::{HOST, USER_AGENT};
use ::http::uri::Scheme;
use ::http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

/// Until a connection stands, until an answer begins, and between two pieces of it.
const CONNECT: Duration = Duration::from_secs(15);
const ANSWER: Duration = Duration::from_secs(60);
const PIECE: Duration = Duration::from_secs(60);

pub(super) type Failure = String;

#[derive(Default)]
pub(super) struct Http {
    tls: OnceLock<Arc<rustls::ClientConfig>>,
}

/// An answer whose body is still to come. Its connection ends with it.
pub(super) struct Answer {
    response: Response<Incoming>,
    _connection: Connection,
}

struct Connection(JoinHandle<()>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

impl Http {
    /// Sends a GET. The text of a failure names no credentials.
    pub async fn get(&self, uri: &Uri, headers: HeaderMap) -> Result<Answer, Failure> {
        let stream = within(CONNECT, "connecting", self.connect(uri)).await?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|e| explain("handshake", &e))?;
        let connection = Connection(tokio::spawn(async move {
            // Its failure shows in the answer.
            let _ = connection.await;
        }));
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let mut request =
            Request::get(path).body(Empty::<Bytes>::new()).map_err(|e| explain("request", &e))?;
        *request.headers_mut() = headers;
        let authority = uri.authority().map(|a| a.as_str()).unwrap_or_default();
        let host = HeaderValue::from_str(authority).map_err(|e| explain("request", &e))?;
        request.headers_mut().insert(HOST, host);
        request.headers_mut().insert(USER_AGENT, HeaderValue::from_static("boxship"));
        let send = async { sender.send_request(request).await.map_err(|e| explain("request", &e)) };
        let response = within(ANSWER, "waiting for an answer", send).await?;
        Ok(Answer { response, _connection: connection })
    }

    async fn connect(&self, uri: &Uri) -> Result<Box<dyn Stream>, Failure> {
        let host = uri.host().ok_or("the address has no host")?;
        let is_tls = uri.scheme() == Some(&Scheme::HTTPS);
        let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let tcp = TcpStream::connect((bare, port)).await.map_err(|e| explain("dial tcp", &e))?;
        tcp.set_nodelay(true).map_err(|e| explain("dial tcp", &e))?;
        if !is_tls {
            return Ok(Box::new(tcp));
        }
        let name = ServerName::try_from(bare.to_owned()).map_err(|e| explain("tls", &e))?;
        let connector = TlsConnector::from(self.tls()?);
        let stream = connector.connect(name, tcp).await.map_err(|e| explain("tls", &e))?;
        Ok(Box::new(stream))
    }

    fn tls(&self) -> Result<Arc<rustls::ClientConfig>, Failure> {
        if let Some(config) = self.tls.get() {
            return Ok(config.clone());
        }
        let mut roots = rustls::RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| explain("tls", &e))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(self.tls.get_or_init(|| Arc::new(config)).clone())
    }
}

impl Answer {
    pub fn status(&self) -> StatusCode {
        self.response.status()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.response.headers().get(name)?.to_str().ok()
    }

    pub fn headers(&self, name: &str) -> impl Iterator<Item = &str> {
        self.response.headers().get_all(name).iter().filter_map(|value| value.to_str().ok())
    }

    /// The next piece of the body, or None at its end.
    pub async fn piece(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            let next = async { Ok(self.response.body_mut().frame().await) };
            match within(PIECE, "waiting for data", next).await? {
                None => return Ok(None),
                Some(Err(e)) => return Err(explain("body", &e)),
                Some(Ok(frame)) => {
                    // Trailers say nothing that we ask for.
                    if let Ok(bytes) = frame.into_data() {
                        return Ok(Some(bytes));
                    }
                }
            }
        }
    }

    /// The whole body, at most `limit` bytes.
    pub async fn body(mut self, limit: u64) -> Result<Bytes, Failure> {
        let mut body = Vec::new();
        while let Some(piece) = self.piece().await? {
            if (body.len() + piece.len()) as u64 > limit {
                return Err(format!("the answer has more than {limit} bytes"));
            }
            body.extend_from_slice(&piece);
        }
        Ok(body.into())
    }
}

async fn within<T>(
    limit: Duration,
    what: &str,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    match tokio::time::timeout(limit, work).await {
        Ok(done) => done,
        Err(_) => Err(format!("{what}: i/o timeout after {} s", limit.as_secs())),
    }
}

fn explain(what: &str, error: &dyn std::error::Error) -> Failure {
    let mut text = format!("{what}: {error}");
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}
