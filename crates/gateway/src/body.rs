//! Bodies of answers.

use std::time::Duration;

use base::Fault;
use bytes::{Bytes, BytesMut};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::Response;
use hyper::body::Incoming;

/// What answers are made of. Errors end the connection.
pub type Body = UnsyncBoxBody<Bytes, std::io::Error>;

pub fn bytes(content: impl Into<Bytes>) -> Body {
    Full::new(content.into()).map_err(|never| match never {}).boxed_unsync()
}

pub fn empty() -> Body {
    bytes(Bytes::new())
}

/// A plain-text answer: the operator's endpoints and refusals before any protocol is known.
pub fn text(status: http::StatusCode, content: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(bytes(content));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// Bytes beyond the limit that are read and thrown away: who sends on while the answer comes would
/// see a broken connection instead of it.
const DRAIN: usize = 256 << 20;

/// Reads a request's body of at most `limit` bytes, within `patience`.
pub(crate) async fn gather(body: Incoming, limit: usize, patience: Duration) -> Result<Bytes, Fault> {
    match tokio::time::timeout(patience, read(body, limit)).await {
        Ok(read) => read,
        Err(_) => {
            Err(Fault::caller("RequestTimeout", "The request body did not arrive in time").with_status(408))
        }
    }
}

async fn read(mut body: Incoming, limit: usize) -> Result<Bytes, Fault> {
    let (mut first, mut rest, mut received) = (Bytes::new(), BytesMut::new(), 0usize);
    while let Some(frame) = body.frame().await {
        let frame = frame
            .map_err(|_| Fault::caller("IncompleteBody", "The request body ended early").with_status(400))?;
        let Ok(data) = frame.into_data() else { continue };
        received = received.saturating_add(data.len());
        if received > limit.saturating_add(DRAIN) {
            break;
        }
        if received > limit {
            (first, rest) = (Bytes::new(), BytesMut::new());
        } else if first.is_empty() && rest.is_empty() {
            // Most bodies come in one piece: it is kept as it is.
            first = data;
        } else {
            if !first.is_empty() {
                rest.extend_from_slice(&std::mem::take(&mut first));
            }
            rest.extend_from_slice(&data);
        }
    }
    if received > limit {
        let text = format!("The request body has more than {limit} bytes");
        return Err(Fault::caller("RequestEntityTooLargeException", text).with_status(413));
    }
    Ok(if rest.is_empty() { first } else { rest.freeze() })
}
