//! `boxship stats`: what containers use, live on a terminal until `q` or Ctrl-C.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde::Deserialize;
use serde_json::json;

use super::find;
use crate::client::Client;
use crate::http;
use crate::screen::{Keys, height, table_text};

/// Between two readings, whose difference is the share of a processor.
const INTERVAL: Duration = Duration::from_secs(1);
/// A key is looked for so often in between.
const LOOKS: u32 = 10;
/// Ended by Ctrl-C, as a shell has it.
const INTERRUPTED: u8 = 130;

#[derive(Debug, Args)]
pub struct StatsArgs {
    /// Only this task: its id, the beginning of one, its ARN, or a family with one running task
    task: Option<String>,
    /// Print once and return [default: where the output is no terminal]
    #[arg(long)]
    no_stream: bool,
    /// As JSON, once
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Deserialize)]
struct Reading {
    tasks: Vec<Of>,
}

#[derive(Debug, Clone, Deserialize)]
struct Of {
    task: String,
    containers: Vec<Container>,
}

#[derive(Debug, Clone, Deserialize)]
struct Container {
    name: String,
    /// Microseconds since 1970.
    read_at: i64,
    cpu_ns: u64,
    memory_bytes: u64,
    memory_inactive_file_bytes: u64,
    memory_limit_bytes: u64,
    pids: u64,
    #[serde(default)]
    dropped_lines: u64,
    disk_read_bytes: u64,
    disk_written_bytes: u64,
    networks: BTreeMap<String, Traffic>,
}

#[derive(Debug, Clone, Deserialize)]
struct Traffic {
    received_bytes: u64,
    sent_bytes: u64,
}

/// One container's line.
struct Row {
    task: String,
    container: String,
    /// Of one processor.
    cpu_percent: f64,
    memory: u64,
    limit: u64,
    received: u64,
    sent: u64,
    read: u64,
    written: u64,
    pids: u64,
    /// Lines of output that found its buffer full.
    dropped: u64,
}

pub async fn run(client: &Client, args: &StatsArgs) -> Result<ExitCode> {
    let only = match &args.task {
        Some(named) => {
            let (_, task) = find::find(client, named, None).await?;
            if find::is_stopped(&task) {
                bail!("task {} has stopped: only what runs uses anything", find::id(&task));
            }
            Some(find::id(&task).to_owned())
        }
        None => None,
    };
    let is_live = !args.no_stream && !args.json && std::io::stdout().is_terminal();
    let keys = if is_live { Keys::listen() } else { None };
    let watching = watch(client, only.as_deref(), args.json, is_live, keys.as_ref());
    tokio::select! {
        ended = watching => ended,
        // Not by the signal itself: the terminal is given back.
        _ = tokio::signal::ctrl_c(), if keys.is_some() => Ok(ExitCode::from(INTERRUPTED)),
    }
}

/// Reads and shows, once or until somebody presses `q`.
async fn watch(
    client: &Client,
    only: Option<&str>,
    is_json: bool,
    is_live: bool,
    keys: Option<&Keys>,
) -> Result<ExitCode> {
    let mut before = read(client, only).await?;
    loop {
        for _ in 0..LOOKS {
            tokio::time::sleep(INTERVAL / LOOKS).await;
            if keys.and_then(Keys::pressed) == Some(b'q') {
                return Ok(ExitCode::SUCCESS);
            }
        }
        let now = read(client, only).await?;
        let mut rows = rows(&before, &now);
        rows.sort_by(|a, b| b.cpu_percent.total_cmp(&a.cpu_percent).then_with(|| a.task.cmp(&b.task)));
        if is_json {
            println!("{:#}", serde_json::Value::Array(rows.iter().map(as_json).collect()));
        } else {
            show(&rows, is_live);
        }
        if !is_live {
            return Ok(ExitCode::SUCCESS);
        }
        before = now;
    }
}

async fn read(client: &Client, only: Option<&str>) -> Result<Reading> {
    let path = match only {
        Some(task) => format!("/_boxship/stats?task={task}"),
        None => String::from("/_boxship/stats"),
    };
    let answer = http::get(client.address(), &path).await?;
    serde_json::from_slice(answer.body()).context("the server's figures cannot be read")
}

fn rows(before: &Reading, now: &Reading) -> Vec<Row> {
    let mut rows = Vec::new();
    for of in &now.tasks {
        let earlier = before.tasks.iter().find(|known| known.task == of.task);
        for container in &of.containers {
            let earlier = earlier.and_then(|of| of.containers.iter().find(|c| c.name == container.name));
            rows.push(row(&of.task, earlier, container));
        }
    }
    rows
}

