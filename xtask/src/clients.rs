//! Unmodified clients against the binary: the pytest suite in `conformance/`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The AWS CLI pins another botocore than boto3's: each has an environment of its own.
const AWS_CLI: &str = "awscli==1.46.2";

/// Runs the suite against `target/debug/boxship`; what a machine lacks is added to `left_out`.
pub fn run(root: &Path, arguments: &[String], left_out: &mut Vec<&'static str>) -> Result<()> {
    run_with(root, arguments, &[], left_out)
}

/// [`run`] with further environment variables.
pub fn run_with(
    root: &Path,
    arguments: &[String],
    variables: &[(&str, &str)],
    left_out: &mut Vec<&'static str>,
) -> Result<()> {
    let home = crate::target(root).join("clients");
    let Some(python) = environment(&home.join("python"), &["-r", "conformance/requirements.txt"], root)?
    else {
        left_out
            .push("unmodified clients: python3 with venv is not installed (apt-get install python3-venv)");
        return Ok(());
    };
    let cli = environment(&home.join("awscli"), &[AWS_CLI], root)?;
    let node = node(&home.join("node"), root)?;
    if node.is_none() {
        left_out.push("clients from npm: npm is not installed (apt-get install npm)");
    }
    let hello = crate::demo::hello(root)?;
    let mut pytest = Command::new(python.join("bin/pytest"));
    pytest
        .args(["conformance", "-q", "-rs", "--no-header", "-p", "no:cacheprovider"])
        .args(arguments)
        .env("BOXSHIP", crate::target(root).join("debug/boxship"))
        .env("HELLO", hello)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .envs(variables.iter().copied())
        .current_dir(root);
    if let Some(cli) = cli {
        pytest.env("AWS_CLI", cli.join("bin/aws"));
    }
    if let Some(node) = node {
        pytest.env("NODE_CLIENTS", node);
    }
    let status = pytest.status().context("pytest")?;
    if !status.success() {
        bail!("unmodified clients fail ({status})");
    }
    Ok(())
}

/// Makes a Python environment with these packages, once. `None` where Python lacks what it takes.
fn environment(at: &Path, packages: &[&str], root: &Path) -> Result<Option<PathBuf>> {
    let stamp = at.join("boxship-stamp");
    let mut wanted = packages.join(" ");
    if let Some(file) = packages.iter().find(|name| name.ends_with(".txt")) {
        wanted.push_str(&std::fs::read_to_string(root.join(file)).unwrap_or_default());
    }
    if std::fs::read_to_string(&stamp).is_ok_and(|had| had == wanted) {
        return Ok(Some(at.to_owned()));
    }
    let made = Command::new("python3").args(["-m", "venv", "--clear"]).arg(at).output();
    if !made.is_ok_and(|output| output.status.success()) {
        return Ok(None);
    }
    let pip = Command::new(at.join("bin/pip"))
        .args(["install", "--quiet", "--disable-pip-version-check"])
        .args(packages)
        .current_dir(root)
        .status()
        .context("pip")?;
    if !pip.success() {
        bail!("pip could not install {}", packages.join(" "));
    }
    std::fs::write(&stamp, wanted)?;
    Ok(Some(at.to_owned()))
}

/// Installs the pinned packages of npm, once. `None` where there is no npm.
fn node(at: &Path, root: &Path) -> Result<Option<PathBuf>> {
    let (stamp, lock) = (at.join("boxship-stamp"), root.join("conformance/package-lock.json"));
    let wanted = std::fs::read_to_string(&lock).with_context(|| format!("read {}", lock.display()))?;
    if std::fs::read_to_string(&stamp).is_ok_and(|had| had == wanted) {
        return Ok(Some(at.to_owned()));
    }
    std::fs::create_dir_all(at)?;
    for file in ["package.json", "package-lock.json"] {
        std::fs::copy(root.join("conformance").join(file), at.join(file))?;
    }
    let npm = Command::new("npm")
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error"])
        .current_dir(at)
        .status();
    match npm {
        Ok(status) if status.success() => {
            std::fs::write(&stamp, wanted)?;
            Ok(Some(at.to_owned()))
        }
        Ok(status) => bail!("npm could not install ({status})"),
        Err(_) => Ok(None),
    }
}
