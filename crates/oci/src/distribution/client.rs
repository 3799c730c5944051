//! A registry as a source of images.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Seek, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ::http::header::{ACCEPT, AUTHORIZATION, RANGE};
use ::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use base::Secret;
use blobs::{Digest, Hasher};
use bytes::Bytes;

use super::auth::{self, Challenge};
use super::http::{Answer, Failure, Http};
use super::mirror::{Mirrors, Target};
use crate::manifest::{DOCKER_INDEX, DOCKER_MANIFEST, MAX_MANIFEST, OCI_INDEX, OCI_MANIFEST, Part};
use crate::{BoxFuture, Error, Reference, Resolved, Source};

const ATTEMPTS: u32 = 4;
const MAX_REDIRECTS: usize = 5;
const MAX_TOKEN: u64 = 1 << 20;
/// Bytes gathered before they are hashed and written.
const BATCH: usize = 1 << 20;

/// A user of a registry.
#[derive(Debug, Clone)]
pub struct Credentials {
    pub username: String,
    pub password: Secret,
}

/// Pulls from any registry that speaks the distribution protocol.
#[derive(Default)]
pub struct Client {
    http: Http,
    mirrors: Mirrors,
    credentials: BTreeMap<String, Credentials>,
    /// Values of `Authorization` by registry and repository.
    tokens: Mutex<BTreeMap<(String, String), String>>,
}

/// What is asked of a registry, for messages and for the token.
struct Asked<'a> {
    reference: &'a Reference,
    target: Target,
    path: String,
}

impl Client {
    pub fn new(mirrors: Mirrors) -> Client {
        Client { mirrors, ..Client::default() }
    }

    /// Credentials for a registry by its name in references (`docker.io`, `localhost:5000`).
    pub fn with_credentials(mut self, registry: &str, credentials: Credentials) -> Client {
        self.credentials.insert(registry.to_owned(), credentials);
        self
    }

