//! What the commands show and no AWS API tells: what containers use, how far pulls have come, and
//! output that a log driver keeps on this host.

use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;

use runtime::{ContainerStats, Runtime, SandboxPhase};
use serde::Serialize;
use serde_json::{Value, json};

/// Bytes of output in one answer.
const OUTPUT: u64 = 1 << 20;

/// What one task's containers use.
#[derive(Debug, Serialize)]
pub struct TaskStats {
    pub task: String,
    pub containers: Vec<ContainerStats>,
}

/// Of every task that runs, or of one.
pub async fn stats(runtime: &dyn Runtime, only: Option<&str>) -> Vec<TaskStats> {
    let known = runtime.list().await.unwrap_or_default();
    let mut found = Vec::new();
    for record in known.into_iter().filter(|record| record.phase == SandboxPhase::Ready) {
        let task = record.sandbox.task.clone();
        if only.is_some_and(|only| only != task) {
            continue;
        }
        // A task may end between the two calls.
        let Ok(containers) = runtime.stats(&task).await else { continue };
        found.push(TaskStats { task, containers });
    }
    found
}

/// The part of a `json-file` driver's file from byte `from` on, whole lines only, and where the
/// next one begins. A file that was rotated meanwhile is read from its start.
pub fn output(path: &PathBuf, from: u64) -> std::io::Result<Value> {
    let mut file = std::fs::File::open(path)?;
    let from = if from > file.metadata()?.len() { 0 } else { from };
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(OUTPUT).read_to_end(&mut bytes)?;
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
    let lines = bytes[..whole].split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let lines: Vec<Value> = lines.filter_map(|line| serde_json::from_slice(line).ok()).collect();
    Ok(json!({ "lines": lines, "next": from + whole as u64 }))
}

/// The members of a query string, decoded as far as names of tasks and containers need it.
pub fn query(text: Option<&str>) -> BTreeMap<&str, &str> {
    text.unwrap_or_default().split('&').filter_map(|pair| pair.split_once('=')).collect()
}

/// Whether a name may become a part of a path.
pub fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_comes_in_whole_lines() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("web-json.log");
        std::fs::write(&path, "{\"log\":\"one\\n\"}\n{\"log\":\"two\\n\"}\n{\"log\":\"tor").unwrap();
        let first = output(&path, 0).unwrap();
        assert_eq!(first["lines"], json!([{ "log": "one\n" }, { "log": "two\n" }]));
        let next = first["next"].as_u64().unwrap();
        assert_eq!(output(&path, next).unwrap()["lines"], json!([]));
        assert_eq!(output(&path, 10_000).unwrap()["lines"][0]["log"], "one\n", "it was rotated");
    }

    #[test]
    fn names_stay_below_their_directory() {
        for (name, is_one) in [("web-1_a", true), ("..", false), ("", false), ("a/b", false)] {
            assert_eq!(is_name(name), is_one, "{name}");
        }
    }
}
