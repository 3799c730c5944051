//! `cargo xtask coverage [FILE]`: the README's table of what works, in Markdown.
//!
//! Reads lines `ecs RunTask`, one for each operation that a built server serves with full effect,
//! from FILE or the standard input, and counts them against the models' operations that the
//! generated crates list. A name that no model has is an error: the table must not flatter.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, bail};

pub fn run(root: &Path, file: Option<&str>) -> Result<String> {
    let mut text = String::new();
    match file {
        Some(file) => text = fs::read_to_string(file).with_context(|| format!("read {file}"))?,
        None => {
            std::io::stdin().read_to_string(&mut text)?;
        }
    }
    table(&known(&root.join("crates/aws"))?, &built(&text)?)
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
