//! Layers on their way in: in one request, in chunks, or taken from another repository.

use std::time::Duration;

use aws_ecr::InitiateLayerUploadRequest;
use aws_ecr::op::InitiateLayerUpload;
use blobs::Staged;
use http::HeaderMap;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, LOCATION, RANGE};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::{Request, StatusCode};
use service::{Caller, Platform};
use service_ecr::{Content, Registry};

use crate::answer::{Answer, CONTENT_DIGEST, Refusal, UPLOAD_UUID, put, status};
use crate::blob::parse_digest;
use crate::path::parameter;

/// A client that sends nothing for so long has gone away; what it sent stays for it to resume.
const IDLE: Duration = Duration::from_secs(60);

pub async fn begin(
    platform: &Platform,
    content: &Content,
    caller: Caller,
    name: &str,
    request: Request<Incoming>,
) -> Answer {
    let query = request.uri().query().map(str::to_owned);
    if let (Some(mount), Some(from)) =
        (parameter(query.as_deref(), "mount"), parameter(query.as_deref(), "from"))
        && let Ok(digest) = parse_digest(&mount)
        && content.mount(caller.clone(), &from, name, digest).await?
    {
        return Ok(created(name, &mount));
    }
    let input = InitiateLayerUploadRequest { registry_id: None, repository_name: name.to_owned() };
    let id = platform.call::<InitiateLayerUpload>(caller.clone(), input).await?.upload_id.unwrap_or_default();
    if parameter(query.as_deref(), "digest").is_some() {
        return complete(content, caller, name, &id, request).await;
    }
    Ok(accepted(StatusCode::ACCEPTED, name, &id, 0))
}

pub async fn append(
    content: &Content,
    registry: &Registry,
    name: &str,
    id: &str,
    request: Request<Incoming>,
) -> Answer {
    let mut staged = content.upload(registry, name, id).await?;
    if let Some(start) = first_byte(request.headers())
        && start != staged.offset()
    {
        return Ok(accepted(StatusCode::RANGE_NOT_SATISFIABLE, name, id, staged.offset()));
    }
    receive(&mut staged, request.into_body()).await?;
    Ok(accepted(StatusCode::ACCEPTED, name, id, staged.offset()))
}

pub async fn complete(
    content: &Content,
    caller: Caller,
    name: &str,
    id: &str,
    request: Request<Incoming>,
) -> Answer {
    let text = parameter(request.uri().query(), "digest").ok_or_else(|| {
        Refusal::new(StatusCode::BAD_REQUEST, "DIGEST_INVALID", "The digest parameter is missing")
    })?;
    let digest = parse_digest(&text)?;
    let registry = Registry::of(&caller);
    let mut staged = content.upload(&registry, name, id).await?;
    if let Some(start) = first_byte(request.headers())
        && start != staged.offset()
    {
        return Ok(accepted(StatusCode::RANGE_NOT_SATISFIABLE, name, id, staged.offset()));
    }
    receive(&mut staged, request.into_body()).await?;
    content.finish(caller, name, id, staged, digest).await?;
    Ok(created(name, &text))
}

pub async fn progress(content: &Content, registry: &Registry, name: &str, id: &str) -> Answer {
    let staged = content.upload(registry, name, id).await?;
    Ok(accepted(StatusCode::NO_CONTENT, name, id, staged.offset()))
}

pub async fn cancel(content: &Content, caller: Caller, name: &str, id: &str) -> Answer {
    content.cancel(caller, name, id).await?;
    Ok(status(StatusCode::NO_CONTENT))
}

/// The first byte of `Content-Range: 0-1023`, with or without a unit.
fn first_byte(headers: &HeaderMap) -> Option<u64> {
    let text = headers.get(CONTENT_RANGE)?.to_str().ok()?;
    let text = text.strip_prefix("bytes ").unwrap_or(text);
    text.split('-').next()?.trim().parse().ok()
}

/// Takes in a body. What came before a connection broke stays, for the client to resume.
async fn receive(staged: &mut Staged, mut body: Incoming) -> Result<(), Refusal> {
    let broken = |why: &str| Refusal::new(StatusCode::BAD_REQUEST, "BLOB_UPLOAD_INVALID", why);
    let storage = |error: blobs::BlobError| {
        tracing::error!(%error, "an upload cannot be written");
        Refusal::new(StatusCode::INSUFFICIENT_STORAGE, "BLOB_UPLOAD_INVALID", error)
    };
    loop {
        let frame = match tokio::time::timeout(IDLE, body.frame()).await {
            Ok(Some(Ok(frame))) => frame,
            Ok(None) => break,
            Ok(Some(Err(_))) => {
                staged.flush().await.map_err(storage)?;
                return Err(broken("The connection broke"));
            }
            Err(_) => {
                staged.flush().await.map_err(storage)?;
                return Err(broken("The client sent nothing for too long"));
            }
        };
        if let Ok(bytes) = frame.into_data() {
            staged.append(bytes).await.map_err(storage)?;
        }
    }
    staged.flush().await.map_err(storage)
}

fn accepted(code: StatusCode, name: &str, id: &str, received: u64) -> hyper::Response<gateway::Body> {
    let mut response = status(code);
    put(&mut response, LOCATION, &format!("/v2/{name}/blobs/uploads/{id}"));
    put(&mut response, UPLOAD_UUID, id);
    put(&mut response, RANGE, &format!("0-{}", received.saturating_sub(1)));
    put(&mut response, CONTENT_LENGTH, "0");
    response
}

fn created(name: &str, digest: &str) -> hyper::Response<gateway::Body> {
    let mut response = status(StatusCode::CREATED);
    put(&mut response, LOCATION, &format!("/v2/{name}/blobs/{digest}"));
    put(&mut response, CONTENT_DIGEST, digest);
    put(&mut response, CONTENT_LENGTH, "0");
    response
}