    fn asked<'a>(&self, reference: &'a Reference, path: impl Fn(&Reference) -> String) -> Asked<'a> {
        let target = self.mirrors.target(reference);
        let path = format!("/v2/{}/{}", target.reference.repository, path(&target.reference));
        Asked { reference, target, path }
    }

    async fn manifest(&self, reference: &Reference) -> Result<Resolved, Error> {
        let asked = self.asked(reference, |at| format!("manifests/{}", at.selector()));
        let accept = [OCI_INDEX, OCI_MANIFEST, DOCKER_INDEX, DOCKER_MANIFEST].join(", ");
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_str(&accept).expect("media types are ASCII"));
        let mut attempt = 0;
        loop {
            attempt += 1;
            let result = match self.request(&asked, &headers).await {
                Ok(answer) => read_manifest(&asked, answer).await,
                Err(error) => Err(error),
            };
            match result {
                Err(error) if attempt < ATTEMPTS && matches!(error, Error::Network { .. }) => {
                    pause(attempt).await
                }
                other => return other,
            }
        }
    }

    async fn download(
        &self,
        reference: &Reference,
        part: &Part,
        scratch: &Path,
        received: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<File, Error> {
        let asked = self.asked(reference, |_| format!("blobs/{}", part.digest));
        let mut download = Download::create(scratch, part)?;
        let mut attempt = 0;
        loop {
            let before = download.len;
            match self.download_rest(&asked, &mut download, received).await {
                Ok(()) => return download.finish().await,
                // A transfer that moves on may break as often as it likes.
                Err(Error::Network { .. }) if download.len > before + BATCH as u64 => attempt = 0,
                Err(Error::Network { .. }) if attempt + 1 < ATTEMPTS => attempt += 1,
                Err(error) => return Err(error),
            }
            pause(attempt).await;
        }
    }

    async fn download_rest(
        &self,
        asked: &Asked<'_>,
        download: &mut Download,
        received: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<(), Error> {
        let mut headers = HeaderMap::new();
        if download.len > 0 {
            let range = format!("bytes={}-", download.len);
            headers.insert(RANGE, HeaderValue::from_str(&range).expect("digits are ASCII"));
        }
        if download.len == download.part.size && download.len > 0 {
            return Ok(());
        }
        let mut answer = self.request(asked, &headers).await?;
        let start = format!("bytes {}-", download.len);
        let goes_on = answer.status() == StatusCode::PARTIAL_CONTENT
            && answer.header("content-range").is_some_and(|range| range.starts_with(&start));
        if !goes_on {
            if answer.status() != StatusCode::OK {
                return Err(asked.unexpected(answer.status()));
            }
            download.restart()?;
        }
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let piece = answer.piece().await;
            if let Ok(Some(bytes)) = &piece {
                received(bytes.len() as u64);
                batch.extend_from_slice(bytes);
            }
            let is_last = !matches!(piece, Ok(Some(_)));
            if is_last || batch.len() >= BATCH {
                batch = download.write(batch).await?;
            }
            match piece {
                Ok(Some(_)) => {}
                Ok(None) if download.len < download.part.size => {
                    return Err(asked.network("unexpected EOF".into()));
                }
                Ok(None) => return Ok(()),
                Err(failure) => return Err(asked.network(failure)),
            }
        }
    }

    /// Sends a request, with a token if it takes one, along redirects.
    async fn request(&self, asked: &Asked<'_>, headers: &HeaderMap) -> Result<Answer, Error> {
        let at = &asked.target.reference;
        let key = (at.registry.clone(), at.repository.clone());
        let known = self.tokens().get(&key).cloned();
        let answer = self.follow(asked, headers, known.as_deref()).await?;
        if answer.status() != StatusCode::UNAUTHORIZED {
            return asked.check(answer).await;
        }
        let challenge = answer.headers("www-authenticate").find_map(Challenge::parse);
        let challenge =
            challenge.ok_or_else(|| asked.unauthorized("401 without a challenge that is known"))?;
        let value = self.authorize(asked, &challenge).await?;
        self.tokens().insert(key.clone(), value.clone());
        let answer = self.follow(asked, headers, Some(&value)).await?;
        if answer.status() == StatusCode::UNAUTHORIZED {
            self.tokens().remove(&key);
        }
        asked.check(answer).await
    }

    async fn authorize(&self, asked: &Asked<'_>, challenge: &Challenge) -> Result<String, Error> {
        let at = &asked.target.reference;
        let credentials = self.credentials.get(&at.registry).map(auth::basic);
        let Some(url) = challenge.token_url(&at.repository) else {
            return credentials.ok_or_else(|| asked.unauthorized("no basic auth credentials"));
        };
        let uri: Uri =
            url.parse().map_err(|_| asked.network("the token server's address is malformed".into()))?;
        if uri.scheme_str() != Some("https") && !asked.target.is_plain {
            return Err(asked.network("the token server is asked for over plain HTTP".into()));
        }
        let mut headers = HeaderMap::new();
        if let Some(value) = &credentials {
            headers.insert(AUTHORIZATION, secret(value).map_err(|f| asked.network(f))?);
        }
        let answer = self.http.get(&uri, headers).await.map_err(|f| asked.network(f))?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                return Err(asked.unauthorized("the token server refuses the credentials"));
            }
            status => return Err(asked.network(format!("token server: unexpected status {status}"))),
        }
        let body = answer.body(MAX_TOKEN).await.map_err(|f| asked.network(f))?;
        let token =
            auth::token(&body).ok_or_else(|| asked.network("the token server gave no token".into()))?;
        Ok(format!("Bearer {token}"))
    }

    async fn follow(
        &self,
        asked: &Asked<'_>,
        headers: &HeaderMap,
        token: Option<&str>,
    ) -> Result<Answer, Error> {
        let malformed = || asked.network("malformed address".into());
        let mut uri: Uri = asked.url().parse().map_err(|_| malformed())?;
        let home = uri.authority().cloned();
        for _ in 0..=MAX_REDIRECTS {
            let mut headers = headers.clone();
            // Credentials are the registry's, not those of the store that it points to.
            if let Some(token) = token.filter(|_| uri.authority() == home.as_ref()) {
                headers.insert(AUTHORIZATION, secret(token).map_err(|f| asked.network(f))?);
            }
            let answer = self.http.get(&uri, headers).await.map_err(|f| asked.network(f))?;
            if !matches!(answer.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
                return Ok(answer);
            }
            let next = answer.header("location").and_then(|to| redirected(&uri, to)).ok_or_else(malformed)?;
            if uri.scheme_str() == Some("https") && next.scheme_str() != Some("https") {
                return Err(asked.network("redirected from HTTPS to plain HTTP".into()));
            }
            uri = next;
        }
        Err(asked.network(format!("stopped after {MAX_REDIRECTS} redirects")))
    }

    fn tokens(&self) -> std::sync::MutexGuard<'_, BTreeMap<(String, String), String>> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source for Client {
    fn resolve<'a>(&'a self, reference: &'a Reference) -> BoxFuture<'a, Result<Resolved, Error>> {
        Box::pin(self.manifest(reference))
    }

    fn blob<'a>(
        &'a self,
        reference: &'a Reference,
        part: &'a Part,
        scratch: &'a Path,
        received: &'a (dyn Fn(u64) + Send + Sync),
    ) -> BoxFuture<'a, Result<File, Error>> {
        Box::pin(self.download(reference, part, scratch, received))
    }
}

