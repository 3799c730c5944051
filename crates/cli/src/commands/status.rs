//! `boxship status`.

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;
use serde_json::Value;

use crate::client::Client;
use crate::http;
use crate::screen::{Color, paint};

#[derive(Debug, Args)]
pub struct StatusArgs {
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub async fn run(client: &Client, args: &StatusArgs) -> Result<ExitCode> {
    let answer = http::get(client.address(), "/_boxship/health").await?;
    if let Some(refusal) = http::forbidden(&answer) {
        bail!("{refusal}");
    }
    if !answer.status().is_success() {
        bail!("{} answers {}: {}", client.address(), answer.status(), String::from_utf8_lossy(answer.body()));
    }
    let health: Value = serde_json::from_slice(answer.body())?;
    if args.json {
        println!("{health:#}");
        return Ok(ExitCode::SUCCESS);
    }
    let text = |key: &str| health[key].as_str().unwrap_or("?").to_owned();
    println!(
        "Boxship {} is {} on http://localhost:{}",
        text("version"),
        paint(&text("status"), Color::Good),
        client.address().port()
    );
    println!("  runtime   {}", text("runtime"));
    println!("  data      {}", text("data_dir"));
    println!("  services  {}", list(&health["services"]));
    if let Some(cluster) = health["instance"].as_str() {
        println!("  instance  of the cluster {cluster}");
    }
    let tasks = &health["tasks"];
    println!("  tasks     {} running, {} pending", tasks["running"], tasks["pending"]);
    for warning in health["warnings"].as_array().into_iter().flatten() {
        println!("  {}   {}", paint("warning", Color::Pending), warning.as_str().unwrap_or_default());
    }
    Ok(ExitCode::SUCCESS)
}

fn list(names: &Value) -> String {
    let names = names.as_array().into_iter().flatten().filter_map(Value::as_str);
    names.collect::<Vec<_>>().join(" ")
}
