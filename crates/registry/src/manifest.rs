//! Manifests and indexes, by tag or digest.

use std::time::Duration;

use bytes::Bytes;
use gateway::bytes as body_of;
use http::HeaderMap;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use service::Caller;
use service_ecr::{Content, Registry};

use crate::answer::{Answer, CONTENT_DIGEST, Refusal, put, status};

/// AWS: a manifest has at most 4 MiB.
const MAX_BYTES: usize = 4 << 20;
const BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// A tag, or a digest: only digests have a colon.
fn split(reference: &str) -> (Option<&str>, Option<&str>) {
    if reference.contains(':') { (Some(reference), None) } else { (None, Some(reference)) }
}

pub fn get(content: &Content, registry: &Registry, name: &str, reference: &str, is_head: bool) -> Answer {
    let (digest, tag) = split(reference);
    let manifest = content.manifest(registry, name, digest, tag)?;
    let length = manifest.bytes.len();
    let mut response = if is_head { status(StatusCode::OK) } else { Response::new(body_of(manifest.bytes)) };
    put(&mut response, CONTENT_TYPE, &manifest.media_type);
    put(&mut response, CONTENT_LENGTH, &length.to_string());
    put(&mut response, CONTENT_DIGEST, &manifest.digest.to_string());
    Ok(response)
}

pub async fn put_manifest(
    content: &Content,
    caller: Caller,
    name: &str,
    reference: &str,
    request: Request<Incoming>,
) -> Answer {
    let media_type = media_type(request.headers());
    let bytes = read(request.into_body()).await?;
    let (digest, tag) = split(reference);
    let own = blobs::Digest::of(&bytes);
    match content.put_manifest(caller, name, bytes, media_type.as_deref(), digest, tag).await {
        Ok(_) => {}
        // Pushing what is there already is no error for a client of a registry.
        Err(fault) if fault.code == "ImageAlreadyExistsException" => {}
        Err(fault) => return Err(fault.into()),
    }
    let mut response = status(StatusCode::CREATED);
    put(&mut response, LOCATION, &format!("/v2/{name}/manifests/{own}"));
    put(&mut response, CONTENT_DIGEST, &own.to_string());
    Ok(response)
}

/// Without parameters; absent or generic types leave it to the manifest.
fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let plain = value.split(';').next().unwrap_or(value).trim();
    (!matches!(plain, "" | "application/json" | "application/octet-stream")).then(|| plain.to_owned())
}

async fn read(body: Incoming) -> Result<Bytes, Refusal> {
    let read = tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, MAX_BYTES).collect()).await;
    match read {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(_)) => Err(Refusal::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "SIZE_INVALID",
            "A manifest has at most 4 MiB, and must arrive whole",
        )),
        Err(_) => {
            Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, "UNKNOWN", "The manifest did not arrive in time"))
        }
    }
}
