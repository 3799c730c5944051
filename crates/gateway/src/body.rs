//! Bodies of answers.

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::Response;

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
