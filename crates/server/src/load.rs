//! `POST /_boxship/images?name=NAME` with an archive as its body: `boxship image load`.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use std::time::Duration;

use anyhow::{Context, Result, bail};
use base::{AccountId, Region};
use blobs::{Blobs, Digest};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::Request;
use hyper::body::Incoming;
use oci::archive::{Sink, import};
use oci::manifest::Part;
use oci::{Error, Reference};
use serde_json::{Value, json};
use service::{Caller, Platform};
use tokio::runtime::Handle;

use crate::loaded::Loaded;

/// A client that sends nothing for so long has gone away.
const IDLE: Duration = Duration::from_secs(60);
const CHUNK: usize = 1 << 20;

/// Takes archives in.
pub struct Loader {
    platform: Platform,
    blobs: Blobs,
    scratch: PathBuf,
    /// Why this runtime takes none.
    refusal: Option<&'static str>,
}

impl Loader {
    pub fn new(platform: &Platform, blobs: &Blobs, data_dir: &Path, has_images: bool) -> Self {
        let refusal = (!has_images).then_some("the simulated runtime does not look at images");
        Loader { platform: platform.clone(), blobs: blobs.clone(), scratch: data_dir.to_owned(), refusal }
    }

    /// Stores the archive's images under `?name=`, or under their own names.
    pub async fn load(&self, mut request: Request<Incoming>) -> Result<Value> {
        let name = wire::form_value(request.uri().query().unwrap_or_default().as_bytes(), "name");
        let name = name.filter(|name| !name.is_empty());
        let asked = match self.refusal {
            Some(why) => Err(anyhow::anyhow!(why)),
            None => name.map(|name| name.parse::<Reference>()).transpose().map_err(Into::into),
        };
        if asked.is_err() {
            // A client that is still writing would find a broken pipe, and not read why.
            ignore(request.body_mut()).await;
        }
        let asked = asked?;
        let archive = self.receive(request.into_body()).await?;
        let (blobs, handle) = (self.blobs.clone(), Handle::current());
        let taken = tokio::task::spawn_blocking(move || {
            let mut store = Store { blobs, handle, content: Vec::new(), types: Vec::new() };
            let top = import(archive, &mut store)?;
            Ok::<_, Error>((top, store))
        });
        let (top, store) = taken.await?.map_err(|error| anyhow::anyhow!(error.chain()))?;
        let records = records(asked.as_ref(), &top, &store)?;
        let shown: Vec<_> =
            records.iter().map(|r| json!({ "name": r.reference, "digest": r.digest.to_string() })).collect();
        let caller = Caller::platform("boxship", AccountId::default_account(), Region::default_region());
        let write = self.platform.write("LoadImage", caller, move |tx| {
            records.into_iter().for_each(|record| record.put(tx));
            Ok(())
        });
        write.await?;
        Ok(json!({ "loaded": shown }))
    }

    /// The archive in a file that has no name: it goes with the process.
    async fn receive(&self, mut body: Incoming) -> Result<std::fs::File> {
        let path = self.scratch.join(format!("load-{}", self.platform.chance().hex(16)));
        let mut file = std::fs::OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
        std::fs::remove_file(&path)?;
        loop {
            let frame =
                tokio::time::timeout(IDLE, body.frame()).await.context("the archive did not arrive")?;
            let Some(frame) = frame else { break };
            if let Ok(bytes) = frame.context("the archive did not arrive whole")?.into_data() {
                tokio::task::block_in_place(|| file.write_all(&bytes))
                    .context("the archive cannot be kept")?;
            }
        }
        std::io::Seek::rewind(&mut file)?;
        Ok(file)
    }
}

/// Takes a body to its end, or to where its client stops.
async fn ignore(body: &mut Incoming) {
    while let Ok(Some(Ok(_))) = tokio::time::timeout(IDLE, body.frame()).await {}
}

fn records(asked: Option<&Reference>, top: &[(Vec<String>, Digest)], store: &Store) -> Result<Vec<Loaded>> {
    if asked.is_some() && top.len() > 1 {
        bail!("the archive has {} images: load it without a name", top.len());
    }
    let mut records = Vec::new();
    for (names, digest) in top {
        let media_type = store.types.iter().find(|(known, _)| known == digest).map(|(_, kind)| kind.clone());
        let references = match asked {
            Some(reference) => vec![reference.clone()],
            None => names.iter().map(|name| name.parse()).collect::<Result<Vec<Reference>, _>>()?,
        };
        for reference in references {
            records.push(Loaded {
                reference: reference.to_string(),
                digest: *digest,
                media_type: media_type.clone().unwrap_or_default(),
                content: store.content.clone(),
                replaced_at: None,
            });
        }
    }
    if records.is_empty() {
        bail!("the archive names no image: say under which name to load it");
    }
    Ok(records)
}

/// Puts an archive's content into the blobs.
struct Store {
    blobs: Blobs,
    handle: Handle,
    content: Vec<Digest>,
    types: Vec<(Digest, String)>,
}

impl Sink for Store {
    fn blob(&mut self, part: &Part, content: &mut dyn Read) -> Result<(), Error> {
        let id = format!("load-{}", part.digest.hex());
        self.blobs.abort(&id)?;
        let (blobs, handle) = (self.blobs.clone(), self.handle.clone());
        let mut staged = handle.block_on(blobs.stage(&id))?;
        loop {
            let mut chunk = vec![0; CHUNK];
            let read = content.read(&mut chunk).map_err(|source| Error::Io { path: id.clone(), source })?;
            if read == 0 {
                break;
            }
            chunk.truncate(read);
            handle.block_on(staged.append(Bytes::from(chunk)))?;
        }
        handle.block_on(blobs.commit(staged, part.digest))?;
        self.content.push(part.digest);
        Ok(())
    }

    fn manifest(&mut self, _: &[String], part: &Part, bytes: &[u8]) -> Result<(), Error> {
        let (blobs, handle) = (self.blobs.clone(), self.handle.clone());
        let digest = handle.block_on(blobs.put_bytes(Bytes::copy_from_slice(bytes)))?;
        self.content.push(digest);
        self.types.push((digest, part.media_type.clone()));
        Ok(())
    }
}

/// Content that loaded images need.
pub fn live_blobs(records: &store::Snapshot) -> Vec<Digest> {
    let all = records.scan::<Loaded>(&store::Key::all());
    all.flat_map(|loaded| loaded.content.clone()).collect()
}
