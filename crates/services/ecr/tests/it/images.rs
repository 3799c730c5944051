//! Images by digest and tag.

use aws_ecr::op::{BatchDeleteImage, BatchGetImage, DescribeImages, ListImages, PutImageTagMutability};
use aws_ecr::{
    BatchDeleteImageRequest, BatchGetImageRequest, DescribeImagesRequest, ImageIdentifier, ListImagesRequest,
    PutImageTagMutabilityRequest,
};
use blobs::Digest;
use testkit::refusal;

use crate::{Registry, manifest};

fn by(digest: Option<&str>, tag: Option<&str>) -> ImageIdentifier {
    ImageIdentifier { image_digest: digest.map(Into::into), image_tag: tag.map(Into::into) }
}

fn tags(registry: &Registry, digest: &str) -> Vec<String> {
    let request = DescribeImagesRequest {
        repository_name: "web".into(),
        image_ids: Some(vec![by(Some(digest), None)]),
        ..Default::default()
    };
    let details = registry.bench.ask::<DescribeImages>(request).unwrap().image_details.unwrap();
    details[0].image_tags.clone().unwrap_or_default()
}

#[test]
fn an_image_needs_its_layers() {
    let registry = Registry::with_repository();
    let config = registry.layer("web", b"{}");
    let absent = Digest::of(b"absent");
    let (code, text) = refusal(registry.put("web", &manifest(config, absent), Some("1")));
    assert_eq!(code, "LayersNotFoundException");
    assert!(text.contains(&absent.to_string()), "{text}");
    assert_eq!(refusal(registry.put("web", "{", None)).0, "InvalidParameterException");
    assert_eq!(refusal(registry.put("nope", "{}", None)).0, "InvalidParameterException");
}

#[test]
fn a_tag_moves_to_the_newest_image() {
    let registry = Registry::with_repository();
    let first = registry.image("web", "first", Some("latest"));
    let second = registry.image("web", "second", Some("latest"));
    assert_eq!(tags(&registry, &first), Vec::<String>::new());
    assert_eq!(tags(&registry, &second), ["latest"]);
    let request = ListImagesRequest { repository_name: "web".into(), ..Default::default() };
    assert_eq!(registry.bench.ask::<ListImages>(request).unwrap().image_ids.unwrap().len(), 2);
}

#[test]
fn the_same_image_under_the_same_tag_is_there_already() {
    let registry = Registry::with_repository();
    registry.image("web", "one", Some("1"));
    let text = manifest(Digest::of(b"{}"), Digest::of(b"one"));
    assert_eq!(refusal(registry.put("web", &text, Some("1"))).0, "ImageAlreadyExistsException");
    registry.put("web", &text, Some("2")).unwrap();
}

#[test]
fn an_immutable_tag_stays() {
    let registry = Registry::with_repository();
    registry.image("web", "one", Some("1"));
    let request = PutImageTagMutabilityRequest {
        repository_name: "web".into(),
        image_tag_mutability: "IMMUTABLE".into(),
        ..Default::default()
    };
    registry.bench.ask::<PutImageTagMutability>(request).unwrap();
    let other = manifest(registry.layer("web", b"{}2"), registry.layer("web", b"two"));
    assert_eq!(refusal(registry.put("web", &other, Some("1"))).0, "ImageTagAlreadyExistsException");
    registry.put("web", &other, Some("2")).unwrap();
}

#[test]
fn deleting_the_last_tag_deletes_the_image() {
    let registry = Registry::with_repository();
    let digest = registry.image("web", "one", Some("1"));
    let text = manifest(Digest::of(b"{}"), Digest::of(b"one"));
    registry.put("web", &text, Some("2")).unwrap();
    let delete = |id| {
        let request = BatchDeleteImageRequest {
            repository_name: "web".into(),
            image_ids: vec![id],
            ..Default::default()
        };
        registry.bench.ask::<BatchDeleteImage>(request).unwrap()
    };
    assert_eq!(delete(by(None, Some("1"))).image_ids.unwrap().len(), 1);
    assert_eq!(tags(&registry, &digest), ["2"]);
    delete(by(None, Some("2")));
    let gone = delete(by(Some(&digest), None));
    assert_eq!(gone.failures.unwrap()[0].failure_code.as_deref(), Some("ImageNotFound"));
}

#[test]
fn failures_name_what_was_asked() {
    let registry = Registry::with_repository();
    let digest = registry.image("web", "one", Some("1"));
    let other = registry.image("web", "two", Some("2"));
    let ids = vec![
        by(None, Some("1")),
        by(None, Some("9")),
        by(Some("x"), None),
        by(None, None),
        by(Some(&other), Some("1")),
        by(Some(&digest), Some("1")),
    ];
    let request =
        BatchGetImageRequest { repository_name: "web".into(), image_ids: ids, ..Default::default() };
    let answer = registry.bench.ask::<BatchGetImage>(request).unwrap();
    assert_eq!(answer.images.unwrap().len(), 2);
    let codes: Vec<_> =
        answer.failures.unwrap().into_iter().map(|failure| failure.failure_code.unwrap()).collect();
    assert_eq!(
        codes,
        ["ImageNotFound", "InvalidImageDigest", "MissingDigestAndTag", "ImageTagDoesNotMatchDigest"]
    );
}
