//! README's first command: builds everything and runs the main job.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Builds the binary and the example's static program, then runs `boxship demo` with `arguments`.
pub fn run(root: &Path, arguments: &[String]) -> Result<()> {
    crate::check::cargo(root, &["build", "--release", "--bin", "boxship"])?;
    let hello = hello(root)?;
    let status = Command::new(crate::target(root).join("release/boxship"))
        .args(arguments)
        .arg("demo")
        .arg("--binary")
        .arg(hello)
        .current_dir(root)
        .status()
        .context("boxship")?;
    if !status.success() {
        bail!("the main job failed ({status})");
    }
    Ok(())
}

/// The example's program as one static file; answers its path.
pub fn hello(root: &Path) -> Result<std::path::PathBuf> {
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let status = Command::new("cargo")
        .args(["build", "--quiet", "--release", "--package", "hello", "--target", &target])
        // With a target given, flags reach the program only, not build scripts and macros.
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        .current_dir(root)
        .status()
        .context("cargo")?;
    if !status.success() {
        bail!("the example does not build ({status})");
    }
    Ok(crate::target(root).join(target).join("release/hello"))
}