impl Asked<'_> {
    fn url(&self) -> String {
        let scheme = if self.target.is_plain { "http" } else { "https" };
        let host = match self.target.reference.registry.as_str() {
            "docker.io" => "registry-1.docker.io",
            other => other,
        };
        format!("{scheme}://{host}{}", self.path)
    }

    fn network(&self, failure: Failure) -> Error {
        Error::Network { what: format!("failed to do request: Get {:?}", self.url()), detail: failure }
    }

    /// AWS: containerd's words, `unexpected status code https://…: 429 Too Many Requests`.
    fn unexpected(&self, status: StatusCode) -> Error {
        let what = format!("unexpected status code {}", self.url());
        Error::Network { what, detail: status.to_string() }
    }

    fn unauthorized(&self, detail: &str) -> Error {
        Error::Unauthorized { what: self.reference.to_string(), detail: detail.to_owned() }
    }

    async fn check(&self, answer: Answer) -> Result<Answer, Error> {
        match answer.status() {
            StatusCode::OK | StatusCode::PARTIAL_CONTENT => Ok(answer),
            StatusCode::NOT_FOUND => Err(Error::NotFound(self.reference.to_string())),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(self
                .unauthorized("pull access denied, repository does not exist or may require authorization")),
            status => Err(self.unexpected(status)),
        }
    }
}

async fn read_manifest(asked: &Asked<'_>, answer: Answer) -> Result<Resolved, Error> {
    let media_type = answer.header("content-type").map(str::to_owned);
    let announced = answer.header("docker-content-digest").and_then(|d| d.parse::<Digest>().ok());
    let bytes: Bytes = answer.body(MAX_MANIFEST).await.map_err(|f| asked.network(f))?;
    let digest = Digest::of(&bytes);
    for expected in [asked.target.reference.digest, announced].into_iter().flatten() {
        if expected != digest {
            return Err(Error::Digest { expected, actual: digest });
        }
    }
    Ok(Resolved { media_type, digest, bytes })
}

/// A blob on its way into a file; the hash covers what is in it.
struct Download {
    part: Part,
    path: std::path::PathBuf,
    /// None only while a batch is being written.
    state: Option<(File, Hasher)>,
    len: u64,
}

impl Download {
    fn create(path: &Path, part: &Part) -> Result<Download, Error> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(true).open(path);
        let file = file.map_err(|e| Error::io(path, e))?;
        let state = Some((file, Hasher::default()));
        Ok(Download { part: part.clone(), path: path.to_owned(), state, len: 0 })
    }

    fn restart(&mut self) -> Result<(), Error> {
        let (file, hasher) = self.state.as_mut().expect("no batch is being written");
        file.set_len(0).and_then(|()| file.rewind()).map_err(|e| Error::io(&self.path, e))?;
        *hasher = Hasher::default();
        self.len = 0;
        Ok(())
    }

    /// Gives the batch back, empty.
    async fn write(&mut self, mut batch: Vec<u8>) -> Result<Vec<u8>, Error> {
        self.len += batch.len() as u64;
        if self.len > self.part.size {
            let (digest, expected) = (self.part.digest, self.part.size);
            return Err(Error::Size { digest, expected, actual: self.len });
        }
        let (mut file, mut hasher) = self.state.take().expect("no batch is being written");
        let (state, batch) = crate::content::blocking(move || {
            let written = file.write_all(&batch);
            hasher.update(&batch);
            batch.clear();
            (written.map(|()| (file, hasher)), batch)
        })
        .await;
        self.state = Some(state.map_err(|e| Error::io(&self.path, e))?);
        Ok(batch)
    }

    async fn finish(self) -> Result<File, Error> {
        let (mut file, hasher) = self.state.expect("no batch is being written");
        let (actual, expected) = (hasher.finish(), self.part.digest);
        if actual != expected {
            return Err(Error::Digest { expected, actual });
        }
        file.rewind().map_err(|e| Error::io(&self.path, e))?;
        Ok(file)
    }
}

/// The next address of a redirect: absolute, or a path on the same host.
fn redirected(from: &Uri, to: &str) -> Option<Uri> {
    let text = if to.starts_with('/') && !to.starts_with("//") {
        format!("{}://{}{to}", from.scheme_str()?, from.authority()?)
    } else {
        to.to_owned()
    };
    let uri: Uri = text.parse().ok()?;
    (matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some()).then_some(uri)
}

fn secret(value: &str) -> Result<HeaderValue, Failure> {
    let mut value = HeaderValue::from_str(value).map_err(|_| String::from("malformed credentials"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// 0.2, 0.4, 0.8 seconds.
async fn pause(attempt: u32) {
    tokio::time::sleep(Duration::from_millis(100 << attempt.min(6))).await;
}
