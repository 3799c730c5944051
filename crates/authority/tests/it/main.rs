//! An authority, what it issues, and who believes that.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use authority::{KeyKind, Reading, Root, Seal, certificates, private_key, root};
use base::{AccountId, Secret, Timestamp};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::ring;
use rustls::pki_types::{ServerName, UnixTime};
use store::{Kinds, Memory, Store};

const NOW: Timestamp = Timestamp::from_secs(1_790_000_000);

fn seal() -> Seal {
    Seal::new(&Secret::new("s".repeat(64)))
}

fn account() -> AccountId {
    AccountId::default_account()
}

/// Whether a client that trusts `root` believes that `chain` is `name`'s at `at`.
fn believes(root: &str, chain: &str, name: &str, at: Timestamp) -> bool {
    let mut roots = RootCertStore::empty();
    roots.add(certificates(root.as_bytes()).unwrap().remove(0)).unwrap();
    let provider = Arc::new(ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
    let leaf = certificates(chain.as_bytes()).unwrap().remove(0);
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let at = UnixTime::since_unix_epoch(Duration::from_secs(at.as_secs() as u64));
    verifier.verify_server_cert(&leaf, &[], &name, &[], at).is_ok()
}

#[test]
fn what_an_authority_issues_is_believed_for_its_names_and_time() {
    let root = Root::make(&account(), NOW, &seal()).unwrap();
    let issuer = root.issuer(&seal()).unwrap();
    let leaf = issuer.issue(&["localhost", "127.0.0.1", "*.elb.localhost", "::1"], NOW).unwrap();
    for name in ["localhost", "127.0.0.1", "web.elb.localhost", "::1"] {
        assert!(believes(&root.certificate, &leaf.chain, name, NOW), "{name}");
    }
    for name in ["example.com", "127.0.0.2", "elb.localhost", "a.b.elb.localhost"] {
        assert!(!believes(&root.certificate, &leaf.chain, name, NOW), "{name}");
    }
    assert!(!believes(&root.certificate, &leaf.chain, "localhost", leaf.not_after + Duration::from_secs(1)));
    let other = Root::make(&account(), NOW, &seal()).unwrap();
    assert!(!believes(&other.certificate, &leaf.chain, "localhost", NOW));
}

#[test]
fn certificates_read_as_they_were_made() {
    let root = Root::make(&account(), NOW, &seal()).unwrap();
    let leaf = root.issuer(&seal()).unwrap().issue(&["web.example.com", "10.0.0.1"], NOW).unwrap();
    let leaf_read = Reading::of(&certificates(leaf.chain.as_bytes()).unwrap()[0]).unwrap();
    let root_read = Reading::of(&certificates(root.certificate.as_bytes()).unwrap()[0]).unwrap();
    assert_eq!(leaf_read.subject, "CN=web.example.com");
    assert_eq!(leaf_read.names, ["web.example.com"]);
    assert_eq!(leaf_read.key, KeyKind::P256);
    assert_eq!(leaf_read.signature, "SHA256WITHECDSA");
    assert_eq!(leaf_read.issuer_name.as_deref(), Some("Boxship"));
    assert_eq!((leaf_read.not_before, leaf_read.not_after), (leaf.not_before, leaf.not_after));
    assert_eq!(leaf_read.extended_usages, ["1.3.6.1.5.5.7.3.1"]);
    assert!(root_read.is_authority && !leaf_read.is_authority);
    assert!(leaf_read.is_signed_by(&root_read) && root_read.is_signed_by(&root_read));
    assert!(!root_read.is_signed_by(&leaf_read));
    let other = Root::make(&account(), NOW, &seal()).unwrap();
    let other_read = Reading::of(&certificates(other.certificate.as_bytes()).unwrap()[0]).unwrap();
    assert!(!leaf_read.is_signed_by(&other_read), "the same name, another key");
    let key = private_key(leaf.key.expose().as_bytes()).unwrap();
    assert_eq!(leaf_read.belongs_to(&key), Some(true));
    assert_eq!(root_read.belongs_to(&key), Some(false));
}

#[test]
fn names_that_are_none_are_refused() {
    let root = Root::make(&account(), NOW, &seal()).unwrap();
    let issuer = root.issuer(&seal()).unwrap();
    let long = "a".repeat(64);
    for names in [&[][..], &[""], &["a..b"], &["a b"], &["*"], &["ü.de"], &["a,O=evil"], &[long.as_str()]] {
        assert!(issuer.issue(names, NOW).is_none(), "{names:?}");
    }
}

#[tokio::test]
async fn an_account_keeps_its_authority() {
    let store = Store::open(Memory::default().open(), authority::kinds(Kinds::default())).unwrap();
    let (seal, account) = (seal(), account());
    let (first, second) = tokio::join!(
        root(&store, &seal, &account, NOW),
        root(&store, &seal, &account, NOW + Duration::from_secs(5)),
    );
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!(first.certificate, second.certificate);
    let other = root(&store, &seal, &AccountId::parse("111111111111").unwrap(), NOW).await.unwrap();
    assert_ne!(other.certificate, first.certificate);
    assert!(first.issuer(&seal).is_some());
    assert!(first.issuer(&Seal::new(&Secret::new("another"))).is_none());
    let kept = format!("{first:?}");
    assert!(!kept.contains("PRIVATE"), "{kept}");
}
