//! What the compiler does not check of the house style: layers, sizes, where `unsafe` may stand,
//! and that `ARCHITECTURE.md` names every crate.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// Lines of a source file, generated code excepted.
const FILE_LINES: usize = 1_000;

/// Modules in which `unsafe` may stand: a file `sys.rs` or a directory `sys/` of these crates.
const UNSAFE_CRATES: [&str; 3] = ["crates/launch/", "crates/runtime/", "crates/vpc/"];

/// Layers from the bottom. Arrows point down or stay in their layer.
const LAYERS: [(&str, u8); 28] = [
    ("base", 0),
    ("wire", 0),
    ("store", 2),
    ("store-sqlite", 2),
    ("blobs", 2),
    ("journal", 2),
    ("service", 2),
    ("control", 2),
    ("link", 2),
    ("authority", 2),
    ("oci", 2),
    ("launch", 2),
    ("gateway", 3),
    ("runtime", 3),
    ("vpc", 3),
    ("agent", 4),
    ("endpoint", 4),
    ("registry", 4),
    ("proxy", 4),
    ("session", 4),
    ("cli", 4),
    ("server", 5),
    ("sim", 5),
    ("conformance", 5),
    ("bench", 5),
    ("xtask", 5),
    ("testkit", 3),
    ("hello", 5),
];

fn layer(name: &str) -> Option<u8> {
    if name.starts_with("aws-") || name.starts_with("core-") {
        return Some(1);
    }
    if name.starts_with("service-") {
        return Some(3);
    }
    LAYERS.iter().find(|(known, _)| *known == name).map(|(_, layer)| *layer)
}

/// Runs every check; all findings are listed, not only the first.
pub fn run(root: &Path) -> Result<()> {
    let mut findings = Vec::new();
    let packages = packages(root)?;
    layers(&packages, &mut findings);
    architecture(root, &packages, &mut findings)?;
    for file in sources(root)? {
        sizes(root, &file, &mut findings)?;
    }
    if findings.is_empty() {
        return Ok(());
    }
    bail!("tidy found {}:\n  {}", findings.len(), findings.join("\n  "))
}

/// Name of each workspace crate with the workspace crates that it depends on: (name, is for tests only).
type Packages = BTreeMap<String, Vec<(String, bool)>>;

fn packages(root: &Path) -> Result<Packages> {
    let output = Command::new("cargo")
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root)
        .output()
        .context("cargo metadata")?;
    let metadata: Value = serde_json::from_slice(&output.stdout).context("cargo metadata's output")?;
    let list = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
    let name = |value: &Value| value["name"].as_str().unwrap_or_default().to_owned();
    let all = list(&metadata, "packages");
    Ok(all
        .iter()
        .map(|package| {
            let ours = list(package, "dependencies").into_iter().filter(|on| on["path"].is_string());
            (name(package), ours.map(|on| (name(&on), on["kind"] == "dev")).collect())
        })
        .collect())
}

fn layers(packages: &Packages, findings: &mut Vec<String>) {
    for (from, dependencies) in packages {
        let Some(height) = layer(from) else {
            findings.push(format!("{from}: no layer; add it to xtask/src/tidy.rs and house style"));
            continue;
        };
        for (to, is_dev) in dependencies {
            if *is_dev {
                continue;
            }
            if layer(to).is_some_and(|other| other > height) {
                findings.push(format!("{from} → {to} climbs"));
            }
            if to == "testkit" {
                findings.push(format!("{from} → testkit: a dev-dependency only"));
            }
            if from.starts_with("service-") && to.starts_with("service-") {
                findings.push(format!("{from} → {to}: services never import each other"));
            }
            let is_core_fine = to == "base" || to.starts_with("core-");
            if from.starts_with("core-") && !is_core_fine {
                findings.push(format!("{from} → {to}: core uses base and core only"));
            }
        }
    }
}

fn architecture(root: &Path, packages: &Packages, findings: &mut Vec<String>) -> Result<()> {
    let text = fs::read_to_string(root.join("ARCHITECTURE.md")).context("ARCHITECTURE.md")?;
    for name in packages.keys() {
        let path = match name.split_once('-') {
            Some(("aws", api)) => format!("aws/{api}"),
            Some(("core", subject)) => format!("core/{subject}"),
            Some(("service", name)) => format!("services/{name}"),
            _ => name.clone(),
        };
        if !text.contains(&format!("`{path}`")) {
            findings.push(format!("ARCHITECTURE.md does not name `{path}`"));
        }
    }
    Ok(())
}

/// Every Rust file that people write.
fn sources(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![root.join("crates"), root.join("xtask"), root.join("bench")];
    while let Some(folder) = open.pop() {
        if !folder.is_dir() || folder.ends_with("crates/aws") || folder.ends_with("target") {
            continue;
        }
        for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn sizes(root: &Path, file: &Path, findings: &mut Vec<String>) -> Result<()> {
    let shown = file.strip_prefix(root).unwrap_or(file).display().to_string();
    let text = fs::read_to_string(file).with_context(|| shown.clone())?;
    let lines = text.lines().count();
    if lines > FILE_LINES {
        findings.push(format!("{shown}: {lines} lines, more than {FILE_LINES}"));
    }
    let is_sys = UNSAFE_CRATES.iter().any(|at| shown.starts_with(at))
        && (shown.contains("/sys/") || shown.ends_with("/sys.rs"));
    let blocks = ["unsafe", " {"].concat();
    let functions = ["unsafe", " fn"].concat();
    for (nth, line) in text.lines().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        if !is_sys && (code.contains(&blocks) || code.contains(&functions)) {
            findings.push(format!("{shown}:{}: unsafe outside a sys module", nth + 1));
        }
    }
    Ok(())
}
