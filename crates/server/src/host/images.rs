//! Where tasks' images come from: loaded ones, our own registry in process, mirrors, and any other
//! registry over the network.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use agent::{Images, PullError, Pulled, Wanted};
use anyhow::{Context, Result};
use aws_ecr::op::BatchGetImage;
use aws_ecr::{BatchGetImageRequest, ImageIdentifier};
use base::{AccountId, Fault, Region};
use blobs::{Blobs, Digest};
use bytes::Bytes;
use oci::distribution::{Client, Mirrors};
use oci::manifest::Part;
use oci::{BoxFuture, Content, Error, Image, Platform as ImagePlatform, Reference, Resolved, Source};
use runtime::{ImageDefaults, Pending};
use service::{Caller, Platform};
use service_ecr::Registry;

use crate::host::Places;
use crate::host::pulls::Pulls;
use crate::loaded::Loaded;
use crate::options::Options;

/// Largest manifest that is read.
const MANIFEST: u64 = 4 << 20;

/// The linux runtime's images.
pub struct ContentImages {
    platform: Platform,
    content: Content,
    blobs: Blobs,
    ecr: service_ecr::Content,
    remote: Arc<Client>,
    /// The registry hosts that mean ours.
    own: [String; 2],
    mirrors: Mirrors,
    /// Layers that a task stands on are not collected under it.
    held: Mutex<HashMap<String, Vec<Image>>>,
    pulls: Pulls,
}

/// Where one pull goes.
struct Plan {
    reference: Reference,
    source: Arc<dyn Source>,
}

impl ContentImages {
    pub fn open(
        options: &Options,
        places: &Places,
        platform: &Platform,
        ecr: &service_ecr::Config,
        blobs: &Blobs,
    ) -> Result<Self> {
        let content = Content::open(&places.content, oci::Options::default())
            .with_context(|| format!("the images in {} cannot be opened", places.content.display()))?;
        let port = options.listen.port();
        Ok(ContentImages {
            platform: platform.clone(),
            content,
            blobs: blobs.clone(),
            ecr: service_ecr::Content::new(platform.clone(), ecr),
            remote: Arc::new(Client::new(options.mirrors.clone())),
            own: [format!("localhost:{port}"), format!("127.0.0.1:{port}")],
            mirrors: options.mirrors.clone(),
            held: Mutex::default(),
            pulls: Pulls::default(),
        })
    }

    /// Those that are under way.
    pub fn pulls(&self) -> Pulls {
        self.pulls.clone()
    }

    fn plan(&self, wanted: &Wanted<'_>) -> Result<Plan, Error> {
        let reference: Reference = wanted.image.parse()?;
        if let Some(loaded) = self.loaded(&reference) {
            let source = Arc::new(LoadedSource { loaded, blobs: self.blobs.clone() });
            return Ok(Plan { reference, source });
        }
        let moved = self.mirrors.target(&reference).reference;
        match self.registry(&moved, wanted) {
            Some(registry) => {
                let source = OwnSource {
                    platform: self.platform.clone(),
                    ecr: self.ecr.clone(),
                    caller: caller(&registry, wanted.execution_role),
                    registry,
                };
                Ok(Plan { reference: moved, source: Arc::new(source) })
            }
            // The client goes to the mirror by itself.
            None => Ok(Plan { reference, source: self.remote.clone() }),
        }
    }

    fn keep(&self, task: &str, image: Image) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.entry(task.to_owned()).or_default().push(image);
    }

    fn loaded(&self, reference: &Reference) -> Option<Arc<Loaded>> {
        let records = self.platform.store().snapshot();
        let named = records.get::<Loaded>(&Loaded::key_of(&reference.to_string()));
        // A digest names what was loaded under any tag of its repository, also before.
        named.or_else(|| {
            let digest = reference.digest?;
            let tags = format!("{}/{}:", reference.registry, reference.repository);
            let is_meant = |loaded: &Arc<Loaded>| {
                loaded.reference.starts_with(&tags) && loaded.content.contains(&digest)
            };
            records.scan::<Loaded>(&store::Key::all()).find(is_meant)
        })
    }

    /// Whose registry of ours a reference means; `None` for anybody else's.
    fn registry(&self, reference: &Reference, wanted: &Wanted<'_>) -> Option<Registry> {
        if self.own.contains(&reference.registry) {
            return Some(Registry {
                account: wanted.pull_as.account.clone(),
                region: wanted.pull_as.region.clone(),
            });
        }
        let host = reference.registry.split(':').next().unwrap_or_default();
        let (account, rest) = host.split_once(".dkr.ecr.")?;
        let region = rest.strip_suffix(".amazonaws.com").or_else(|| rest.strip_suffix(".localhost"))?;
        let (account, region) = (AccountId::parse(account)?, Region::parse(region)?);
        Some(Registry { account: account.to_string(), region: region.to_string() })
    }
}

