//! Layers: the operations that Docker's protocol is made of.

use aws_ecr as api;
use base::Fault;
use blobs::Digest;
use bytes::Bytes;
use service::{Data, Tx, View};

use super::registry;
use crate::content::{Content, repository as find};
use crate::state::{Layer, Upload};
use crate::token::TICKET_FOR;
use crate::{Config, faults};

/// AWS: parts of 10 MiB are what it tells clients to send; it takes up to 20 MiB.
const PART_BYTES: i64 = 10 << 20;

pub fn initiate(
    tx: &mut Tx<'_>,
    request: api::InitiateLayerUploadRequest,
) -> Result<api::InitiateLayerUploadResponse, Fault> {
    let registry = registry(tx.caller, request.registry_id.as_ref())?;
    find(tx, &registry, &request.repository_name)?;
    let id = tx.chance.uuid();
    let created_at = tx.now;
    tx.put(Upload { registry, repository: request.repository_name, id: id.clone(), created_at });
    Ok(api::InitiateLayerUploadResponse { upload_id: Some(id), part_size: Some(PART_BYTES) })
}

pub async fn upload_part(
    config: Config,
    data: Data,
    request: api::UploadLayerPartRequest,
) -> Result<api::UploadLayerPartResponse, Fault> {
    let registry = registry(&data.caller, request.registry_id.as_ref())?;
    let (name, id) = (request.repository_name, request.upload_id);
    let content = Content::new(data.platform, &config);
    let mut staged = content.upload(&registry, &name, &id).await?;
    let received = staged.offset();
    let length = request.layer_part_blob.len() as i64;
    let is_next = u64::try_from(request.part_first_byte) == Ok(received);
    if !is_next || request.part_last_byte - request.part_first_byte + 1 != length {
        return Err(Fault::caller(
            "InvalidLayerPartException",
            format_args!(
                "The layer part does not continue the upload: {received} bytes were received so far"
            ),
        )
        .with_member("uploadId", id)
        .with_member("repositoryName", name));
    }
    staged.append(Bytes::from(request.layer_part_blob)).await.map_err(faults::storage)?;
    staged.flush().await.map_err(faults::storage)?;
    Ok(api::UploadLayerPartResponse {
        registry_id: Some(registry.account),
        repository_name: Some(name),
        upload_id: Some(id),
        last_byte_received: Some(request.part_last_byte),
    })
}

pub async fn complete(
    config: Config,
    data: Data,
    request: api::CompleteLayerUploadRequest,
) -> Result<api::CompleteLayerUploadResponse, Fault> {
    let registry = registry(&data.caller, request.registry_id.as_ref())?;
    let (name, id) = (request.repository_name, request.upload_id);
    let [digest] = request.layer_digests.as_slice() else {
        return Err(faults::invalid("Invalid parameter at 'layerDigests': exactly one digest is supported"));
    };
    let digest: Digest = digest
        .parse()
        .map_err(|error| faults::invalid(format_args!("Invalid parameter at 'layerDigests': {error}")))?;
    let content = Content::new(data.platform, &config);
    if content.layer(&registry, &name, &digest).is_ok() {
        return Err(faults::layer_exists(&registry, &name, &digest));
    }
    let staged = content.upload(&registry, &name, &id).await?;
    if staged.offset() == 0 {
        return Err(Fault::caller("EmptyUploadException", "The upload has no parts"));
    }
    content.finish(data.caller, &name, &id, staged, digest).await?;
    Ok(api::CompleteLayerUploadResponse {
        registry_id: Some(registry.account),
        repository_name: Some(name),
        upload_id: Some(id),
        layer_digest: Some(digest.to_string()),
    })
}

pub fn check(
    view: &View<'_>,
    request: api::BatchCheckLayerAvailabilityRequest,
) -> Result<api::BatchCheckLayerAvailabilityResponse, Fault> {
    let registry = registry(view.caller, request.registry_id.as_ref())?;
    let name = &request.repository_name;
    find(view, &registry, name)?;
    let (mut layers, mut failures) = (Vec::new(), Vec::new());
    for text in request.layer_digests {
        let Ok(digest) = text.parse::<Digest>() else {
            failures.push(api::LayerFailure {
                layer_digest: Some(text),
                failure_code: Some(String::from("InvalidLayerDigest")),
                failure_reason: Some(String::from("Invalid layer digest")),
            });
            continue;
        };
        let layer = view.get::<Layer>(&Layer::key_of(&registry, name, &digest));
        let availability = if layer.is_some() { "AVAILABLE" } else { "UNAVAILABLE" };
        layers.push(api::Layer {
            layer_digest: Some(text),
            layer_availability: Some(availability.to_owned()),
            layer_size: layer.map(|layer| i64::try_from(layer.size).unwrap_or(i64::MAX)),
            ..Default::default()
        });
    }
    Ok(api::BatchCheckLayerAvailabilityResponse { layers: Some(layers), failures: Some(failures) })
}

pub fn download_url(
    config: &Config,
    view: &View<'_>,
    request: api::GetDownloadUrlForLayerRequest,
) -> Result<api::GetDownloadUrlForLayerResponse, Fault> {
    let registry = registry(view.caller, request.registry_id.as_ref())?;
    let (name, digest) = (&request.repository_name, &request.layer_digest);
    find(view, &registry, name)?;
    let parsed: Option<Digest> = digest.parse().ok();
    let layer = parsed.and_then(|parsed| view.get::<Layer>(&Layer::key_of(&registry, name, &parsed)));
    if layer.is_none() {
        return Err(faults::layer_inaccessible(&registry, name, digest));
    }
    let ticket = config.tokens.ticket(&registry, name, digest, (config.wall)() + TICKET_FOR);
    let url = format!("http://{}/v2/{name}/blobs/{digest}?ticket={ticket}", config.host);
    Ok(api::GetDownloadUrlForLayerResponse {
        download_url: Some(url),
        layer_digest: Some(request.layer_digest),
    })
}
