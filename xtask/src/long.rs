//! The long forms of what the gate runs briefly: hundreds of kills, many histories, minutes of fuzzing.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Crates with tests that read `BOXSHIP_LONG`.
const CRASHES: [&str; 7] =
    ["store-sqlite", "journal", "vpc", "core-lifecycle", "core-rollout", "agent", "proxy"];
const FUZZ_SECONDS: &str = "120";

/// Runs all of it; takes about an hour and a half on two cores.
pub fn run(root: &Path) -> Result<()> {
    for package in CRASHES {
        let status = Command::new("cargo")
            .args(["test", "--package", package, "--test", "it", "--", "--nocapture"])
            .env("BOXSHIP_LONG", "1")
            .current_dir(root)
            .status()
            .context("cargo")?;
        if !status.success() {
            bail!("{package} fails in its long form ({status})");
        }
    }
    crate::fuzz::run(root, &[String::from("--seconds"), String::from(FUZZ_SECONDS)])?;
    // The clients' suite reads the variable, too.
    let mut left_out = Vec::new();
    crate::clients::run_with(root, &[], &[("BOXSHIP_LONG", "1")], &mut left_out)?;
    left_out.iter().for_each(|what| crate::check::say(&format!("left out  {what}")));
    Ok(())
}
