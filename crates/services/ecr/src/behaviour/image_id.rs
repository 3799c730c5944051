//! Finding the image that a digest, a tag, or both name.

use std::sync::Arc;

use base::Fault;
use blobs::Digest;
use store::Snapshot;

use crate::faults;
use crate::state::{Image, Registry, Tag};

/// Why an image identifier finds nothing: the API's failure code and its text.
#[derive(Debug, PartialEq, Eq)]
pub struct Miss {
    pub code: &'static str,
    pub reason: String,
}

/// The image of a repository by digest, tag or both.
pub fn find(
    records: &Snapshot,
    registry: &Registry,
    repository: &str,
    digest: Option<&str>,
    tag: Option<&str>,
) -> Result<Arc<Image>, Miss> {
    let missing = || Miss { code: "ImageNotFound", reason: String::from("Requested image not found") };
    let by_digest = |text: &str| {
        let digest: Digest = text.parse().map_err(|_| Miss {
            code: "InvalidImageDigest",
            reason: String::from("Invalid request parameters: image digest should satisfy the regex '[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+'"),
        })?;
        records.get::<Image>(&Image::key_of(registry, repository, &digest)).ok_or_else(missing)
    };
    let tagged = |tag: &str| records.get::<Tag>(&Tag::key_of(registry, repository, tag)).ok_or_else(missing);
    match (digest, tag) {
        (None, None) => Err(Miss {
            code: "MissingDigestAndTag",
            reason: String::from("Invalid request parameters: both tag and digest cannot be null"),
        }),
        (Some(digest), None) => by_digest(digest),
        (None, Some(tag)) => by_digest(&tagged(tag)?.digest.to_string()),
        (Some(digest), Some(tag)) => {
            let image = by_digest(digest)?;
            if tagged(tag)?.digest == image.digest {
                return Ok(image);
            }
            Err(Miss {
                code: "ImageTagDoesNotMatchDigest",
                reason: format!("Image tag '{tag}' does not match digest '{digest}'"),
            })
        }
    }
}

/// Tags of an image, in order.
pub fn tags(records: &Snapshot, image: &Image) -> Vec<String> {
    let prefix = Image::key_of(&image.registry, &image.repository, &image.digest);
    records.by::<Tag>(Tag::BY_IMAGE, &prefix).map(|tag| tag.tag.clone()).collect()
}

/// AWS: a tag has 1 to 300 letters, digits, `_`, `.`, `-`, and does not begin with `.` or `-`.
pub fn check_tag(tag: &str) -> Result<(), Fault> {
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let is_tag = (1..=300).contains(&tag.len())
        && tag.as_bytes().first().is_some_and(|b| is_word(*b))
        && tag.bytes().all(|b| is_word(b) || b == b'.' || b == b'-');
    if is_tag {
        return Ok(());
    }
    Err(faults::invalid(format_args!(
        "Invalid parameter at 'imageTag' failed to satisfy constraint: 'must satisfy regular expression \
         '[a-zA-Z0-9_][a-zA-Z0-9._-]{{0,299}}''"
    )))
}
