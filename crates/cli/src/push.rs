//! Pushing an image archive into ECR, as any client of a registry does.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, bail};
use aws_ecr::op::{CreateRepository, GetAuthorizationToken};
use aws_ecr::{CreateRepositoryRequest, GetAuthorizationTokenRequest};
use blobs::Digest;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{AUTHORIZATION, CONTENT_RANGE, CONTENT_TYPE, HOST, LOCATION};
use hyper::{Method, Request, Response, StatusCode};
use oci::Error;
use oci::archive::{Sink, import};
use oci::manifest::Part;
use tokio::runtime::Handle;

use crate::client::{Client, refused_with};
use crate::http;
use crate::screen::Steps;

/// Bytes of a layer in one request.
const CHUNK: usize = 8 << 20;

/// Pushes the archive's one image as `name` (`hello:latest`); the repository is made where it is
/// missing. Answers the image's name for task definitions.
pub async fn push(client: &Client, archive: &Path, name: &str, steps: &Steps) -> Result<String> {
    // As `run` and task definitions have it, too: localhost:4566/hello:latest.
    let registry = format!("{}/", http::host(client.address()));
    let name = name.strip_prefix(&registry).unwrap_or(name);
    let (repository, tag) = name.rsplit_once(':').unwrap_or((name, "latest"));
    let file = File::open(archive).with_context(|| format!("cannot read {}", archive.display()))?;
    let request = CreateRepositoryRequest { repository_name: repository.to_owned(), ..Default::default() };
    let uri = match client.call::<CreateRepository>(request).await {
        Ok(answer) => answer.repository.and_then(|repository| repository.repository_uri),
        Err(error) if refused_with(&error, "RepositoryAlreadyExistsException") => None,
        Err(error) => return Err(error),
    };
    let uri = uri.unwrap_or_else(|| format!("{}/{repository}", http::host(client.address())));
    let token = client.call::<GetAuthorizationToken>(GetAuthorizationTokenRequest::default()).await?;
    let token = token.authorization_data.into_iter().flatten().find_map(|data| data.authorization_token);
    let mut pusher = Pusher {
        client: client.clone(),
        handle: Handle::current(),
        repository: repository.to_owned(),
        tag: tag.to_owned(),
        authorization: format!("Basic {}", token.context("ECR answered without a token")?),
        nameless: None,
        failure: None,
        steps: steps.clone(),
    };
    let pushed = tokio::task::spawn_blocking(move || {
        let imported = import(file, &mut pusher).and_then(|images| pusher.name(images));
        (imported, pusher.failure)
    });
    match pushed.await? {
        (_, Some(failure)) => Err(failure),
        (Err(error), None) => bail!(error.chain()),
        (Ok(images), None) if images.len() == 1 => Ok(format!("{uri}:{tag}")),
        (Ok(images), None) => bail!("the archive has {} images; push one at a time", images.len()),
    }
}

/// Sends an archive's parts as they come by.
struct Pusher {
    client: Client,
    handle: Handle,
    repository: String,
    tag: String,
    authorization: String,
    /// The newest manifest that the archive itself gives no name.
    nameless: Option<(Part, Vec<u8>)>,
    /// The registry's own words: the archive reader knows only that the sink failed.
    failure: Option<anyhow::Error>,
    steps: Steps,
}

impl Pusher {
    fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, String)],
        body: Bytes,
    ) -> Result<Response<Bytes>> {
        let address = self.client.address();
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, http::host(address))
            .header(AUTHORIZATION, &self.authorization);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        self.handle.block_on(http::send(address, request.body(Full::new(body))?))
    }

    fn expect(&self, wanted: StatusCode, answer: &Response<Bytes>) -> Result<()> {
        if answer.status() == wanted {
            return Ok(());
        }
        bail!("the registry answered {}: {}", answer.status(), String::from_utf8_lossy(answer.body()).trim())
    }

    fn layer(&self, part: &Part, content: &mut dyn Read) -> Result<()> {
        let path = format!("/v2/{}/blobs/{}", self.repository, part.digest);
        if self.send(Method::HEAD, &path, &[], Bytes::new())?.status() == StatusCode::OK {
            std::io::copy(content, &mut std::io::sink())?;
            return Ok(());
        }
        let uploads = format!("/v2/{}/blobs/uploads/", self.repository);
        let begun = self.send(Method::POST, &uploads, &[], Bytes::new())?;
        self.expect(StatusCode::ACCEPTED, &begun)?;
        let location = begun.headers().get(LOCATION).and_then(|at| at.to_str().ok());
        let location = location.context("the registry answered without a location")?.to_owned();
        let mut sent = 0;
        loop {
            let mut chunk = Vec::with_capacity(CHUNK);
            content.take(CHUNK as u64).read_to_end(&mut chunk)?;
            if chunk.is_empty() {
                break;
            }
            let end = sent + chunk.len() as u64;
            let range = [(CONTENT_RANGE.as_str(), format!("{sent}-{}", end - 1))];
            let taken = self.send(Method::PATCH, &location, &range, chunk.into())?;
            self.expect(StatusCode::ACCEPTED, &taken)?;
            sent = end;
            let mib = |bytes: u64| bytes as f64 / 1_048_576.0;
            let (done, all) = (mib(sent), mib(part.size));
            self.steps.now(&format!("pushing {}: {done:.1} of {all:.1} MiB", short(part)));
        }
        let done =
            self.send(Method::PUT, &format!("{location}?digest={}", part.digest), &[], Bytes::new())?;
        self.expect(StatusCode::CREATED, &done)
    }

    /// Tags an image that the archive holds under no name: its manifest came last.
    fn name(&mut self, images: Vec<(Vec<String>, Digest)>) -> Result<Vec<(Vec<String>, Digest)>, Error> {
        if let ([(names, _)], Some((part, bytes))) = (&images[..], self.nameless.take())
            && names.is_empty()
        {
            let done = self.put_manifest(&self.tag, &part, &bytes);
            self.keep(done)?;
        }
        Ok(images)
    }

    fn put_manifest(&self, reference: &str, part: &Part, bytes: &[u8]) -> Result<()> {
        let path = format!("/v2/{}/manifests/{reference}", self.repository);
        let kind = [(CONTENT_TYPE.as_str(), part.media_type.clone())];
        let answer = self.send(Method::PUT, &path, &kind, Bytes::copy_from_slice(bytes))?;
        self.expect(StatusCode::CREATED, &answer)
    }

    fn keep(&mut self, done: Result<()>) -> Result<(), Error> {
        done.map_err(|failure| {
            self.failure = Some(failure);
            Error::Archive(String::from("the registry refused it"))
        })
    }
}

fn short(part: &Part) -> String {
    part.digest.hex().chars().take(12).collect()
}

impl Sink for Pusher {
    fn blob(&mut self, part: &Part, content: &mut dyn Read) -> Result<(), Error> {
        let done = self.layer(part, content);
        self.keep(done)
    }

    fn manifest(&mut self, names: &[String], part: &Part, bytes: &[u8]) -> Result<(), Error> {
        let done = if names.is_empty() {
            self.nameless = Some((part.clone(), bytes.to_vec()));
            self.put_manifest(&part.digest.to_string(), part, bytes)
        } else {
            self.put_manifest(&self.tag, part, bytes)
        };
        self.keep(done)
    }
}
