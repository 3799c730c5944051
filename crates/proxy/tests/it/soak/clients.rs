//! Clients that ask again and again, and look at every answer.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use base::Chance;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsConnector;

use super::Log;
use super::tables::GROUPS;

/// Nothing here takes so long; who waits longer waits forever.
const FOREVER: Duration = Duration::from_secs(60);

pub trait Stream: AsyncRead + AsyncWrite + Send {}
impl<S: AsyncRead + AsyncWrite + Send> Stream for S {}
type Connection = Pin<Box<dyn Stream>>;

/// One request, and what became of it.
#[derive(Debug)]
pub struct Outcome {
    pub group: usize,
    pub began: Duration,
    pub ended: Duration,
    pub answer: Result<(), Wrong>,
}

#[derive(Debug)]
pub enum Wrong {
    Status(u16),
    /// The answer ended within its body.
    Cut,
    /// No answer at all.
    Nothing(#[expect(dead_code, reason = "shown in failures")] String),
    /// Another group's target answered.
    Stranger(#[expect(dead_code, reason = "shown in failures")] String),
}

/// Believes what this authority signed.
pub fn connector(root: &str) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    for certificate in authority::certificates(root.as_bytes()).unwrap() {
        roots.add(certificate).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

async fn connect(port: u16, tls: Option<&TlsConnector>) -> io::Result<Connection> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.set_nodelay(true)?;
    Ok(match tls {
        Some(tls) => Box::pin(tls.connect("localhost".try_into().unwrap(), stream).await?),
        None => Box::pin(stream),
    })
}

pub async fn run(
    port: u16,
    tls: Option<TlsConnector>,
    mut chance: Chance,
    log: Arc<Log>,
    stop: watch::Receiver<bool>,
) -> Result<(), String> {
    let mut connection = None;
    while !*stop.borrow() {
        let mut open = match connection.take() {
            Some(open) => open,
            None => connect(port, tls.as_ref()).await.map_err(|error| format!("cannot connect: {error}"))?,
        };
        let group = chance.below(GROUPS as u64) as usize;
        let began = log.now();
        let asked = tokio::time::timeout(FOREVER, ask(&mut open, group)).await;
        let (answer, stays) = asked.unwrap_or_else(|_| (Err(Wrong::Nothing("in a minute".into())), false));
        log.take(&Outcome { group, began, ended: log.now(), answer })?;
        if stays && chance.below(50) > 0 {
            connection = Some(open);
        }
        if chance.below(3) == 0 {
            tokio::time::sleep(Duration::from_millis(chance.below(5))).await;
        }
    }
    Ok(())
}

/// Until the group's targets are known to be healthy.
pub async fn wait_until_served(port: u16, group: usize) {
    let served = async {
        loop {
            let mut open = connect(port, None).await.unwrap();
            if ask(&mut open, group).await.0.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(FOREVER, served).await.expect("every group is served in the end");
}

/// What was answered, and whether the connection may go on.
async fn ask(open: &mut Connection, group: usize) -> (Result<(), Wrong>, bool) {
    let request = format!("GET /g{group}/page HTTP/1.1\r\nHost: soak.elb.localhost\r\n\r\n");
    let nothing = |error: String| (Err(Wrong::Nothing(error)), false);
    if let Err(error) = open.write_all(request.as_bytes()).await {
        return nothing(error.to_string());
    }
    if let Err(error) = open.flush().await {
        return nothing(error.to_string());
    }
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(at) = bytes.windows(4).position(|end| end == b"\r\n\r\n") {
            break at + 4;
        }
        match open.read_buf(&mut bytes).await {
            Ok(0) => return nothing(String::from("closed")),
            Err(error) => return nothing(error.to_string()),
            Ok(_) => {}
        }
    };
    let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let length = text.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length: usize = length.and_then(|length| length.trim().parse().ok()).unwrap_or(0);
    let stays = !text.contains("connection: close");
    while bytes.len() < head + length {
        match open.read_buf(&mut bytes).await {
            Ok(0) | Err(_) => return (Err(Wrong::Cut), false),
            Ok(_) => {}
        }
    }
    if status != 200 {
        return (Err(Wrong::Status(status)), stays);
    }
    let body = String::from_utf8_lossy(&bytes[head..]);
    let target: Option<usize> = body.split(' ').nth(1).and_then(|number| number.parse().ok());
    match target.is_some_and(|target| target % GROUPS == group) {
        true => (Ok(()), stays),
        false => (Err(Wrong::Stranger(body.chars().take(80).collect())), stays),
    }
}
