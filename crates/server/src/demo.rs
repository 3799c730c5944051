//! `boxship demo`: the main job on a server that runs, or on one that it starts.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use cli::{Client, Place};
use serde_json::Value;

use crate::{detach, doctor};

pub async fn run(place: &Place, binary: &Path) -> Result<ExitCode> {
    if let Some(why) = doctor::why_not_linux() {
        println!("NO REAL CONTAINERS: {why}.");
        println!("Everything below is SIMULATED. What is missing, and the mend:\n");
        doctor::run(place);
        println!();
    }
    let address = server(place).await?;
    let health = cli::get(address, "/_boxship/health").await?;
    let health: Value = serde_json::from_slice(health.body()).context("the server's health")?;
    let is_simulated = health["runtime"] == "simulated";
    let scratch = place.data_dir();
    std::fs::create_dir_all(&scratch)?;
    cli::demo(&Client::new(address), binary, &scratch, is_simulated).await?;
    let data_dir = match &place.data_dir {
        Some(dir) => format!(" --data-dir {}", dir.display()),
        None => String::new(),
    };
    println!("  target/release/boxship{data_dir} down    # ends the server and its tasks");
    Ok(ExitCode::SUCCESS)
}

/// The address of a server that answers.
async fn server(place: &Place) -> Result<SocketAddr> {
    let address = place.address();
    let is_boxship = |answer: &hyper::Response<bytes::Bytes>| {
        serde_json::from_slice::<Value>(answer.body()).is_ok_and(|health| health["status"] == "ready")
    };
    if cli::get(address, "/_boxship/health").await.is_ok_and(|answer| is_boxship(&answer)) {
        println!("Boxship runs already at {address}");
        return Ok(address);
    }
    // Another program may have the usual port; then any free one does.
    let is_free = std::net::TcpListener::bind(address).is_ok();
    let listen = if is_free || place.listen.is_some() { address } else { SocketAddr::new(address.ip(), 0) };
    let data_dir = place.data_dir().into_os_string();
    let arguments: [OsString; 5] =
        ["--data-dir".into(), data_dir, "--listen".into(), listen.to_string().into(), "up".into()];
    let (run, log) = detach::start(place, arguments.to_vec()).await?;
    println!(
        "started Boxship {} on http://localhost:{} (log: {})",
        run.version,
        run.listen.port(),
        log.display()
    );
    Ok(Place { listen: Some(run.listen), ..place.clone() }.address())
}
