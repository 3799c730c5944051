//! A web server that keeps its connections: every answer begins with `NAME`.
//!
//! `/slow` takes a second, `/slow/5` five; `/health` answers 503 where `SICK` is set, or where the file of that name exists.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::{env, fs, path::Path, thread, time::Duration};

fn main() -> std::io::Result<()> {
    let name = env::var("NAME").unwrap_or_else(|_| String::from("keeps"));
    let host = fs::read_to_string("/etc/hostname").unwrap_or_default();
    let body = format!("{name} {}\n", host.trim());
    for stream in TcpListener::bind("0.0.0.0:80")?.incoming() {
        let (stream, body) = (stream?, body.clone());
        thread::spawn(move || serve(stream, &body));
    }
    Ok(())
}

fn serve(stream: TcpStream, body: &str) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut requests = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    loop {
        let mut first = String::new();
        if requests.read_line(&mut first)? == 0 {
            return Ok(());
        }
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            if requests.read_line(&mut line)? == 0 {
                return Ok(());
            }
        }
        let path = first.split(' ').nth(1).unwrap_or("/");
        if let Some(seconds) = path.strip_prefix("/slow") {
            thread::sleep(Duration::from_secs(seconds.trim_start_matches('/').parse().unwrap_or(1)));
        }
        let is_sick = env::var("SICK").is_ok_and(|file| file == "yes" || Path::new(&file).exists());
        let status = if path == "/health" && is_sick { "503 Service Unavailable" } else { "200 OK" };
        let length = body.len();
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}");
        stream.write_all(answer.as_bytes())?;
    }
}
