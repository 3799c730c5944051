//! The smuggling corpus: what a target gets is one request per request that was accepted.

use std::fs;
use std::time::Duration;

use serde_json::Value;

use crate::front::{Front, recording};

/// A case that the corpus leaves open may be refused or served, but never as two requests.
fn check(case: &Value) -> Result<(), String> {
    let (target, seen) = recording();
    // What is left half-said is given up soon.
    let front = Front::with(&[target], |table| table.attributes.idle_timeout_for = Duration::from_secs(1));
    let mut client = front.client();
    let send: Vec<u8> = case["send"].as_str().unwrap().chars().map(|c| c as u32 as u8).collect();
    client.send(&send);
    let mut statuses = Vec::new();
    while let Some(answer) = client.try_answer(false) {
        // That more was waited for is no verdict.
        if answer.status != 408 {
            statuses.push(answer.status);
        }
    }
    let targets: Vec<String> =
        seen.requests().iter().map(|request| request.line.split(' ').nth(1).unwrap().to_owned()).collect();
    if !seen.garbage().is_empty() {
        return Err(format!("a target could not read {:?}", seen.garbage()));
    }
    match case.get("targets") {
        Some(expected) => {
            let expected: Vec<&str> =
                expected.as_array().unwrap().iter().map(|t| t.as_str().unwrap()).collect();
            let answers: Vec<u64> =
                case["answers"].as_array().unwrap().iter().map(|a| a.as_u64().unwrap()).collect();
            let got: Vec<u64> = statuses.iter().map(|status| u64::from(*status)).collect();
            if targets != expected || got != answers {
                return Err(format!("targets got {targets:?}, the client {got:?}"));
            }
        }
        None if targets.len() > 1 || targets.iter().any(|target| target.contains("smuggled")) => {
            return Err(format!("targets got {targets:?}"));
        }
        None if statuses.len() > 1 || targets.is_empty() != (statuses == [400]) => {
            return Err(format!("targets got {targets:?}, the client {statuses:?}"));
        }
        None => {}
    }
    Ok(())
}

#[test]
fn nothing_reaches_a_target_but_as_one_request() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../../conformance/data/smuggling");
    let mut files: Vec<_> = fs::read_dir(corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|kind| kind == "jsonl"));
    files.sort();
    assert!(files.len() >= 5, "{files:?}");
    let cases = files.iter().flat_map(|path| {
        let text = fs::read_to_string(path).unwrap();
        let class = path.file_stem().unwrap().to_string_lossy().into_owned();
        let case = |line: &str| (class.clone(), serde_json::from_str::<Value>(line).unwrap());
        text.lines().map(case).collect::<Vec<_>>()
    });
    let cases: Vec<_> = cases.collect();
    let mut failed = Vec::new();
    for some in cases.chunks(16) {
        let checks: Vec<_> = some
            .iter()
            .cloned()
            .map(|(class, case)| {
                std::thread::spawn(move || {
                    check(&case).map_err(|why| format!("{class}: {}: {why}", case["name"]))
                })
            })
            .collect();
        failed.extend(checks.into_iter().filter_map(|check| check.join().unwrap().err()));
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
