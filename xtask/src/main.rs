//! Every script of this repository: `cargo xtask COMMAND`.

mod cgroup2;
mod check;
mod clients;
mod coverage;
mod demo;
mod dist;
mod fuzz;
mod r#gen;
mod long;
mod tidy;
mod zip;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, bail};

const KNOWN: &str = "known: cgroup2, check, clients, coverage, demo, dist, fuzz, gen, long, tidy";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let argument = |index: usize| arguments.get(index).map(String::as_str);
    match argument(0) {
        Some("cgroup2") => cgroup2::run(&root()),
        Some("check") => check::run(&root()),
        Some("clients") => clients::run(&root(), &arguments[1..], &mut Vec::new()),
        Some("demo") => demo::run(&root(), &arguments[1..]),
        Some("dist") => {
            let files = dist::run(&root())?;
            print(&files.iter().map(|file| format!("{}\n", file.display())).collect::<String>())
        }
        Some("fuzz") => fuzz::run(&root(), &arguments[1..]),
        Some("long") => long::run(&root()),
        Some("tidy") => tidy::run(&root()),
        Some("gen") => r#gen::run(&root()),
        Some("coverage") => coverage::run(&root(), argument(1) == Some("--check")),
        Some(other) => bail!("unknown command {other}; {KNOWN}"),
        None => bail!("which command? {KNOWN}"),
    }
}

fn print(text: &str) -> Result<()> {
    Ok(std::io::stdout().write_all(text.as_bytes())?)
}

/// Where cargo builds: as the user says, or below the workspace.
#[expect(clippy::disallowed_methods, reason = "cargo's own variable")]
fn target(root: &Path) -> PathBuf {
    std::env::var("CARGO_TARGET_DIR").map_or_else(|_| root.join("target"), |said| root.join(said))
}

/// The workspace's directory.
fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_path_buf()
}
