//! Repositories.

use aws_ecr as api;
use base::{Arn, Fault};
use service::{Tx, View};

use super::registry;
use crate::behaviour::page;
use crate::content::repository as find;
use crate::state::{Image, Layer, Mutability, Repository, Tag, Upload};
use crate::{Config, convert, faults};

pub fn create(
    config: &Config,
    tx: &mut Tx<'_>,
    request: api::CreateRepositoryRequest,
) -> Result<api::CreateRepositoryResponse, Fault> {
    let registry = registry(tx.caller, request.registry_id.as_ref())?;
    let name = request.repository_name;
    if request.image_scanning_configuration.is_some_and(|scanning| scanning.scan_on_push == Some(true)) {
        return Err(faults::refuse("imageScanningConfiguration.scanOnPush=true"));
    }
    if let Some(encryption) = request.encryption_configuration
        && encryption.encryption_type != "AES256"
    {
        return Err(faults::refuse(&format!("encryptionType={}", encryption.encryption_type)));
    }
    let mutability = mutability(request.image_tag_mutability.as_deref())?;
    if tx.get::<Repository>(&Repository::key_of(&registry, &name)).is_some() {
        return Err(faults::repository_exists(&registry, &name));
    }
    let account = tx.caller.account.clone();
    let repository = Repository {
        arn: Arn::new("ecr", &registry.region, &account, format_args!("repository/{name}")),
        registry,
        name,
        created_at: tx.now,
        mutability,
        tags: super::tag::collect(request.tags)?,
    };
    let shown = convert::repository(&repository, &config.host);
    tx.put(repository);
    Ok(api::CreateRepositoryResponse { repository: Some(shown) })
}

fn mutability(text: Option<&str>) -> Result<Mutability, Fault> {
    match text {
        None | Some("MUTABLE") => Ok(Mutability::Mutable),
        Some("IMMUTABLE") => Ok(Mutability::Immutable),
        Some(other) => Err(faults::refuse(&format!("imageTagMutability={other}"))),
    }
}

pub fn describe(
    config: &Config,
    view: &View<'_>,
    request: api::DescribeRepositoriesRequest,
) -> Result<api::DescribeRepositoriesResponse, Fault> {
    let registry = registry(view.caller, request.registry_id.as_ref())?;
    let show = |repository: &Repository| convert::repository(repository, &config.host);
    if let Some(names) = request.repository_names {
        let found: Result<Vec<_>, Fault> = names
            .iter()
            .map(|name| find(view, &registry, name).map(|repository| show(&repository)))
            .collect();
        return Ok(api::DescribeRepositoriesResponse { repositories: Some(found?), ..Default::default() });
    }
    let all = view.scan::<Repository>(&registry.key());
    let token = request.next_token.as_deref();
    let (page, next_token) =
        page::cut(all, |repository| repository.name.clone(), token, request.max_results)?;
    let repositories = page.iter().map(|repository| show(repository)).collect();
    Ok(api::DescribeRepositoriesResponse { repositories: Some(repositories), next_token })
}

pub fn delete(
    config: &Config,
    tx: &mut Tx<'_>,
    request: api::DeleteRepositoryRequest,
) -> Result<api::DeleteRepositoryResponse, Fault> {
    let registry = registry(tx.caller, request.registry_id.as_ref())?;
    let name = request.repository_name;
    let repository = find(tx, &registry, &name)?;
    let prefix = Repository::key_of(&registry, &name);
    let images: Vec<_> = tx.scan::<Image>(&prefix).map(|image| image.digest).collect();
    if !images.is_empty() && request.force != Some(true) {
        return Err(faults::repository_not_empty(&registry, &name));
    }
    for digest in images {
        tx.delete::<Image>(&Image::key_of(&registry, &name, &digest));
    }
    let tags: Vec<_> = tx.scan::<Tag>(&prefix).map(|tag| tag.tag.clone()).collect();
    for tag in tags {
        tx.delete::<Tag>(&Tag::key_of(&registry, &name, &tag));
    }
    let layers: Vec<_> = tx.scan::<Layer>(&prefix).map(|layer| layer.digest).collect();
    for digest in layers {
        tx.delete::<Layer>(&Layer::key_of(&registry, &name, &digest));
    }
    let uploads: Vec<_> = tx.scan::<Upload>(&prefix).map(|upload| upload.id.clone()).collect();
    for id in uploads {
        tx.delete::<Upload>(&Upload::key_of(&registry, &name, &id));
    }
    tx.delete::<Repository>(&prefix);
    let shown = convert::repository(&repository, &config.host);
    Ok(api::DeleteRepositoryResponse { repository: Some(shown) })
}

pub fn put_mutability(
    tx: &mut Tx<'_>,
    request: api::PutImageTagMutabilityRequest,
) -> Result<api::PutImageTagMutabilityResponse, Fault> {
    let registry = registry(tx.caller, request.registry_id.as_ref())?;
    let mut repository = (*find(tx, &registry, &request.repository_name)?).clone();
    repository.mutability = mutability(Some(&request.image_tag_mutability))?;
    let shown = convert::mutability(repository.mutability);
    tx.put(repository);
    Ok(api::PutImageTagMutabilityResponse {
        registry_id: Some(registry.account),
        repository_name: Some(request.repository_name),
        image_tag_mutability: Some(shown.to_owned()),
        ..Default::default()
    })
}

pub fn registry_of(
    view: &View<'_>,
    _: api::DescribeRegistryRequest,
) -> Result<api::DescribeRegistryResponse, Fault> {
    Ok(api::DescribeRegistryResponse {
        registry_id: Some(view.caller.account.to_string()),
        replication_configuration: Some(api::ReplicationConfiguration::default()),
    })
}
