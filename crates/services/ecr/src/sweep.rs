//! What goes by itself: uploads that nobody finished, layers that no image names, and then the
//! content that nothing refers to.

use std::collections::HashSet;
use std::time::Duration;

use base::Fault;
use blobs::Digest;
use service::Tx;
use store::{Key, Snapshot};

use crate::state::{Image, Layer, Upload};

/// A push may take so long between its first layer and its manifest.
const GRACE: Duration = Duration::from_secs(24 * 3600);

/// Every digest that some repository has.
pub fn live_blobs(records: &Snapshot) -> HashSet<Digest> {
    let layers = records.scan::<Layer>(&Key::all()).map(|layer| layer.digest);
    let manifests = records.scan::<Image>(&Key::all()).map(|image| image.digest);
    layers.chain(manifests).collect()
}

/// Removes records of abandoned uploads and unreferenced layers. Answers how many went.
pub fn sweep(tx: &mut Tx<'_>) -> Result<usize, Fault> {
    let cutoff = tx.now - GRACE;
    let uploads: Vec<_> =
        tx.scan::<Upload>(&Key::all()).filter(|upload| upload.created_at < cutoff).collect();
    let used: HashSet<_> = tx
        .scan::<Image>(&Key::all())
        .flat_map(|image| {
            let layers = image.layers.clone();
            layers.into_iter().map(move |digest| Layer::key_of(&image.registry, &image.repository, &digest))
        })
        .map(|key| key.as_str().to_owned())
        .collect();
    let layers: Vec<_> = tx
        .scan::<Layer>(&Key::all())
        .map(|layer| (Layer::key_of(&layer.registry, &layer.repository, &layer.digest), layer.pushed_at))
        .filter(|(key, pushed_at)| *pushed_at < cutoff && !used.contains(key.as_str()))
        .collect();
    for upload in &uploads {
        tx.delete::<Upload>(&Upload::key_of(&upload.registry, &upload.repository, &upload.id));
    }
    for (key, _) in &layers {
        tx.delete::<Layer>(key);
    }
    Ok(uploads.len() + layers.len())
}
