//! One probe: a connection, a request, a code.

use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use core_routing::limits::RESPONSE_HEADERS_BYTES;
use core_routing::{Outcome, Protocol, TargetGroup, Version};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpSocket;

use super::Shared;
use super::target::Setup;

/// AWS: how the checker names itself.
const USER_AGENT: &str = "ELB-HealthChecker/2.0";

/// As health check logs name it.
pub(super) fn kind(group: &TargetGroup) -> &'static str {
    match (group.version, group.check.protocol) {
        (Version::Grpc, Protocol::Http) => "grpc",
        (Version::Grpc, Protocol::Https) => "grpcs",
        (Version::Http2, _) => "h2",
        (Version::Http1, Protocol::Http) => "http",
        (Version::Http1, Protocol::Https) => "https",
    }
}

/// Probes once. AWS: a connection of its own each time, closed afterwards; the timeout is over all
/// of it.
pub(super) async fn probe(shared: &Shared, setup: &Setup) -> Outcome {
    let Some(from) = setup.from else { return Outcome::Impossible };
    let socket = match shared.config.sockets.dial(&setup.balancer.place, from).await {
        Ok(socket) => TcpSocket::from_std_stream(std::net::TcpStream::from(socket)),
        Err(error) => {
            tracing::warn!(target_group = &*setup.group.id, %error, "a health check got no socket");
            return Outcome::Impossible;
        }
    };
    match tokio::time::timeout(setup.group.check.timeout, ask(shared, setup, socket)).await {
        Ok(Ok(code)) => Outcome::Answered(code),
        Ok(Err(_)) => Outcome::Broken,
        Err(_) => Outcome::TimedOut,
    }
}

async fn ask(shared: &Shared, setup: &Setup, socket: TcpSocket) -> io::Result<u16> {
    let stream = socket.connect(SocketAddr::V4(setup.to)).await?;
    stream.set_nodelay(true)?;
    match setup.group.check.protocol {
        Protocol::Http => speak(setup, stream).await,
        Protocol::Https => {
            let is_http2 = setup.group.version != Version::Http1;
            let stream = shared.reencryption.connect(stream, *setup.to.ip(), is_http2).await?;
            speak(setup, stream).await
        }
    }
}

async fn speak<S: AsyncRead + AsyncWrite + Unpin + 'static>(setup: &Setup, stream: S) -> io::Result<u16> {
    match setup.group.version {
        Version::Http1 => http1(setup, stream).await,
        Version::Http2 | Version::Grpc => http2(setup, stream).await,
    }
}

async fn http1<S: AsyncRead + AsyncWrite + Unpin>(setup: &Setup, mut stream: S) -> io::Result<u16> {
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nUser-Agent: {USER_AGENT}\r\n\
         Accept-Encoding: gzip, compressed\r\n\r\n",
        setup.group.check.path, setup.to
    );
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let mut head = Vec::with_capacity(1024);
    loop {
        while let Some((code, used)) = status(&head)? {
            // Informational answers come before the one that counts.
            if code >= 200 {
                return Ok(code);
            }
            head.drain(..used);
        }
        if head.len() > RESPONSE_HEADERS_BYTES {
            return Err(io::ErrorKind::InvalidData.into());
        }
        if stream.read_buf(&mut head).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// The status of a head that is whole, and the head's length.
fn status(head: &[u8]) -> io::Result<Option<(u16, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; core_routing::limits::HEADER_LINES];
    let mut response = httparse::Response::new(&mut headers);
    match response.parse(head) {
        Ok(httparse::Status::Complete(used)) => Ok(response.code.map(|code| (code, used))),
        Ok(httparse::Status::Partial) => Ok(None),
        Err(error) => Err(io::Error::new(io::ErrorKind::InvalidData, error)),
    }
}

async fn http2<S: AsyncRead + AsyncWrite + Unpin + 'static>(setup: &Setup, stream: S) -> io::Result<u16> {
    let (send, connection) = h2::client::handshake(stream).await.map_err(io::Error::other)?;
    let driven = Driven(tokio::task::spawn_local(connection).abort_handle());
    let code = match setup.group.version {
        Version::Grpc => grpc(setup, send).await,
        Version::Http1 | Version::Http2 => plain(setup, send).await,
    };
    drop(driven);
    code.map_err(io::Error::other)
}

/// Ends the task of a probe's connection with the probe.
struct Driven(tokio::task::AbortHandle);

impl Drop for Driven {
    fn drop(&mut self) {
        self.0.abort();
    }
}

type Sender = h2::client::SendRequest<Bytes>;
type Failure = Box<dyn std::error::Error + Send + Sync>;

fn request(setup: &Setup, method: http::Method) -> http::request::Builder {
    let scheme = match setup.group.check.protocol {
        Protocol::Http => "http",
        Protocol::Https => "https",
    };
    let uri = format!("{scheme}://{}{}", setup.to, setup.group.check.path);
    http::Request::builder().method(method).uri(uri).header("user-agent", USER_AGENT)
}

async fn plain(setup: &Setup, send: Sender) -> Result<u16, Failure> {
    let request = request(setup, http::Method::GET).header("accept-encoding", "gzip, compressed").body(())?;
    let (response, _) = send.ready().await?.send_request(request, true)?;
    Ok(response.await?.status().as_u16())
}

/// An empty message to the method that the path names; its status comes in the trailers, or in the
/// headers where the answer has nothing else.
async fn grpc(setup: &Setup, send: Sender) -> Result<u16, Failure> {
    let request = request(setup, http::Method::POST)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())?;
    let (response, mut body) = send.ready().await?.send_request(request, false)?;
    body.send_data(Bytes::from_static(&[0; 5]), true)?;
    let response = response.await?;
    if let Some(code) = grpc_status(response.headers()) {
        return Ok(code);
    }
    let mut answer = response.into_body();
    while let Some(piece) = answer.data().await {
        let length = piece?.len();
        answer.flow_control().release_capacity(length)?;
    }
    let trailers = answer.trailers().await?.unwrap_or_default();
    grpc_status(&trailers).ok_or_else(|| "no gRPC status came".into())
}

fn grpc_status(headers: &http::HeaderMap) -> Option<u16> {
    headers.get("grpc-status")?.to_str().ok()?.parse().ok()
}
