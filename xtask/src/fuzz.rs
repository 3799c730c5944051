//! Coverage-guided fuzzing with the stable compiler: LLVM's own passes, and libFuzzer as a library.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

const TARGETS: [&str; 6] = ["request", "response", "claim", "manifest", "unpack", "head"];

/// What cargo-fuzz passes, but for the sanitizer, which only nightly compilers have.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares";

/// Runs `[--seconds N] [TARGET …]`; all targets, five seconds each, where nothing is said.
pub fn run(root: &Path, arguments: &[String]) -> Result<()> {
    let (mut seconds, mut targets) = (5, Vec::new());
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--seconds" => seconds = rest.next().context("--seconds takes a number")?.parse()?,
            target if TARGETS.contains(&target) => targets.push(target),
            other => bail!("no target {other}; known: {}", TARGETS.join(", ")),
        }
    }
    if targets.is_empty() {
        targets.extend(TARGETS);
    }
    let home = root.join("fuzz");
    let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let built = Command::new("cargo")
        .args(["build", "--quiet", "--release", "--target", &triple])
        .env("RUSTFLAGS", FLAGS)
        .env("CARGO_TARGET_DIR", root.join("target/fuzz"))
        .current_dir(&home)
        .status()
        .context("cargo")?;
    if !built.success() {
        bail!("the fuzz targets do not build ({built})");
    }
    for target in targets {
        one(&home, &root.join("target/fuzz").join(&triple).join("release").join(target), target, seconds)?;
    }
    Ok(())
}

fn one(home: &Path, program: &Path, target: &str, seconds: u64) -> Result<()> {
    let (corpus, artifacts) = (home.join("corpus").join(target), home.join("artifacts").join(target));
    std::fs::create_dir_all(&corpus)?;
    std::fs::create_dir_all(&artifacts)?;
    let ran = Command::new(program)
        .arg(&corpus)
        .arg(home.join("seeds").join(target))
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .arg(format!("-max_total_time={seconds}"))
        .args(["-timeout=20", "-rss_limit_mb=2048", "-max_len=65536", "-print_final_stats=1"])
        .output()
        .with_context(|| program.display().to_string())?;
    let text = String::from_utf8_lossy(&ran.stderr);
    let stat = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.rsplit(' ').next()).unwrap_or("?").to_owned()
    };
    if !ran.status.success() {
        bail!("fuzzing {target} found something, see {}:\n{text}", artifacts.display());
    }
    crate::check::say(&format!("   {target}: {} runs, {seconds} s", stat("stat::number_of_executed_units")));
    Ok(())
}
