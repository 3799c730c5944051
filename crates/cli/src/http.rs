//! One request over HTTP/1.1 to the server on this machine.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Body;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Answers are pages of an API: larger ones are a mistake.
const ANSWER_LIMIT: usize = 64 << 20;

/// Sends `request` to `address` and reads the whole answer.
pub async fn send<B>(address: SocketAddr, request: Request<B>) -> Result<Response<Bytes>>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let stream = TcpStream::connect(address).await.with_context(|| {
        format!("nothing listens on {address}. Start it with `boxship up`, or name the server with --listen or --data-dir")
    })?;
    let _ = stream.set_nodelay(true);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let exchange = async {
        let (parts, body) = sender.send_request(request).await?.into_parts();
        match Limited::new(body, ANSWER_LIMIT).collect().await {
            Ok(body) => Ok(Response::from_parts(parts, body.to_bytes())),
            Err(error) => bail!("the answer could not be read: {error}"),
        }
    };
    let mut exchange = std::pin::pin!(exchange);
    tokio::select! {
        biased;
        answer = &mut exchange => answer,
        ended = connection => {
            ended.context("the server broke the connection")?;
            // It may have closed behind a whole answer.
            exchange.await
        }
    }
}

/// `GET path`, for the operator's endpoints.
pub async fn get(address: SocketAddr, path: &str) -> Result<Response<Bytes>> {
    let request = Request::get(path).header("host", host(address)).body(Full::<Bytes>::default())?;
    send(address, request).await
}

/// `POST path` with a JSON body, for the operator's endpoints.
pub async fn post(address: SocketAddr, path: &str, body: &serde_json::Value) -> Result<Response<Bytes>> {
    let request = Request::post(path)
        .header("host", host(address))
        .header("content-type", "application/json")
        .body(Full::<Bytes>::from(body.to_string()))?;
    send(address, request).await
}

pub(crate) fn host(address: SocketAddr) -> String {
    format!("localhost:{}", address.port())
}

/// What the server says to somebody whom it does not serve: a line of text, not an API's answer.
pub(crate) fn forbidden(answer: &Response<Bytes>) -> Option<String> {
    let is_text =
        answer.headers().get("content-type").is_some_and(|kind| kind.as_bytes().starts_with(b"text/plain"));
    let is_ours = answer.status() == hyper::StatusCode::FORBIDDEN && is_text;
    is_ours.then(|| String::from_utf8_lossy(answer.body()).trim().to_owned())
}

/// A value as a query string has it.
pub(crate) fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' | b':' | b'@' => {
                text.push(char::from(byte));
            }
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn only_what_a_query_cannot_have_is_escaped() {
        assert_eq!(escaped("localhost:4566/web@sha256:0a"), "localhost:4566/web@sha256:0a");
        assert_eq!(escaped("a b&c=\u{e9}"), "a%20b%26c%3D%C3%A9");
    }
}
