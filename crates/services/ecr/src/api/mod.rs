//! The operations, one file per resource.

mod authorization;
mod image;
mod layer;
mod repository;
mod tag;

use aws_ecr::op;
use base::Fault;
use service::{Acts, Caller, Operation};

use crate::state::Registry;
use crate::{Config, faults};

/// The registry that a request means: the caller's own.
fn registry(caller: &Caller, id: Option<&String>) -> Result<Registry, Fault> {
    match id {
        Some(id) if id != caller.account.as_str() => Err(faults::foreign_registry(id)),
        _ => Ok(Registry::of(caller)),
    }
}

pub fn operations(config: &Config) -> Vec<Operation> {
    let [a, b, c] = [config.clone(), config.clone(), config.clone()];
    let mut all = vec![
        Operation::read::<op::GetAuthorizationToken>(Acts::On(&["registryIds"]), {
            let config = config.clone();
            move |view, request| authorization::get(&config, view, request)
        }),
        Operation::read::<op::DescribeRegistry>(Acts::All, repository::registry_of),
        Operation::write::<op::CreateRepository>(
            Acts::On(&[
                "registryId",
                "repositoryName",
                "tags",
                "imageTagMutability",
                "imageScanningConfiguration.scanOnPush",
                "encryptionConfiguration.encryptionType",
            ]),
            move |tx, request| repository::create(&a, tx, request),
        ),
        Operation::read::<op::DescribeRepositories>(Acts::All, move |view, request| {
            repository::describe(&b, view, request)
        }),
        Operation::write::<op::DeleteRepository>(Acts::All, move |tx, request| {
            repository::delete(&c, tx, request)
        }),
        Operation::write::<op::PutImageTagMutability>(
            Acts::On(&["registryId", "repositoryName", "imageTagMutability"]),
            repository::put_mutability,
        ),
        Operation::read::<op::ListImages>(
            Acts::On(&["registryId", "repositoryName", "nextToken", "maxResults", "filter.tagStatus"]),
            image::list,
        ),
        Operation::read::<op::DescribeImages>(
            Acts::On(&[
                "registryId",
                "repositoryName",
                "imageIds",
                "nextToken",
                "maxResults",
                "filter.tagStatus",
            ]),
            image::describe,
        ),
        Operation::write::<op::BatchDeleteImage>(Acts::All, image::delete),
        Operation::write::<op::TagResource>(Acts::All, tag::add),
        Operation::write::<op::UntagResource>(Acts::All, tag::remove),
        Operation::read::<op::ListTagsForResource>(Acts::All, tag::list),
        Operation::write::<op::InitiateLayerUpload>(Acts::All, layer::initiate),
        Operation::read::<op::BatchCheckLayerAvailability>(Acts::All, layer::check),
    ];
    all.extend(content_operations(config));
    all
}

/// The operations whose work is in the blobs.
fn content_operations(config: &Config) -> Vec<Operation> {
    let [a, b, c, d, e] = std::array::from_fn(|_| config.clone());
    vec![
        Operation::data::<op::PutImage, _, _>(Acts::All, move |data, request| {
            image::put(a.clone(), data, request)
        }),
        Operation::data::<op::BatchGetImage, _, _>(Acts::All, move |data, request| {
            image::get(b.clone(), data, request)
        }),
        Operation::data::<op::UploadLayerPart, _, _>(Acts::All, move |data, request| {
            layer::upload_part(c.clone(), data, request)
        }),
        Operation::data::<op::CompleteLayerUpload, _, _>(Acts::All, move |data, request| {
            layer::complete(d.clone(), data, request)
        }),
        Operation::read::<op::GetDownloadUrlForLayer>(Acts::All, move |view, request| {
            layer::download_url(&e, view, request)
        }),
    ]
}
