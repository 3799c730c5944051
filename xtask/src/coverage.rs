//! `cargo xtask coverage`: what works, as a table in the README and a list in `docs/coverage.md`.
//!
//! Asks the built binary which operations it serves with full effect, and counts them against the
//! models' operations that the generated crates list. A name that no model has is an error: the
//! table must not flatter.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

const BEGIN: &str = "<!-- coverage: written by `cargo xtask coverage` -->\n";
const END: &str = "<!-- /coverage -->";

/// Writes both, or (`is_check`) fails where they are not as they would be written.
pub fn run(root: &Path, is_check: bool) -> Result<()> {
    crate::check::cargo(root, &["build", "--quiet", "--bin", "boxship"])?;
    let listed = Command::new(crate::target(root).join("debug/boxship"))
        .arg("operations")
        .output()
        .context("boxship")?;
    let (known, built) = (known(&root.join("crates/aws"))?, built(&String::from_utf8_lossy(&listed.stdout))?);
    let readme = fs::read_to_string(root.join("README.md"))?;
    let (head, rest) = readme.split_once(BEGIN).context("README.md has no place for the coverage table")?;
    let (_, tail) = rest.split_once(END).context("README.md's coverage table has no end")?;
    let readme = format!("{head}{BEGIN}\n{}\n{END}{tail}", table(&known, &built)?);
    for (file, text) in [("README.md", readme), ("docs/coverage.md", list(&known, &built)?)] {
        let path = root.join(file);
        if fs::read_to_string(&path).is_ok_and(|had| had == text) {
            continue;
        }
        if is_check {
            bail!("{file} does not show what works: run `cargo xtask coverage`");
        }
        fs::write(&path, text).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// Every operation of every model, those that work first.
fn list(known: &Names, built: &Names) -> Result<String> {
    let mut text = String::from(
        "# Operations\n\nWritten by `cargo xtask coverage`.\n\
         An operation is listed as working when it has its full effect; parameters that it does not act on are refused by name.\n",
    );
    for (api, model) in known {
        let works = built.get(api).cloned().unwrap_or_default();
        writeln!(text, "\n## {api}: {} of {}\n", works.len(), model.len())?;
        let names = |names: Vec<&String>| {
            names.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
        };
        writeln!(text, "Works: {}.\n", names(works.iter().collect()))?;
        let missing: Vec<_> = model.difference(&works).collect();
        writeln!(text, "Refused by name: {}.", names(missing))?;
    }
    Ok(text)
}

/// API → every operation of its model.
type Names = BTreeMap<String, BTreeSet<String>>;

fn known(crates: &Path) -> Result<Names> {
    let mut known = Names::new();
    for entry in fs::read_dir(crates)? {
        let path = entry?.path();
        let table = path.join("src/api.rs");
        if table.exists() {
            let text = fs::read_to_string(&table)?;
            let list = text.split("known: &[").nth(1).and_then(|rest| rest.split(']').next());
            let list = list.with_context(|| format!("{} lists no operations", table.display()))?;
            let names = list.split('"').skip(1).step_by(2).map(str::to_owned);
            let api = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            known.insert(api, names.collect());
        }
    }
    Ok(known)
}

fn built(text: &str) -> Result<Names> {
    let mut built = Names::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let (api, operation) =
            line.trim().split_once(' ').with_context(|| format!("not `api Operation`: {line}"))?;
        built.entry(api.to_owned()).or_default().insert(operation.to_owned());
    }
    Ok(built)
}

fn table(known: &Names, built: &Names) -> Result<String> {
    let mut table = String::from("| API | operations that work | of its model's |\n| --- | ---: | ---: |\n");
    for (api, operations) in built {
        let model = known.get(api).with_context(|| format!("no crate for the API {api}"))?;
        if let Some(unknown) = operations.difference(model).next() {
            bail!("the model of {api} has no operation {unknown}");
        }
    }
    for (api, model) in known {
        writeln!(table, "| {api} | {} | {} |", built.get(api).map_or(0, BTreeSet::len), model.len())?;
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::{built, table};

    #[test]
    fn works_are_counted_and_unknown_names_refused() {
        let known = built("ecs A\necs B\niam C").unwrap();
        let text = table(&known, &built("ecs B\n\n").unwrap()).unwrap();
        assert!(text.contains("| ecs | 1 | 2 |\n| iam | 0 | 1 |"), "{text}");
        assert!(table(&known, &built("ecs C").unwrap()).is_err());
        assert!(table(&known, &built("s3 A").unwrap()).is_err());
    }
}