fn caller(registry: &Registry, role: Option<&str>) -> Caller {
    let account = AccountId::parse(&registry.account).unwrap_or_else(AccountId::default_account);
    let region = Region::parse(&registry.region).unwrap_or_else(Region::default_region);
    let caller = Caller::platform("ecs-tasks.amazonaws.com", account, region);
    match role {
        Some(role) => caller.with_role(role, "pull"),
        None => caller,
    }
}

impl Images for ContentImages {
    fn pull<'a>(&'a self, wanted: Wanted<'a>) -> Pending<'a, Result<Pulled, PullError>> {
        Box::pin(async move {
            let shown = wanted.image.to_owned();
            let plan = self.plan(&wanted).map_err(|error| refused(&shown, &error))?;
            let platform = ImagePlatform::new("linux", architecture(wanted.architecture));
            let pull = self.content.ensure(
                &plan.reference,
                &platform,
                plan.source,
                self.pulls.begin(wanted.task, wanted.image),
            );
            let image = pull.await.map_err(|error| refused(&plan.reference.to_string(), &error))?;
            let pulled = pulled(&image);
            self.keep(wanted.task, image);
            Ok(pulled)
        })
    }

    fn hold<'a>(&'a self, task: &'a str, digest: &'a str) -> Pending<'a, ()> {
        Box::pin(async move {
            let Ok(digest) = digest.parse::<Digest>() else { return };
            let content = self.content.clone();
            let found = tokio::task::spawn_blocking(move || content.image(&digest)).await;
            if let Ok(Some(image)) = found {
                self.keep(task, image);
            }
        })
    }

    fn release<'a>(&'a self, task: &'a str) -> Pending<'a, ()> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).remove(task);
        Box::pin(async {})
    }
}

/// AWS's name of a processor as images have it.
fn architecture(name: &str) -> &str {
    match name {
        "ARM64" => "arm64",
        _ => "amd64",
    }
}

fn pulled(image: &Image) -> Pulled {
    Pulled { digest: image.digest.to_string(), layers: image.layers.clone(), config: defaults(image) }
}

fn defaults(image: &Image) -> ImageDefaults {
    let Some(config) = image.config.config() else { return ImageDefaults::default() };
    let list = |list: &Option<Vec<String>>| list.clone().unwrap_or_default();
    let text = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    ImageDefaults {
        entry_point: list(config.entrypoint()),
        command: list(config.cmd()),
        environment: list(config.env()),
        working_directory: text(config.working_dir()),
        user: text(config.user()),
        stop_signal: text(config.stop_signal()),
        volumes: list(config.volumes()),
    }
}

fn refused(reference: &str, error: &Error) -> PullError {
    let reference = reference.to_owned();
    match error {
        Error::Reference(_) => PullError::Malformed { reference },
        Error::NotFound(_) => PullError::NotFound { reference },
        Error::Unauthorized { .. } => PullError::Denied { reference },
        Error::Platform(platform) => PullError::Platform { reference, platform: platform.clone() },
        Error::Network { .. } => PullError::Unreachable { reference, cause: error.chain() },
        Error::Full(_) => PullError::NoSpace { reference },
        _ => PullError::Broken { reference, cause: error.chain() },
    }
}

/// Our own registry, without the way through a socket.
struct OwnSource {
    platform: Platform,
    ecr: service_ecr::Content,
    caller: Caller,
    registry: Registry,
}

