//! The whole gate, locally and in CI. Says what it runs, what it had to leave out, and stops at
//! the first step that fails.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

/// Runs formatting, lints, tidy, licences, and every test.
pub fn run(root: &Path) -> Result<()> {
    let mut left_out = Vec::new();
    step("formatting", || cargo(root, &["fmt", "--all", "--check"]))?;
    step("tidy", || crate::tidy::run(root))?;
    step("lints", || {
        cargo(root, &["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"])
    })?;
    if has("cargo", &["deny", "--version"]) {
        step("licences", || cargo(root, &["deny", "check", "licenses", "bans", "sources"]))?;
    } else {
        left_out.push("licences of dependencies: cargo-deny is not installed (cargo install cargo-deny)");
    }
    step("build", || cargo(root, &["build", "--quiet", "--bin", "boxship"]))?;
    step("coverage table", || crate::coverage::run(root, true))?;
    if has("cargo", &["nextest", "--version"]) {
        step("tests", || cargo(root, &["nextest", "run", "--workspace", "--no-fail-fast"]))?;
    } else {
        step("tests", || cargo(root, &["test", "--workspace", "--quiet", "--no-fail-fast"]))?;
    }
    step("fuzzing", || crate::fuzz::run(root, &[]))?;
    step("clients", || crate::clients::run(root, &[], &mut left_out))?;
    for what in &left_out {
        say(&format!("left out  {what}"));
    }
    say("the gate is green");
    Ok(())
}

fn step(name: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
    say(&format!("── {name}"));
    #[expect(clippy::disallowed_methods, reason = "how long a step of the gate took is for people to read")]
    let began = Instant::now();
    work().with_context(|| format!("the gate fails at: {name}"))?;
    say(&format!("   {name}: {:.0} s", began.elapsed().as_secs_f64()));
    Ok(())
}

/// Prints a line about the gate.
#[expect(clippy::print_stdout, reason = "a program for the terminal")]
pub fn say(line: &str) {
    println!("{line}");
}

/// Runs cargo and waits for it.
pub fn cargo(root: &Path, arguments: &[&str]) -> Result<()> {
    let status = Command::new("cargo").args(arguments).current_dir(root).status().context("cargo")?;
    if !status.success() {
        bail!("cargo {} ended with {status}", arguments.join(" "));
    }
    Ok(())
}

fn has(program: &str, arguments: &[&str]) -> bool {
    let ran = Command::new(program).args(arguments).output();
    ran.is_ok_and(|output| output.status.success())
}
