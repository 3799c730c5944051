//! Requests in, answers out, over the memory store. The many ways in which an import can be wrong
//! are the conformance suite's, which has OpenSSL to make them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use authority::{Leaf, Root, Seal};
use aws_acm::{
    DeleteCertificateRequest, DescribeCertificateRequest, ExportCertificateRequest, ImportCertificateRequest,
    ListCertificatesRequest, op,
};
use base::clock::Clock;
use base::{AccountId, Fault, Region, Secret, Timestamp};
use service::{Caller, Origin, Platform, PlatformBuilder, Principal};
use store::{Memory, Snapshot, Store};

struct Scene {
    platform: Platform,
    seal: Arc<Seal>,
    root: Root,
}

/// The certificate that the database's fact `used` names is used.
fn uses(records: &Snapshot, arn: &str) -> Vec<String> {
    records
        .meta("used")
        .filter(|used| **used == *arn)
        .map(|_| String::from("arn:balancer"))
        .into_iter()
        .collect()
}

impl Scene {
    fn new() -> Self {
        let seal = Arc::new(Seal::new(&Secret::new("s".repeat(64))));
        let config = service_acm::Config { seal: seal.clone(), uses };
        let builder = PlatformBuilder::default().with(service_acm::service(&config));
        let store = Store::open(Memory::default().open(), builder.kinds()).unwrap();
        let platform = builder.build(store, Clock::new(Duration::ZERO), 7);
        let root = Root::make(&AccountId::default_account(), platform.clock().now(), &seal).unwrap();
        Scene { platform, seal, root }
    }

    fn leaf(&self, name: &str, now: Timestamp) -> Leaf {
        self.root.issuer(&self.seal).unwrap().issue(&[name], now).unwrap()
    }

    async fn call<O: wire::Operation>(&self, request: O::Input) -> Result<O::Output, Fault> {
        let caller = Caller {
            account: AccountId::default_account(),
            region: Region::default_region(),
            principal: Principal::Root,
            origin: Origin::Operator,
            host: None,
            request_id: String::from("test"),
        };
        self.platform.call::<O>(caller, request).await
    }

    fn offer(&self, leaf: &Leaf) -> ImportCertificateRequest {
        ImportCertificateRequest {
            certificate: leaf.chain.clone().into_bytes(),
            private_key: leaf.key.expose().as_bytes().to_vec(),
            certificate_chain: Some(self.root.certificate.clone().into_bytes()),
            ..Default::default()
        }
    }

    async fn import(&self, leaf: &Leaf) -> String {
        let imported = self.call::<op::ImportCertificate>(self.offer(leaf)).await.unwrap();
        imported.certificate_arn.unwrap()
    }

    fn now(&self) -> Timestamp {
        self.platform.clock().now()
    }
}

#[tokio::test]
async fn a_data_plane_gets_what_was_imported_and_hears_of_its_changes() {
    let scene = Scene::new();
    let mut watch = scene.platform.store().watch();
    let leaf = scene.leaf("web.example.com", scene.now());
    let arn = scene.import(&leaf).await;
    let store::Event::Commit(commit) = watch.next().await else { panic!("a commit") };
    assert!(commit.changes.iter().flat_map(service_acm::touched).eq([&*arn]));
    let records = scene.platform.store().snapshot();
    let certificate = service_acm::certificate(&records, &scene.seal, &arn).unwrap();
    assert_eq!(certificate.chain, format!("{}{}", leaf.chain, scene.root.certificate));
    assert_eq!(certificate.key.expose(), leaf.key.expose());
    let other = Seal::new(&Secret::new("another"));
    assert!(service_acm::certificate(&records, &other, &arn).is_none());
    assert!(service_acm::certificate(&records, &scene.seal, &arn.replace("acm", "iam")).is_none());

    scene
        .call::<op::DeleteCertificate>(DeleteCertificateRequest { certificate_arn: arn.clone() })
        .await
        .unwrap();
    let store::Event::Commit(commit) = watch.next().await else { panic!("a commit") };
    assert!(commit.changes.iter().flat_map(service_acm::touched).eq([&*arn]));
    assert!(service_acm::certificate(&scene.platform.store().snapshot(), &scene.seal, &arn).is_none());
}

#[tokio::test]
async fn what_is_used_stays() {
    let scene = Scene::new();
    let arn = scene.import(&scene.leaf("web.example.com", scene.now())).await;
    let used = arn.clone();
    let mark = scene.platform.store().write("Test", move |records| {
        records.set_meta("used", &used);
        Ok::<_, std::convert::Infallible>(())
    });
    mark.await.unwrap();
    let request = DescribeCertificateRequest { certificate_arn: arn.clone() };
    let found = scene.call::<op::DescribeCertificate>(request).await.unwrap().certificate.unwrap();
    assert_eq!(found.in_use_by, Some(vec![String::from("arn:balancer")]));
    let everything = ListCertificatesRequest {
        includes: Some(aws_acm::Filters {
            key_types: Some(vec![String::from("EC_prime256v1")]),
            ..Default::default()
        }),
        ..Default::default()
    };
    let listed = scene.call::<op::ListCertificates>(everything).await.unwrap();
    assert_eq!(listed.certificate_summary_list.unwrap()[0].in_use, Some(true));
    let fault = scene
        .call::<op::DeleteCertificate>(DeleteCertificateRequest { certificate_arn: arn.clone() })
        .await
        .unwrap_err();
    assert_eq!(fault.code, "ResourceInUseException");
    assert_eq!(fault.message, format!("Certificate {arn} in account 000000000000 is in use."));
}

#[tokio::test]
async fn nothing_comes_out_with_a_key() {
    let scene = Scene::new();
    let leaf = scene.leaf("web.example.com", scene.now());
    let arn = scene.import(&leaf).await;
    let request = ExportCertificateRequest { certificate_arn: arn, passphrase: b"secret".to_vec() };
    let fault = scene.call::<op::ExportCertificate>(request).await.unwrap_err();
    assert_eq!(fault.code, "ValidationException");
    let past = scene.leaf("old.example.com", scene.now() - Duration::from_secs(400 * 86_400));
    let fault = scene.call::<op::ImportCertificate>(scene.offer(&past)).await.unwrap_err();
    assert_eq!(fault.message, "The certificate has expired.");
    let crossed =
        ImportCertificateRequest { private_key: past.key.expose().as_bytes().to_vec(), ..scene.offer(&leaf) };
    let fault = scene.call::<op::ImportCertificate>(crossed).await.unwrap_err();
    assert!(!fault.message.contains("BEGIN") && fault.message.contains("does not match"), "{fault}");
}