fn of_fault(reference: &Reference, fault: Fault) -> Error {
    match &*fault.code {
        "RepositoryNotFoundException" | "ImageNotFoundException" | "LayersNotFoundException" => {
            Error::NotFound(reference.to_string())
        }
        "AccessDeniedException" => Error::Unauthorized { what: reference.to_string(), detail: fault.message },
        _ => Error::Network { what: reference.to_string(), detail: fault.message },
    }
}

impl Source for OwnSource {
    fn resolve<'a>(&'a self, reference: &'a Reference) -> BoxFuture<'a, Result<Resolved, Error>> {
        Box::pin(async move {
            let digest = reference.digest.map(|digest| digest.to_string());
            let tag = if digest.is_none() { Some(reference.selector()) } else { None };
            let request = BatchGetImageRequest {
                repository_name: reference.repository.clone(),
                image_ids: vec![ImageIdentifier { image_digest: digest, image_tag: tag }],
                ..Default::default()
            };
            let answer = self.platform.call::<BatchGetImage>(self.caller.clone(), request).await;
            let answer = answer.map_err(|fault| of_fault(reference, fault))?;
            let image = answer.images.into_iter().flatten().next();
            let image = image.ok_or_else(|| Error::NotFound(reference.to_string()))?;
            let bytes = Bytes::from(image.image_manifest.unwrap_or_default());
            let digest = Digest::of(&bytes);
            Ok(Resolved { media_type: image.image_manifest_media_type, digest, bytes })
        })
    }

    fn blob<'a>(
        &'a self,
        reference: &'a Reference,
        part: &'a Part,
        _: &'a Path,
        received: &'a (dyn Fn(u64) + Send + Sync),
    ) -> BoxFuture<'a, Result<File, Error>> {
        Box::pin(async move {
            let layer = self.ecr.layer(&self.registry, &reference.repository, &part.digest);
            layer.map_err(|fault| of_fault(reference, fault))?;
            open(self.ecr.blobs(), part, received)
        })
    }
}

/// Content here was checked when it came in.
fn open(blobs: &Blobs, part: &Part, received: &(dyn Fn(u64) + Send + Sync)) -> Result<File, Error> {
    let (file, actual) = blobs.open_blob(&part.digest)?;
    if actual != part.size {
        return Err(Error::Size { digest: part.digest, expected: part.size, actual });
    }
    received(actual);
    Ok(file)
}

/// An image that was loaded.
struct LoadedSource {
    loaded: Arc<Loaded>,
    blobs: Blobs,
}

impl Source for LoadedSource {
    fn resolve<'a>(&'a self, reference: &'a Reference) -> BoxFuture<'a, Result<Resolved, Error>> {
        Box::pin(async move {
            let digest = reference.digest.unwrap_or(self.loaded.digest);
            let bytes = self.blobs.bytes(&digest, MANIFEST)?;
            let media_type = (digest == self.loaded.digest).then(|| self.loaded.media_type.clone());
            Ok(Resolved { media_type, digest, bytes })
        })
    }

    fn blob<'a>(
        &'a self,
        _: &'a Reference,
        part: &'a Part,
        _: &'a Path,
        received: &'a (dyn Fn(u64) + Send + Sync),
    ) -> BoxFuture<'a, Result<File, Error>> {
        Box::pin(async move { open(&self.blobs, part, received) })
    }
}

/// The simulated runtime's: images are not looked at.
pub struct NoImages;

impl Images for NoImages {
    fn pull<'a>(&'a self, wanted: Wanted<'a>) -> Pending<'a, Result<Pulled, PullError>> {
        // A digest that is the same for the same name: nobody pulled anything.
        let named = wanted.image.split_once('@').map(|(_, digest)| String::from(digest));
        let digest = named.unwrap_or_else(|| Digest::of(wanted.image.as_bytes()).to_string());
        Box::pin(async move { Ok(Pulled { digest, layers: Vec::new(), config: ImageDefaults::default() }) })
    }

    fn release<'a>(&'a self, _: &'a str) -> Pending<'a, ()> {
        Box::pin(async {})
    }
}
