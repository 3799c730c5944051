//! Answers in the forms that the agent of AWS gives them.

use bytes::Bytes;
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use http_body_util::Full;
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

pub(crate) type Answer = Response<Full<Bytes>>;

pub(crate) fn json(status: StatusCode, value: &Value) -> Answer {
    body(status, value.to_string(), "application/json")
}

pub(crate) fn ok(value: &Value) -> Answer {
    json(StatusCode::OK, value)
}

pub(crate) fn text(status: StatusCode, text: &str) -> Answer {
    body(status, text.to_owned(), "text/plain; charset=utf-8")
}

/// AWS: the metadata handlers answer their errors as one JSON text.
pub(crate) fn sentence(status: StatusCode, text: impl std::fmt::Display) -> Answer {
    json(status, &Value::String(text.to_string()))
}

/// AWS: the credentials handler's errors.
pub(crate) fn coded(status: StatusCode, code: &str, message: &str) -> Answer {
    json(status, &json!({ "code": code, "message": message, "HTTPErrorCode": status.as_u16() }))
}

/// A path that nobody answers.
pub(crate) fn nothing() -> Answer {
    text(StatusCode::NOT_FOUND, "404 page not found\n")
}

fn body(status: StatusCode, body: String, kind: &'static str) -> Answer {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
