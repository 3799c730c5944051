//! The release: one stripped static binary with its licences, a tarball, and a wheel that carries
//! the binary. Nothing is published.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::zip::Zip;

/// Builds everything into `dist/` and answers the files.
pub fn run(root: &Path) -> Result<Vec<PathBuf>> {
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let binary = build(root, &target)?;
    let version = version(root)?;
    let licenses = licenses(root)?;
    let dist = root.join("dist");
    fs::create_dir_all(&dist)?;
    let name = format!("boxship-{version}-{target}");
    let tarball = dist.join(format!("{name}.tar.gz"));
    tar(&tarball, &name, root, &binary, &licenses)?;
    let wheel = wheel(&dist, &version, &binary, &licenses)?;
    Ok(vec![binary, tarball, wheel])
}

fn build(root: &Path, target: &str) -> Result<PathBuf> {
    let status = Command::new("cargo")
        .args(["build", "--release", "--bin", "boxship", "--target", target])
        // Not position-independent: no relocations to write at every start of a shim.
        .env("RUSTFLAGS", "-C target-feature=+crt-static -C relocation-model=static")
        .current_dir(root)
        .status()
        .context("cargo")?;
    if !status.success() {
        bail!("the static binary does not build ({status})");
    }
    let binary = crate::target(root).join(target).join("release/boxship");
    let program = fs::read(&binary)?;
    if program.windows(15).any(|bytes| bytes == b"/lib64/ld-linux") {
        bail!("{} wants a dynamic loader: it is not static", binary.display());
    }
    Ok(binary)
}

fn metadata(root: &Path) -> Result<Value> {
    let output =
        Command::new("cargo").args(["metadata", "--format-version", "1"]).current_dir(root).output()?;
    serde_json::from_slice(&output.stdout).context("cargo metadata")
}

fn version(root: &Path) -> Result<String> {
    let metadata = metadata(root)?;
    let packages = metadata["packages"].as_array().cloned().unwrap_or_default();
    let server = packages.iter().find(|package| package["name"] == "server");
    server.and_then(|package| package["version"].as_str()).map(str::to_owned).context("the server's version")
}

/// Every dependency that is linked, with its licence's name and texts.
fn licenses(root: &Path) -> Result<String> {
    let metadata = metadata(root)?;
    let mut texts: BTreeMap<String, String> = BTreeMap::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        if package["source"].is_null() {
            continue;
        }
        let field = |name: &str| package[name].as_str().unwrap_or_default();
        let mut text = format!(
            "{} {} ({})\n{}\n",
            field("name"),
            field("version"),
            field("license"),
            field("repository")
        );
        let folder = Path::new(field("manifest_path")).parent().map(Path::to_path_buf).unwrap_or_default();
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().to_ascii_uppercase();
            let is_text = ["LICENSE", "LICENCE", "COPYING", "NOTICE", "COPYRIGHT"]
                .iter()
                .any(|start| name.starts_with(start));
            if is_text && let Ok(content) = fs::read_to_string(entry.path()) {
                text.push_str(&format!("\n{content}\n"));
            }
        }
        texts.insert(format!("{} {}", field("name"), field("version")), text);
    }
    let rule = "=".repeat(78);
    Ok(texts.into_values().map(|text| format!("{rule}\n{text}")).collect())
}

fn tar(to: &Path, name: &str, root: &Path, binary: &Path, licenses: &str) -> Result<()> {
    let mut tar = tar::Builder::new(GzEncoder::new(fs::File::create(to)?, Compression::best()));
    tar.mode(tar::HeaderMode::Deterministic);
    tar.append_path_with_name(binary, format!("{name}/boxship"))?;
    for file in ["LICENSE", "README.md", "CHANGELOG.md"] {
        tar.append_path_with_name(root.join(file), format!("{name}/{file}"))?;
    }
    let mut header = tar::Header::new_gnu();
    header.set_size(licenses.len() as u64);
    header.set_mode(0o644);
    tar.append_data(&mut header, format!("{name}/THIRD-PARTY-LICENSES"), licenses.as_bytes())?;
    tar.into_inner()?.finish()?.flush()?;
    Ok(())
}

/// The binary as a script of a wheel: `pip install boxship` puts it on the path.
fn wheel(dist: &Path, version: &str, binary: &Path, licenses: &str) -> Result<PathBuf> {
    // A static binary needs no library: the oldest tag that pip knows will do.
    let tag = format!("py3-none-manylinux_2_17_{0}.manylinux2014_{0}", std::env::consts::ARCH);
    let path = dist.join(format!("boxship-{version}-{tag}.whl"));
    let info = format!("boxship-{version}.dist-info");
    let tags: String = tag
        .trim_start_matches("py3-none-")
        .split('.')
        .map(|platform| format!("Tag: py3-none-{platform}\n"))
        .collect();
    let files: Vec<(String, u32, Vec<u8>)> = vec![
        (format!("boxship-{version}.data/scripts/boxship"), 0o755, fs::read(binary)?),
        (
            format!("{info}/METADATA"),
            0o644,
            format!(
                "Metadata-Version: 2.1\nName: boxship\nVersion: {version}\nLicense: Apache-2.0\n\
                 Summary: The AWS container platform as one binary, on machines that you own\n"
            )
            .into_bytes(),
        ),
        (
            format!("{info}/WHEEL"),
            0o644,
            format!("Wheel-Version: 1.0\nGenerator: boxship\nRoot-Is-Purelib: false\n{tags}").into_bytes(),
        ),
        (format!("{info}/licenses/THIRD-PARTY-LICENSES"), 0o644, licenses.as_bytes().to_vec()),
    ];
    let mut zip = Zip::new(fs::File::create(&path)?);
    let mut record = String::new();
    for (name, mode, content) in &files {
        zip.add(name, *mode, content)?;
        record.push_str(&format!(
            "{name},sha256={},{}\n",
            base64url(&Sha256::digest(content)),
            content.len()
        ));
    }
    record.push_str(&format!("{info}/RECORD,,\n"));
    zip.add(&format!("{info}/RECORD"), 0o644, record.as_bytes())?;
    zip.finish()?;
    Ok(path)
}

/// URL-safe base64 without padding, as wheels record digests.
fn base64url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let word =
            group.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for nth in 0..=group.len() {
            text.push(char::from(ALPHABET[(word >> (18 - 6 * nth)) as usize & 63]));
        }
    }
    text
}
