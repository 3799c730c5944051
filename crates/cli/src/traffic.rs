//! Requests without a pause, and how many of them found no answer.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, StatusCode};
use tokio::task::JoinSet;

use crate::http;

/// Clients at once, and their pause between two requests: busy, and not all of a small machine.
const CLIENTS: usize = 4;
const PAUSE: Duration = Duration::from_millis(2);
/// Reasons that are kept.
const REASONS: usize = 3;

/// What has come of the requests so far.
#[derive(Debug, Clone, Default)]
pub struct Counts {
    pub answers: u64,
    pub lost: u64,
    /// Answers by what [`Traffic::start`]'s `kind` says of their text.
    pub kinds: BTreeMap<String, u64>,
    pub reasons: Vec<String>,
}

impl Counts {
    fn count(&mut self, answer: Result<String>, kind: fn(&str) -> String) {
        match answer {
            Ok(text) => {
                self.answers += 1;
                *self.kinds.entry(kind(&text)).or_default() += 1;
            }
            Err(error) => {
                self.lost += 1;
                if self.reasons.len() < REASONS {
                    self.reasons.push(format!("{error:#}"));
                }
            }
        }
    }
}

/// Clients that ask until they are told to stop.
pub struct Traffic {
    is_over: Arc<AtomicBool>,
    counts: Arc<Mutex<Counts>>,
    clients: JoinSet<()>,
}

/// `GET /` of `host` through the one port at `address`; the answer's text.
pub async fn ask(address: SocketAddr, host: &str) -> Result<String> {
    let request = Request::get("/").header("host", host).body(Full::<Bytes>::default())?;
    let answer = http::send(address, request).await?;
    anyhow::ensure!(answer.status() == StatusCode::OK, "the answer was {}", answer.status());
    Ok(String::from_utf8_lossy(answer.body()).trim().to_owned())
}

impl Traffic {
    /// `kind` names what an answer is counted as.
    pub fn start(address: SocketAddr, host: &str, kind: fn(&str) -> String) -> Traffic {
        let (is_over, counts) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Counts::default())));
        let mut clients = JoinSet::new();
        for _ in 0..CLIENTS {
            let (is_over, counts, host) = (Arc::clone(&is_over), Arc::clone(&counts), host.to_owned());
            clients.spawn(async move {
                while !is_over.load(Ordering::Relaxed) {
                    let answer = ask(address, &host).await;
                    counts.lock().unwrap_or_else(PoisonError::into_inner).count(answer, kind);
                    tokio::time::sleep(PAUSE).await;
                }
            });
        }
        Traffic { is_over, counts, clients }
    }

    /// Ends after the requests that are under way.
    pub async fn stop(mut self) -> Counts {
        self.is_over.store(true, Ordering::Relaxed);
        while self.clients.join_next().await.is_some() {}
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
