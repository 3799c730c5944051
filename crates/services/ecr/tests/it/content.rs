//! Layers on their way in, and what is swept.

use std::time::Duration;

use aws_ecr::op::{BatchCheckLayerAvailability, GetDownloadUrlForLayer, InitiateLayerUpload};
use aws_ecr::{
    BatchCheckLayerAvailabilityRequest, GetDownloadUrlForLayerRequest, InitiateLayerUploadRequest,
};
use blobs::Digest;
use testkit::{customer, refusal};

use crate::Registry;

fn begin(registry: &Registry) -> String {
    let request = InitiateLayerUploadRequest { repository_name: "web".into(), ..Default::default() };
    registry.bench.ask::<InitiateLayerUpload>(request).unwrap().upload_id.unwrap()
}

#[test]
fn parts_follow_each_other_and_the_digest_decides() {
    let registry = Registry::with_repository();
    let id = begin(&registry);
    assert_eq!(registry.part("web", &id, 0, b"hel").unwrap(), 2);
    assert_eq!(refusal(registry.part("web", &id, 7, b"lo")).0, "InvalidLayerPartException");
    assert_eq!(registry.part("web", &id, 3, b"lo").unwrap(), 4);
    let wrong = Digest::of(b"other").to_string();
    assert_eq!(refusal(registry.complete("web", &id, &wrong)).0, "InvalidLayerException");
    // The upload is gone with it, and nothing of it is visible.
    assert_eq!(refusal(registry.part("web", &id, 5, b"!")).0, "UploadNotFoundException");
    assert!(!registry.blobs.exists(&Digest::of(b"hello")));
    let id = begin(&registry);
    assert_eq!(refusal(registry.complete("web", &id, &wrong)).0, "EmptyUploadException");
}

#[test]
fn a_layer_belongs_to_the_repositories_that_have_it() {
    let registry = Registry::with_repository();
    registry.create("other", None).unwrap();
    let digest = registry.layer("web", b"hello");
    let check = |name: &str| {
        let request = BatchCheckLayerAvailabilityRequest {
            repository_name: name.into(),
            layer_digests: vec![digest.to_string()],
            ..Default::default()
        };
        let answer = registry.bench.ask::<BatchCheckLayerAvailability>(request).unwrap();
        answer.layers.unwrap().remove(0).layer_availability.unwrap()
    };
    assert_eq!([check("web"), check("other")], ["AVAILABLE", "UNAVAILABLE"]);
    let mount = |from: &str| registry.bench.wait(registry.content.mount(customer(), from, "other", digest));
    assert!(!mount("nowhere").unwrap());
    assert!(mount("web").unwrap());
    assert_eq!(check("other"), "AVAILABLE");
    let request = GetDownloadUrlForLayerRequest {
        repository_name: "other".into(),
        layer_digest: digest.to_string(),
        ..Default::default()
    };
    let url = registry.bench.ask::<GetDownloadUrlForLayer>(request).unwrap().download_url.unwrap();
    assert!(url.starts_with(&format!("http://localhost:4566/v2/other/blobs/{digest}?ticket=")), "{url}");
}

#[test]
fn what_no_image_names_goes_after_a_day() {
    let registry = Registry::with_repository();
    registry.image("web", "kept", Some("1"));
    registry.layer("web", b"orphan");
    begin(&registry);
    let sweep = || {
        let write = registry.bench.platform.write("Sweep", customer(), service_ecr::sweep);
        registry.bench.wait(write).unwrap()
    };
    assert_eq!(sweep(), 0, "a push may still be under way");
    registry.bench.advance(Duration::from_secs(25 * 3600));
    assert_eq!(sweep(), 2, "the orphan and the upload");
    let live = service_ecr::live_blobs(&registry.bench.platform.store().snapshot());
    assert!(live.contains(&Digest::of(b"kept")) && !live.contains(&Digest::of(b"orphan")));
}