fn row(task: &str, before: Option<&Container>, now: &Container) -> Row {
    let share = before.map_or(0.0, |before| {
        let micros = now.read_at.saturating_sub(before.read_at).max(1) as f64;
        // A restart in between begins the count anew.
        now.cpu_ns.saturating_sub(before.cpu_ns) as f64 / (micros * 1_000.0)
    });
    Row {
        task: task.to_owned(),
        container: now.name.clone(),
        cpu_percent: share * 100.0,
        memory: now.memory_bytes.saturating_sub(now.memory_inactive_file_bytes),
        limit: now.memory_limit_bytes,
        received: now.networks.values().map(|traffic| traffic.received_bytes).sum(),
        sent: now.networks.values().map(|traffic| traffic.sent_bytes).sum(),
        read: now.disk_read_bytes,
        written: now.disk_written_bytes,
        pids: now.pids,
        dropped: now.dropped_lines,
    }
}

fn as_json(row: &Row) -> serde_json::Value {
    json!({
        "task": row.task,
        "container": row.container,
        "cpuPercent": (row.cpu_percent * 100.0).round() / 100.0,
        "memoryBytes": row.memory,
        "memoryLimitBytes": row.limit,
        "receivedBytes": row.received,
        "sentBytes": row.sent,
        "diskReadBytes": row.read,
        "diskWrittenBytes": row.written,
        "pids": row.pids,
        "droppedLines": row.dropped,
    })
}

fn show(rows: &[Row], is_live: bool) {
    let headings =
        ["TASK", "CONTAINER", "CPU", "MEMORY", "LIMIT", "%", "RECEIVED", "SENT", "READ", "WRITTEN", "PIDS"];
    let cells = rows.iter().map(|row| {
        let share = if row.limit == 0 { 0.0 } else { row.memory as f64 / row.limit as f64 * 100.0 };
        vec![
            row.task.chars().take(12).collect(),
            row.container.clone(),
            format!("{:.1}%", row.cpu_percent),
            size(row.memory),
            size(row.limit),
            format!("{share:.1}"),
            size(row.received),
            size(row.sent),
            size(row.read),
            size(row.written),
            row.pids.to_string(),
        ]
    });
    let text = table_text(&headings, &cells.collect::<Vec<_>>());
    if !is_live {
        print!("{text}");
        return;
    }
    // From the upper left corner, each line's rest erased, then all below: no flicker.
    let mut screen = String::from("\x1b[H");
    // The busiest come first; a screen that scrolls would tear.
    for line in text.lines().take(height().map_or(usize::MAX, |rows| rows - 1)) {
        let _ = writeln!(screen, "{line}\x1b[K");
    }
    if rows.is_empty() {
        screen.push_str("no task runs\x1b[K\n");
    }
    print!("{screen}\x1b[J");
}

/// `12.3MiB`.
fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if value < 1024.0 {
            return if unit == "B" { format!("{bytes}B") } else { format!("{value:.1}{unit}") };
        }
        value /= 1024.0;
    }
    format!("{value:.1}TiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(read_at: i64, cpu_ns: u64) -> Container {
        Container {
            name: "web".to_owned(),
            read_at,
            cpu_ns,
            memory_bytes: 3 << 20,
            memory_inactive_file_bytes: 1 << 20,
            memory_limit_bytes: 8 << 20,
            pids: 2,
            dropped_lines: 0,
            disk_read_bytes: 0,
            disk_written_bytes: 0,
            networks: BTreeMap::new(),
        }
    }

    #[test]
    fn a_share_is_the_difference_of_two_readings() {
        let made = row("t", Some(&container(0, 0)), &container(2_000_000, 1_000_000_000));
        assert!((made.cpu_percent - 50.0).abs() < 1e-9);
        assert_eq!((made.memory, made.limit), (2 << 20, 8 << 20));
        let restarted = row("t", Some(&container(0, 9)), &container(1_000_000, 3));
        assert!(restarted.cpu_percent.abs() < 1e-9);
    }

    #[test]
    fn sizes_are_for_people() {
        for (bytes, text) in [(0, "0B"), (1023, "1023B"), (1536, "1.5KiB"), (5 << 30, "5.0GiB")] {
            assert_eq!(size(bytes), text);
        }
    }
}
