//! From a reference to an image that is here.

use std::fs::{self, File};
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use blobs::Digest;
use tokio::task::JoinSet;

use super::{Content, Event, Home, Image, Progress, Record, describe, sync_directory};
use crate::manifest::{MAX_MANIFEST, Manifest, ManifestError, Part, Platform, parse_config};
use crate::unpack::{UnpackError, unpack};
use crate::{Error, Reference, Resolved, Source};

/// Indexes that may point to one another.
const MAX_INDEXES: usize = 4;

/// One layer to be fetched.
struct Wanted {
    reference: Reference,
    part: Part,
    diff_id: Digest,
}

impl Content {
    /// Makes sure that the image `reference` for `platform` is here, and fetches from `source`
    /// what is missing. The manifest is always resolved anew; layers are fetched once.
    ///
    /// Dropping the future ends the pull; what was complete stays.
    pub async fn ensure(
        &self,
        reference: &Reference,
        platform: &Platform,
        source: Arc<dyn Source>,
        progress: Arc<dyn Progress>,
    ) -> Result<Image, Error> {
        let (digest, manifest) = find(reference, platform, &*source).await?;
        let (config_part, layers) = split(&manifest)?;
        progress.event(Event::Layers(&layers));
        let content = self.clone();
        if let Some(image) = blocking(move || content.image(&digest)).await {
            layers.iter().for_each(|part| progress.event(Event::Ready { layer: part.digest }));
            return check_platform(image, platform);
        }
        let text = self.fetch_config(reference, &config_part, &*source).await?;
        let (config, diff_ids) = parse_config(text.as_bytes(), layers.len())?;
        if !platform.runs(&config) {
            return Err(Error::Platform(platform.to_string()));
        }
        let lease = self.lease(diff_ids.clone());
        let size = layers.iter().map(|part| part.size).fold(config_part.size, u64::saturating_add);
        let wanted = layers.into_iter().zip(&diff_ids).map(|(part, diff_id)| Wanted {
            reference: reference.clone(),
            part,
            diff_id: *diff_id,
        });
        self.fetch_layers(wanted.collect(), &source, &progress).await?;
        let home = self.home.clone();
        let record = Record { config: text, layers: diff_ids, size };
        blocking(move || home.write_record(&digest, &record)).await?;
        Ok(self.home.image(digest, config, size, lease))
    }

    async fn fetch_config(
        &self,
        reference: &Reference,
        part: &Part,
        source: &dyn Source,
    ) -> Result<String, Error> {
        if part.size > MAX_MANIFEST {
            return Err(ManifestError::TooLong.into());
        }
        let scratch = self.home.scratch();
        let file = source.blob(reference, part, &scratch.0, &|_| ()).await?;
        let (bytes, part) = blocking({
            let (path, part) = (scratch.0.clone(), part.clone());
            move || {
                let mut bytes = Vec::new();
                let read = file.take(MAX_MANIFEST + 1).read_to_end(&mut bytes);
                read.map(|_| (bytes, part)).map_err(|e| Error::io(&path, e))
            }
        })
        .await?;
        let actual = Digest::of(&bytes);
        if actual != part.digest {
            return Err(Error::Digest { expected: part.digest, actual });
        }
        String::from_utf8(bytes)
            .map_err(|_| ManifestError::Json(serde::de::Error::custom("not UTF-8")).into())
    }

    async fn fetch_layers(
        &self,
        wanted: Vec<Wanted>,
        source: &Arc<dyn Source>,
        progress: &Arc<dyn Progress>,
    ) -> Result<(), Error> {
        // Dropped with this future: its tasks end with it.
        let mut tasks = JoinSet::new();
        for layer in wanted {
            let (home, source, progress) = (self.home.clone(), source.clone(), progress.clone());
            tasks.spawn(async move { home.fetch_layer(&layer, &*source, &progress).await });
        }
        while let Some(done) = tasks.join_next().await {
            match done {
                Ok(result) => result?,
                Err(error) => match error.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    Err(_) => unreachable!("nobody else aborts these tasks"),
                },
            }
        }
        Ok(())
    }
}

