//! `cargo xtask gen`: writes the crates under `crates/aws` from the API models of one pinned
//! botocore release, for the operations that `crates/aws/operations.toml` names.
//!
//! Invariant: equal configuration gives equal files. Documentation text never leaves the models.

mod emit;
mod fetch;
mod model;
mod names;
mod schemas;
mod shapes;
mod tables;
mod tree;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

/// `crates/aws/operations.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    botocore: Release,
    api: Vec<ApiConfig>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Release {
    version: String,
    /// Of the source distribution.
    sha256: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ApiConfig {
    /// Directory under `crates/aws`, and the API's short name.
    name: String,
    /// Directory under botocore's `data`.
    model: String,
    /// Error code of a broken constraint.
    invalid: String,
    /// Error code of an unreadable body.
    malformed: String,
    /// Values that the service takes beside those of the model, by the name of the enumeration.
    #[serde(default)]
    accepted: BTreeMap<String, Vec<String>>,
    operations: Vec<String>,
}

pub fn run(root: &Path) -> Result<()> {
    let path = root.join("crates/aws/operations.toml");
    let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let config: Config = toml::from_str(&text).with_context(|| format!("parse {}", path.display()))?;
    let archive = fetch::sdist(&root.join("target/gen"), &config.botocore.version, &config.botocore.sha256)?;
    for api in &config.api {
        generate(root, &archive, &config.botocore.version, api)
            .with_context(|| format!("generate {}", api.name))?;
    }
    Ok(())
}

fn generate(root: &Path, archive: &Path, version: &str, config: &ApiConfig) -> Result<()> {
    let inner = format!("botocore-{version}/botocore/data/{}/service-2.json", config.model);
    let bytes = fetch::extract(archive, &inner)?;
    let mut model: model::Model = serde_json::from_slice(&bytes).with_context(|| format!("parse {inner}"))?;
    for (name, values) in &config.accepted {
        let shape = model.shapes.get_mut(name).with_context(|| format!("{name} is no shape"))?;
        ensure!(!shape.r#enum.is_empty(), "{name} is no enumeration");
        shape.r#enum.extend(values.iter().cloned());
    }
    let files = emit::files(&model, config, version)?;

    let source = root.join("crates/aws").join(&config.name).join("src");
    if source.exists() {
        fs::remove_dir_all(&source)?;
    }
    fs::create_dir_all(&source)?;
    let mut paths = Vec::new();
    for (name, text) in files {
        let path = source.join(name);
        fs::write(&path, text)?;
        paths.push(path);
    }
    format(&paths)
}

fn format(paths: &[PathBuf]) -> Result<()> {
    let status = Command::new("rustfmt").arg("--edition=2024").args(paths).status().context("run rustfmt")?;
    ensure!(status.success(), "rustfmt failed");
    Ok(())
}
