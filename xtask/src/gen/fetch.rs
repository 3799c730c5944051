//! The pinned release: downloaded once with pip, verified, kept under `target/`.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};

/// The verified source distribution of botocore `version` in `cache`.
pub fn sdist(cache: &Path, version: &str, sha256: &str) -> Result<PathBuf> {
    let path = cache.join(format!("botocore-{version}.tar.gz"));
    if !path.exists() {
        fs::create_dir_all(cache)?;
        download(cache, version)?;
    }
    let found =
        hex::encode(Sha256::digest(fs::read(&path).with_context(|| format!("read {}", path.display()))?));
    ensure!(found == sha256, "{} has sha256 {found}, expected {sha256}", path.display());
    Ok(path)
}

fn download(cache: &Path, version: &str) -> Result<()> {
    let status = Command::new("python3")
        .args(["-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:", "--dest"])
        .arg(cache)
        .arg(format!("botocore=={version}"))
        .status()
        .context("run python3 -m pip")?;
    ensure!(status.success(), "pip could not download botocore {version}");
    Ok(())
}

/// The bytes of the file `inner` of a gzipped tar archive.
pub fn extract(archive: &Path, inner: &str) -> Result<Vec<u8>> {
    let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(File::open(archive)?));
    for entry in tar.entries()? {
        let mut entry = entry?;
        if entry.path()?.to_str() == Some(inner) {
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes)?;
            return Ok(bytes);
        }
    }
    bail!("{} holds no {inner}", archive.display())
}
