//! The client against a small registry on a port of the kernel's choice.

use std::collections::HashMap;
use std::convert::Infallible;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use base::Secret;
use blobs::Digest;
use bytes::Bytes;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use oci::assemble::{Assembled, Recipe, assemble, layer};
use oci::distribution::{Client, Credentials, Mirrors};
use oci::manifest::{OCI_MANIFEST, Part};
use oci::{Content, Error, Options, Platform, Source};
use tokio::net::TcpListener;

use crate::support::{file, is_root};

/// How a registry behaves.
#[derive(Default)]
struct Ways {
    /// Wants a token, for this user and password.
    token: Option<(&'static str, &'static str)>,
    basic: Option<&'static str>,
    /// Blobs lie behind a redirect to another host name.
    redirects: bool,
    /// Answers that break off half way.
    breaks: AtomicUsize,
    /// Changes a byte of every blob.
    lies: bool,
    seen: Mutex<Vec<String>>,
}

struct Registry {
    host: String,
    ways: Arc<Ways>,
    _server: tokio::task::JoinSet<()>,
}

impl Registry {
    async fn start(image: &Assembled, ways: Ways) -> Registry {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut files: HashMap<String, Bytes> = HashMap::new();
        files.insert("manifests/v1".into(), image.manifest.clone());
        files.insert(format!("manifests/{}", image.digest), image.manifest.clone());
        for (part, bytes) in &image.blobs {
            files.insert(format!("blobs/{}", part.digest), bytes.clone());
        }
        let (files, ways) = (Arc::new(files), Arc::new(ways));
        let mut server = tokio::task::JoinSet::new();
        let shared = ways.clone();
        server.spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (files, ways) = (files.clone(), shared.clone());
                connections.spawn(async move {
                    let service = service_fn(move |request| {
                        let response = answer(&request, &files, &ways, port);
                        async move { Ok::<_, Infallible>(response) }
                    });
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Registry { host: format!("127.0.0.1:{port}"), ways, _server: server }
    }

    fn reference(&self) -> oci::Reference {
        format!("{}/team/web:v1", self.host).parse().unwrap()
    }
}

fn answer<B>(
    request: &Request<B>,
    files: &HashMap<String, Bytes>,
    ways: &Ways,
    port: u16,
) -> Response<Full<Bytes>> {
    let header = |name: &str| request.headers().get(name).map(|v| v.to_str().unwrap().to_owned());
    let path = request.uri().path();
    let authorization = header("authorization");
    ways.seen.lock().unwrap().push(format!("{path} {}", authorization.clone().unwrap_or_default()));
    let status = |code: u16| Response::builder().status(code);
    let empty = || Full::new(Bytes::new());
    if path == "/token" {
        let expected = ways.token.map(|(user, password)| basic(user, password));
        return match authorization == expected {
            true => status(200).body(Full::new(Bytes::from(r#"{"token":"t0k"}"#))).unwrap(),
            false => status(401).body(empty()).unwrap(),
        };
    }
    let is_store = path.starts_with("/store/");
    if ways.token.is_some() && !is_store && authorization.as_deref() != Some("Bearer t0k") {
        let challenge = format!(r#"Bearer realm="http://127.0.0.1:{port}/token",service="test""#);
        return status(401).header("www-authenticate", challenge).body(empty()).unwrap();
    }
    if let Some(password) = ways.basic
        && authorization != Some(basic("user", password))
    {
        return status(401).header("www-authenticate", "Basic realm=\"x\"").body(empty()).unwrap();
    }
    if ways.redirects && path.contains("/blobs/") && !is_store {
        let to = format!("http://localhost:{port}{}", path.replace("/v2/team/web/", "/store/"));
        return status(307).header("location", to).body(empty()).unwrap();
    }
    let name = path.trim_start_matches("/store/").trim_start_matches("/v2/team/web/");
    let Some(bytes) = files.get(name) else { return status(404).body(empty()).unwrap() };
    let is_manifest = name.starts_with("manifests/");
    let mut bytes = bytes.to_vec();
    if ways.lies && !is_manifest {
        bytes[0] ^= 1;
    }
    let total = bytes.len();
    let start = header("range").map_or(0, |r| r[6..].trim_end_matches('-').parse::<usize>().unwrap());
    let mut rest = bytes.split_off(start);
    let is_broken = !is_manifest
        && ways.breaks.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok();
    if is_broken {
        rest.truncate(rest.len().div_ceil(2));
    }
    let mut response = status(if start > 0 { 206 } else { 200 });
    if start > 0 {
        response = response.header("content-range", format!("bytes {start}-{}/{total}", total - 1));
    }
    let media_type = if is_manifest { OCI_MANIFEST } else { "application/octet-stream" };
    response.header("content-type", media_type).body(Full::new(rest.into())).unwrap()
}

fn basic(user: &str, password: &str) -> String {
    use base64::Engine;
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}")))
}

fn image() -> Assembled {
    let noise: String = (0..300_000u32)
        .map(|n| char::from(b'a' + (n.wrapping_mul(2_654_435_761) >> 27) as u8 % 26))
        .collect();
    let layers = [layer(&[file("a", &noise)]), layer(&[file("b", "2")])];
    assemble(&layers, &Platform::host(), &Recipe::default())
}

async fn fetch(client: &Client, registry: &Registry) -> Result<Vec<u8>, Error> {
    let dir = tempfile::tempdir().unwrap();
    let part = image().blobs[1].0.clone();
    let scratch = dir.path().join("blob");
    let mut file = client.blob(&registry.reference(), &part, &scratch, &|_| ()).await?;
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut file, &mut bytes).unwrap();
    Ok(bytes)
}

#[tokio::test]
async fn an_image_is_pulled() {
    if !is_root() {
        return;
    }
    let registry = Registry::start(&image(), Ways::default()).await;
    let dir = tempfile::tempdir().unwrap();
    let content = Content::open(dir.path(), Options::default()).unwrap();
    let client = Arc::new(Client::default());
    let pulled =
        content.ensure(&registry.reference(), &Platform::host(), client.clone(), Arc::new(())).await.unwrap();
    assert_eq!((pulled.digest, pulled.layers.len()), (image().digest, 2));
    assert_eq!(std::fs::read_dir(dir.path().join("ingest")).unwrap().count(), 0);
    let missing = format!("{}/team/web:v2", registry.host).parse().unwrap();
    assert!(matches!(client.resolve(&missing).await, Err(Error::NotFound(_))));
}

#[tokio::test]
async fn tokens_are_fetched_and_kept_from_redirects() {
    let ways = Ways { token: Some(("user", "pass")), redirects: true, ..Ways::default() };
    let registry = Registry::start(&image(), ways).await;
    let credentials =
        |password: &str| Credentials { username: "user".into(), password: Secret::new(password) };
    let client = Client::default().with_credentials(&registry.host, credentials("pass"));
    assert_eq!(client.resolve(&registry.reference()).await.unwrap().digest, image().digest);
    assert_eq!(fetch(&client, &registry).await.unwrap(), image().blobs[1].1);
    let seen = registry.ways.seen.lock().unwrap().clone();
    let of = |start: &str| seen.iter().filter(|s| s.starts_with(start)).cloned().collect::<Vec<_>>();
    assert_eq!(of("/token").len(), 1, "{seen:?}");
    assert!(of("/store/").iter().all(|s| s.ends_with(' ')), "{seen:?}");
    let wrong = Client::default().with_credentials(&registry.host, credentials("wrong"));
    assert!(matches!(wrong.resolve(&registry.reference()).await, Err(Error::Unauthorized { .. })));
}

#[tokio::test]
async fn basic_credentials_are_sent_when_asked_for() {
    let ways = Ways { basic: Some("pass"), ..Ways::default() };
    let registry = Registry::start(&image(), ways).await;
    let anonymous = Client::default().resolve(&registry.reference()).await;
    assert!(matches!(anonymous, Err(Error::Unauthorized { .. })));
    let credentials = Credentials { username: "user".into(), password: Secret::new("pass") };
    let client = Client::default().with_credentials(&registry.host, credentials);
    client.resolve(&registry.reference()).await.unwrap();
}

#[tokio::test]
async fn broken_transfers_go_on() {
    let ways = Ways { breaks: AtomicUsize::new(2), ..Ways::default() };
    let registry = Registry::start(&image(), ways).await;
    assert_eq!(fetch(&Client::default(), &registry).await.unwrap(), image().blobs[1].1);
    registry.ways.breaks.store(100, Ordering::Relaxed);
    assert!(matches!(fetch(&Client::default(), &registry).await, Err(Error::Network { .. })));
}

#[tokio::test]
async fn changed_and_overlong_blobs_are_refused() {
    let registry = Registry::start(&image(), Ways { lies: true, ..Ways::default() }).await;
    assert!(matches!(fetch(&Client::default(), &registry).await, Err(Error::Digest { .. })));
    let part = Part { size: 10, ..image().blobs[1].0.clone() };
    let dir = tempfile::tempdir().unwrap();
    let reference = registry.reference();
    let long = Client::default().blob(&reference, &part, &dir.path().join("x"), &|_| ()).await;
    assert!(matches!(long, Err(Error::Size { .. })), "{long:?}");
}

#[tokio::test]
async fn mirrors_stand_in() {
    let registry = Registry::start(&image(), Ways::default()).await;
    let mut mirrors = Mirrors::default();
    mirrors.add(&format!("registry.example={}/team", registry.host)).unwrap();
    let reference = "registry.example/web:v1".parse().unwrap();
    assert_eq!(Client::new(mirrors).resolve(&reference).await.unwrap().digest, image().digest);
}

#[tokio::test]
async fn an_unreachable_registry_is_a_network_error() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let reference = format!("{}/x", listener.local_addr().unwrap()).parse().unwrap();
    drop(listener);
    let error = Client::default().resolve(&reference).await.unwrap_err();
    assert!(matches!(error, Error::Network { .. }) && error.is_transient(), "{error}");
    let part = Part { media_type: String::new(), digest: Digest::of(b""), size: 0 };
    let nowhere = Client::default().blob(&reference, &part, Path::new("/proc/none/x"), &|_| ()).await;
    assert!(matches!(nowhere, Err(Error::Io { .. })), "{nowhere:?}");
}
