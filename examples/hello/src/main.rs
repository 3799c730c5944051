//! The example image's program: a web server in one static file.
//!
//! `PORT` says where it listens (80), `GREETING` what it says. Each request is a line of its log;
//! SIGTERM ends it, as a first process of a container must see to itself.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Longest request head that is read.
const HEAD: u64 = 16 << 10;

#[expect(clippy::disallowed_methods, reason = "a container's configuration is its environment")]
fn variable(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| default.to_owned())
}

#[expect(clippy::print_stdout, reason = "a container's log is its standard output")]
fn log(line: &str) {
    println!("{line}");
}

fn main() -> io::Result<()> {
    let port = variable("PORT", "80");
    let greeting = variable("GREETING", "Hello from Boxship");
    let host = std::fs::read_to_string("/etc/hostname").unwrap_or_else(|_| variable("HOSTNAME", "localhost"));
    let listener = TcpListener::bind(format!("0.0.0.0:{port}"))?;
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            log(&format!("signal {signal}: goodbye"));
            std::process::exit(0);
        }
    });
    log(&format!("listening on port {port}"));
    for stream in listener.incoming() {
        let (greeting, host) = (greeting.clone(), host.trim().to_owned());
        if let Ok(stream) = stream {
            thread::spawn(move || {
                if let Err(error) = answer(stream, &greeting, &host) {
                    log(&format!("a request failed: {error}"));
                }
            });
        }
    }
    Ok(())
}

fn answer(mut stream: TcpStream, greeting: &str, host: &str) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut head = BufReader::new(stream.try_clone()?.take(HEAD));
    let mut request = String::new();
    head.read_line(&mut request)?;
    loop {
        let mut line = String::new();
        if head.read_line(&mut line)? == 0 || line.trim().is_empty() {
            break;
        }
    }
    let body = format!("{greeting}, container {host}.\n");
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )?;
    stream.flush()?;
    log(&format!("{} 200", request.trim()));
    Ok(())
}
