//! Pulls an image into a content store and says where its layers are.
//!
//! `cargo run -p oci --example pull -- IMAGE DIR [MIRROR…]`
#![expect(clippy::print_stdout, reason = "an example prints")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use oci::{Client, Content, Event, Mirrors, Options, Platform, Progress};

#[derive(Default)]
struct Sums {
    received: AtomicU64,
    unpacked: AtomicU64,
}

impl Progress for Sums {
    fn event(&self, event: Event<'_>) {
        match event {
            Event::Layers(layers) => println!("{} layers", layers.len()),
            Event::Received { bytes, .. } => drop(self.received.fetch_add(bytes, Ordering::Relaxed)),
            Event::Unpacked { bytes, .. } => drop(self.unpacked.fetch_add(bytes, Ordering::Relaxed)),
            Event::Ready { layer } => println!("ready {layer}"),
        }
    }
}

#[tokio::main]
async fn main() -> std::process::ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, dir, mirrors @ ..] = &arguments[..] else {
        println!("usage: pull IMAGE DIR [MIRROR…]");
        return 2.into();
    };
    match pull(name, Path::new(dir), mirrors).await {
        Ok(()) => 0.into(),
        Err(text) => {
            println!("{text}");
            1.into()
        }
    }
}

async fn pull(name: &str, dir: &Path, mirrors: &[String]) -> Result<(), String> {
    let reference = name.parse().map_err(|e: oci::ReferenceError| e.to_string())?;
    let mut all = Mirrors::default();
    for mirror in mirrors {
        all.add(mirror).map_err(|e| e.to_string())?;
    }
    let content = Content::open(dir, Options::default()).map_err(|e| e.chain())?;
    let sums = Arc::new(Sums::default());
    let source = Arc::new(Client::new(all));
    let image = content.ensure(&reference, &Platform::host(), source, sums.clone()).await;
    let image = image.map_err(|e| e.chain())?;
    let (received, unpacked) = (&sums.received, &sums.unpacked);
    println!("{} of {} bytes; received {received:?}, unpacked {unpacked:?}", image.digest, image.size);
    image.layers.iter().for_each(|layer| println!("{}", layer.display()));
    Ok(())
}
