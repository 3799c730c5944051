//! Targets that answer who they are, and can be killed as a process is: every connection reset.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use base::Chance;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

pub struct Farm {
    targets: Vec<Target>,
}

struct Target {
    port: u16,
    killed: watch::Sender<bool>,
    serving: JoinHandle<()>,
}

fn listen(port: u16) -> TcpListener {
    let listener = proxy::listen_shared(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)).unwrap();
    TcpListener::from_std(listener).unwrap()
}

fn start(number: usize, listener: TcpListener) -> Target {
    let port = listener.local_addr().unwrap().port();
    let (killed, dies) = watch::channel(false);
    Target { port, killed, serving: tokio::spawn(serve(number, listener, dies)) }
}

impl Farm {
    pub async fn start(count: usize) -> Self {
        Farm { targets: (0..count).map(|number| start(number, listen(0))).collect() }
    }

    pub fn ports(&self) -> Vec<u16> {
        self.targets.iter().map(|target| target.port).collect()
    }

    /// Nothing of it is left when this returns.
    pub async fn kill(&mut self, number: usize) {
        let target = &mut self.targets[number];
        target.killed.send_replace(true);
        (&mut target.serving).await.unwrap();
    }

    pub async fn revive(&mut self, number: usize) {
        self.targets[number] = start(number, listen(self.targets[number].port));
    }
}

async fn serve(number: usize, listener: TcpListener, mut dies: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    let mut chance = Chance::new(number as u64);
    loop {
        let accepted = tokio::select! {
            _ = dies.wait_for(|dies| *dies) => break,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else { continue };
        let (own, mut dies) = (Chance::new(chance.next()), dies.clone());
        connections.spawn(async move {
            let mut stream = stream;
            tokio::select! {
                _ = dies.wait_for(|dies| *dies) => {
                    // Closed with a reset, whatever is under way.
                    let _ = rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO));
                }
                _ = converse(&mut stream, number, own) => {}
            }
        });
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// Answers requests without bodies: most at once, some late, some in pieces.
async fn converse(stream: &mut TcpStream, number: usize, mut chance: Chance) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut bytes = Vec::new();
    loop {
        while !bytes.windows(4).any(|end| end == b"\r\n\r\n") {
            if stream.read_buf(&mut bytes).await? == 0 {
                return Ok(());
            }
        }
        let is_check = bytes.starts_with(b"GET /health");
        bytes.clear();
        let late = if is_check || chance.below(4) > 0 { 0 } else { chance.below(30) };
        if late > 0 {
            tokio::time::sleep(Duration::from_millis(late)).await;
        }
        let body = format!("target {number} {}", "x".repeat(chance.below(3_000) as usize));
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes()).await?;
        if chance.below(8) == 0 && !is_check {
            tokio::time::sleep(Duration::from_millis(chance.below(10))).await;
        }
        stream.write_all(body.as_bytes()).await?;
    }
}
