//! `boxship image load`, `push` and `make`.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::pin::Pin;
use std::process::ExitCode;
use std::task::{Context as TaskContext, Poll};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use clap::Subcommand;
use hyper::Request;
use hyper::body::{Body, Frame, SizeHint};
use oci::Platform;
use oci::assemble::{Recipe, from_binary, write_layout};

use crate::client::Client;
use crate::http;
use crate::push::push;
use crate::screen::Steps;

#[derive(Debug, Subcommand)]
pub enum ImageCommand {
    /// Take an OCI or Docker archive under any name, so that tasks find it without a registry
    Load(LoadArgs),
    /// Push an OCI or Docker archive into ECR; the repository is made where it is missing
    Push(PushArgs),
    /// Make an OCI archive around one static binary
    Make(MakeArgs),
}

#[derive(Debug, clap::Args)]
pub struct LoadArgs {
    /// The archive: of `docker save`, `podman save`, `skopeo copy … oci-archive:FILE`
    file: PathBuf,
    /// The name that task definitions use [default: the archive's own]
    name: Option<String>,
}

#[derive(Debug, clap::Args)]
pub struct PushArgs {
    /// The archive
    file: PathBuf,
    /// Repository and tag: hello:latest, or localhost:4566/hello:latest
    name: String,
}

#[derive(Debug, clap::Args)]
pub struct MakeArgs {
    /// A program that needs no library; it becomes the entry point
    pub binary: PathBuf,
    /// Where the archive goes
    pub archive: PathBuf,
    /// A port that the program listens on (repeatable)
    #[arg(long, short)]
    pub port: Vec<u16>,
}

pub async fn run(client: &Client, command: ImageCommand) -> Result<ExitCode> {
    match command {
        ImageCommand::Load(args) => load(client, &args).await?,
        ImageCommand::Push(args) => {
            let steps = Steps::new(false);
            let name = push(client, &args.file, &args.name, &steps).await?;
            steps.end();
            println!("{name}");
        }
        ImageCommand::Make(args) => {
            make(&args)?;
            println!("{}", args.archive.display());
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes the archive; its image is named after the binary.
pub fn make(args: &MakeArgs) -> Result<()> {
    let name = args.binary.file_name().and_then(|name| name.to_str()).context("the binary has no name")?;
    let binary =
        std::fs::read(&args.binary).with_context(|| format!("cannot read {}", args.binary.display()))?;
    if !is_static(&binary) {
        bail!(
            "{} is no static Linux program: in an image of its own it finds neither loader nor library",
            args.binary.display()
        );
    }
    let recipe =
        Recipe { ports: args.port.iter().map(|port| format!("{port}/tcp")).collect(), ..Recipe::default() };
    let image = from_binary(name, &binary, &[], &Platform::host(), &recipe);
    let archive =
        File::create(&args.archive).with_context(|| format!("cannot write {}", args.archive.display()))?;
    write_layout(&image, &format!("{name}:latest"), archive)?;
    Ok(())
}

/// Whether a file is an ELF program that names no loader.
fn is_static(file: &[u8]) -> bool {
    const INTERPRETER: u32 = 3;
    let number = |at: usize, bytes: usize| -> Option<u64> {
        let field = file.get(at..at.checked_add(bytes)?)?;
        Some(field.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    };
    let headers = || -> Option<bool> {
        // 64-bit, little-endian: what this program runs on, too.
        if !file.starts_with(b"\x7fELF\x02\x01") {
            return None;
        }
        let (table, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
        for nth in 0..count {
            let at = usize::try_from(table + nth * size).ok()?;
            if number(at, 4)? == u64::from(INTERPRETER) {
                return Some(false);
            }
        }
        Some(count > 0)
    };
    headers().unwrap_or(false)
}

async fn load(client: &Client, args: &LoadArgs) -> Result<()> {
    let file = File::open(&args.file).with_context(|| format!("cannot read {}", args.file.display()))?;
    let remaining = file.metadata()?.len();
    let path = match &args.name {
        Some(name) => format!("/_boxship/images?name={}", http::escaped(name)),
        None => String::from("/_boxship/images"),
    };
    let request = Request::post(path)
        .header("host", http::host(client.address()))
        .header("content-type", "application/x-tar")
        .body(FileBody { file, remaining })?;
    let steps = Steps::new(false);
    steps.now(&format!("loading {} ({:.1} MiB)", args.file.display(), remaining as f64 / 1_048_576.0));
    let answer = http::send(client.address(), request).await;
    steps.end();
    let answer = answer?;
    let value: serde_json::Value = serde_json::from_slice(answer.body()).unwrap_or_default();
    if !answer.status().is_success() {
        bail!("{}", value["error"].as_str().unwrap_or("the server refused the archive"));
    }
    for image in value["loaded"].as_array().into_iter().flatten() {
        println!(
            "loaded {} {}",
            image["name"].as_str().unwrap_or("?"),
            image["digest"].as_str().unwrap_or("?")
        );
    }
    Ok(())
}

/// A file as a request's body, read as the connection takes it.
struct FileBody {
    file: File,
    remaining: u64,
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut TaskContext<'_>,
    ) -> Poll<Option<std::io::Result<Frame<Bytes>>>> {
        let mut chunk = vec![0; 256 << 10];
        Poll::Ready(match self.file.read(&mut chunk) {
            Ok(0) => None,
            Ok(read) => {
                chunk.truncate(read);
                self.remaining = self.remaining.saturating_sub(read as u64);
                Some(Ok(Frame::data(chunk.into())))
            }
            Err(error) => Some(Err(error)),
        })
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.remaining)
    }
}

#[cfg(test)]
mod tests {
    use super::is_static;

    #[test]
    fn only_programs_without_a_loader_are_static() {
        let own = std::fs::read(std::env::current_exe().expect("this test")).expect("a program");
        assert!(!is_static(&own), "tests are linked dynamically");
        // One program header of type LOAD, then the same as an INTERP.
        let mut file = vec![0; 120];
        file[..6].copy_from_slice(b"\x7fELF\x02\x01");
        (file[32], file[54], file[56], file[64]) = (64, 56, 1, 1);
        assert!(is_static(&file));
        file[64] = 3;
        assert!(!is_static(&file));
        for text in [&b""[..], b"#!/bin/sh\n", b"\x7fELF"] {
            assert!(!is_static(text));
        }
    }
}
