//! Answers and errors in the protocol's form.

use base::{Blame, Fault};
use gateway::{Body, bytes, empty};
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, WWW_AUTHENTICATE};
use hyper::{Response, StatusCode};
use serde_json::json;

/// What an endpoint answers with.
pub type Answer = Result<Response<Body>, Refusal>;

/// An error of the protocol.
#[derive(Debug)]
pub struct Refusal {
    pub status: StatusCode,
    pub code: &'static str,
    pub message: String,
}

impl Refusal {
    pub fn new(status: StatusCode, code: &'static str, message: impl std::fmt::Display) -> Self {
        Refusal { status, code, message: message.to_string() }
    }
}

impl From<Fault> for Refusal {
    /// ECR's errors as its registry shows them.
    fn from(fault: Fault) -> Self {
        let (status, code) = match &*fault.code {
            "RepositoryNotFoundException" => (StatusCode::NOT_FOUND, "NAME_UNKNOWN"),
            "ImageNotFoundException" => (StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN"),
            "LayersNotFoundException" => (StatusCode::NOT_FOUND, "BLOB_UNKNOWN"),
            "ReferencedImagesNotFoundException" => (StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN"),
            "InvalidLayerPartException" => (StatusCode::BAD_REQUEST, "BLOB_UPLOAD_INVALID"),
            "UploadNotFoundException" => (StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN"),
            "InvalidLayerException" | "ImageDigestDoesNotMatchException" => {
                (StatusCode::BAD_REQUEST, "DIGEST_INVALID")
            }
            "ImageTagAlreadyExistsException" => (StatusCode::BAD_REQUEST, "TAG_INVALID"),
            "InvalidParameterException" => (StatusCode::BAD_REQUEST, "MANIFEST_INVALID"),
            "AccessDeniedException" => (StatusCode::FORBIDDEN, "DENIED"),
            "ServiceUnavailable" => (StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE"),
            _ if fault.blame == Blame::Caller => (StatusCode::BAD_REQUEST, "UNSUPPORTED"),
            _ => (StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN"),
        };
        Refusal { status, code, message: fault.message }
    }
}

impl Refusal {
    pub fn response(self, realm: &str) -> Response<Body> {
        let body = json!({ "errors": [{ "code": self.code, "message": self.message }] });
        let mut response = Response::new(bytes(body.to_string()));
        *response.status_mut() = self.status;
        response
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
        if self.status == StatusCode::UNAUTHORIZED {
            put(
                &mut response,
                WWW_AUTHENTICATE,
                &format!("Basic realm=\"{realm}\",service=\"ecr.amazonaws.com\""),
            );
        }
        response
    }
}

pub fn status(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(empty());
    *response.status_mut() = status;
    response
}

pub fn json(value: &serde_json::Value) -> Response<Body> {
    let mut response = Response::new(bytes(value.to_string()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    response
}

/// Sets a header; a value that HTTP cannot carry is left out.
pub fn put(response: &mut Response<Body>, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

pub const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
pub const UPLOAD_UUID: HeaderName = HeaderName::from_static("docker-upload-uuid");
pub const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");
