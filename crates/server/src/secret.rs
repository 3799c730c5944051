//! The data directory's own secret: seals registry passwords. Made once, readable by its owner only.

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, Result};
use base::Secret;

/// Reads the secret, or makes it.
pub fn open(data_dir: &Path) -> Result<Secret> {
    let path = data_dir.join("secret");
    if let Ok(text) = std::fs::read_to_string(&path)
        && text.len() == 64
    {
        return Ok(Secret::new(text));
    }
    let text = hex::encode(random::<32>()?);
    let fresh = path.with_extension("new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&fresh)
        .with_context(|| format!("cannot write {}", fresh.display()))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&fresh, &path)?;
    Ok(Secret::new(text))
}

/// Bytes that nobody can guess.
pub fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .context("/dev/urandom")?;
    Ok(bytes)
}