impl Home {
    async fn fetch_layer(
        self: &Arc<Self>,
        wanted: &Wanted,
        source: &dyn Source,
        progress: &Arc<dyn Progress>,
    ) -> Result<(), Error> {
        let layer = wanted.part.digest;
        let turn = self.turn(&wanted.diff_id).lock_owned().await;
        if !self.has_layer(&wanted.diff_id) {
            let slot = self.slots.clone().acquire_owned().await.expect("the slots are never closed");
            let scratch = self.scratch();
            let received = |bytes| progress.event(Event::Received { layer, bytes });
            let file = source.blob(&wanted.reference, &wanted.part, &scratch.0, &received).await?;
            let (home, progress) = (self.clone(), progress.clone());
            let (part, diff_id) = (wanted.part.clone(), wanted.diff_id);
            // Goes on when this future is dropped, and holds its turn and its slot until it is done.
            blocking(move || {
                let _held = (turn, slot);
                let unpacked = |bytes| progress.event(Event::Unpacked { layer, bytes });
                home.unpack_layer(file, &part, diff_id, &unpacked)
            })
            .await?;
        }
        progress.event(Event::Ready { layer });
        Ok(())
    }

    fn unpack_layer(
        &self,
        file: File,
        part: &Part,
        expected: Digest,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<(), Error> {
        let scratch = self.scratch();
        let root = scratch.0.join("fs");
        fs::create_dir_all(&root).map_err(|e| Error::io(&root, e))?;
        let options = (self.options.limits, self.options.opaque);
        let failed = |source| match source {
            UnpackError::Full => Error::Full(self.root.display().to_string()),
            source => Error::Layer { layer: part.digest, source },
        };
        set_mode(&root)?;
        let unpacked = unpack(file, &part.media_type, &root, options, progress).map_err(failed)?;
        if unpacked.diff_id != expected {
            return Err(failed(UnpackError::DiffId { expected, actual: unpacked.diff_id }));
        }
        let to = self.layer_path(&expected);
        fs::rename(&scratch.0, &to).map_err(|e| Error::io(&to, e))?;
        sync_directory(&self.root.join("layers"))
    }

    fn write_record(&self, digest: &Digest, record: &Record) -> Result<(), Error> {
        let scratch = self.scratch();
        let to = self.image_path(digest);
        let text = serde_json::to_vec(record).expect("a record is plain data");
        let write = || {
            fs::write(&scratch.0, text)?;
            File::open(&scratch.0)?.sync_all()?;
            fs::rename(&scratch.0, &to)
        };
        write().map_err(|e| Error::io(&to, e))?;
        sync_directory(&self.root.join("images"))
    }
}

/// The manifest for the platform, through indexes.
async fn find(
    reference: &Reference,
    platform: &Platform,
    source: &dyn Source,
) -> Result<(Digest, Manifest), Error> {
    let mut next = reference.clone();
    for _ in 0..MAX_INDEXES {
        let Resolved { media_type, digest, bytes } = source.resolve(&next).await?;
        let actual = Digest::of(&bytes);
        let expected = next.digest.unwrap_or(digest);
        if actual != expected {
            return Err(Error::Digest { expected, actual });
        }
        match Manifest::parse(media_type.as_deref(), &bytes)? {
            Manifest::Index(index) => {
                let part = platform.choose(&index)?.ok_or_else(|| Error::Platform(platform.to_string()))?;
                next = reference.by_digest(part.digest);
            }
            image => return Ok((digest, image)),
        }
    }
    Err(Error::NotFound(format!("{}: no image behind its indexes", describe(reference))))
}

fn split(manifest: &Manifest) -> Result<(Part, Vec<Part>), ManifestError> {
    let mut parts = manifest.parts()?.into_iter();
    let config = parts.next().ok_or(ManifestError::MediaType(String::new()))?;
    Ok((config, parts.collect()))
}

fn check_platform(image: Image, platform: &Platform) -> Result<Image, Error> {
    if platform.runs(&image.config) { Ok(image) } else { Err(Error::Platform(platform.to_string())) }
}

/// An archive need not mention its root.
fn set_mode(root: &PathBuf) -> Result<(), Error> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(root, fs::Permissions::from_mode(0o755)).map_err(|e| Error::io(root, e))
}

pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => panic!("the runtime is shutting down"),
        },
    }
}
