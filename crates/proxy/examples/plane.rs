//! The data plane alone, on loopback, told by lines on its standard input: for measurements and soaks.
//!
//! `plane [WORKERS]`. Each line is a JSON object with one of
//! - `balancer`: a [`core_routing::Balancer`], served from now on;
//! - `certificate`: `{"arn", "chain", "key"}` with PEM texts;
//! - `remove`: a balancer's ARN.
//!
//! Each is answered with a line: `ok MICROSECONDS`, or `error` and why. The end of the input closes it.

#![expect(clippy::print_stdout, reason = "whoever started it reads the answers")]

use std::io::BufRead;
use std::sync::Arc;
use std::time::Duration;

use base::{Chance, Secret};
use core_routing::{Balancer, Certificate};
use proxy::log::NoLogs;
use proxy::{Config, Loopback, Plane};
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let workers = std::env::args().nth(1).map_or(Ok(1), |count| count.parse())?;
    let (reports, mut seen) = tokio::sync::mpsc::channel(1_024);
    let (sockets, chance) = (Arc::new(Loopback), Chance::new(1));
    let plane = Plane::start(Config {
        workers,
        sockets,
        reports,
        asked: tokio::sync::mpsc::channel(1).0,
        logs: Arc::new(NoLogs),
        sticky_key: [7; 32],
        chance,
    })?;
    // Reading tables is no part of serving: what is measured goes first.
    let _ = rustix::process::nice(10);
    tokio::spawn(async move { while seen.recv().await.is_some() {} });
    let (lines, mut told) = tokio::sync::mpsc::channel(16);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if lines.blocking_send(line).is_err() {
                return;
            }
        }
    });
    while let Some(line) = told.recv().await {
        #[expect(clippy::disallowed_methods, reason = "how long a table takes is what is measured")]
        let began = std::time::Instant::now();
        match tell(&plane, &line).await {
            Ok(took) => println!("ok {}", took.unwrap_or_else(|| began.elapsed()).as_micros()),
            Err(error) => println!("error {error}"),
        }
    }
    plane.close(Duration::from_secs(5)).await;
    Ok(())
}

/// Does what a line says; answers how long that took, where reading the line is no part of it.
async fn tell(plane: &Plane, line: &str) -> Result<Option<Duration>, Box<dyn std::error::Error>> {
    let mut value: Value = serde_json::from_str(line)?;
    if let Some(table) = value.get_mut("balancer") {
        let balancer: Balancer = serde_json::from_value(table.take())?;
        #[expect(clippy::disallowed_methods, reason = "how long a table takes is what is measured")]
        let began = std::time::Instant::now();
        plane.apply(Arc::new(balancer)).await?;
        return Ok(Some(began.elapsed()));
    }
    if let Some(given) = value.get("certificate") {
        let text = |name: &str| given[name].as_str().unwrap_or_default();
        let (arn, chain, key) = (text("arn").into(), text("chain").to_owned(), Secret::new(text("key")));
        plane.certificate(&Certificate { arn, chain, key })?;
    }
    if let Some(arn) = value["remove"].as_str() {
        plane.remove(arn).await;
    }
    Ok(None)
}
