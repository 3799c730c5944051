//! How long unpacking takes, against `umoci unpack` of the same image.
//!
//! `cargo run --release -p oci --example unpack -- [MIB] [ROUNDS]` makes an image of that many MiB
//! in small and large files, half of it compressible, and unpacks it both ways in turn.
//! With `FILE DIR` it unpacks one layer, whatever its compression, and says how long that took.
#![expect(clippy::print_stdout, reason = "a benchmark prints")]
#![expect(clippy::disallowed_methods, reason = "a benchmark measures time")]

use std::fs::{self, File};
use std::io::{Seek, Write};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use base::Chance;
use oci::Platform;
use oci::assemble::{Assembled, Recipe, assemble, layer, write_layout};
use oci::tar::{Kind, WriteEntry};
use oci::unpack::{Limits, Opaque, unpack};

fn main() {
    let given: Vec<String> = std::env::args().skip(1).collect();
    if let [file, to] = &given[..]
        && file.parse::<usize>().is_err()
    {
        let start = Instant::now();
        run(File::open(file).expect("the file can be opened"), Path::new(to));
        return println!("{:.2?}", start.elapsed());
    }
    let mut arguments = given.iter().filter_map(|a| a.parse::<usize>().ok());
    let (mib, rounds) = (arguments.next().unwrap_or(256), arguments.next().unwrap_or(3));
    let image = generate(mib);
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    let layout = dir.path().join("layout");
    let mut archive = tempfile::tempfile().expect("a temporary file can be made");
    write_layout(&image, "latest", &mut archive).expect("the disk takes the layout");
    archive.rewind().expect("a file can be rewound");
    run(archive, &layout);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        ours.push(unpack_ours(&image, &layout, &dir.path().join(format!("ours-{round}"))));
        theirs.extend(unpack_umoci(&layout, &dir.path().join(format!("umoci-{round}"))));
    }
    println!("{mib} MiB: ours {ours:.2?} (synced to disk), umoci {theirs:.2?} (not synced)");
    if let (Some(a), Some(b)) = (ours.iter().min(), theirs.iter().min()) {
        println!("best against best: {:.2} times as fast", b.as_secs_f64() / a.as_secs_f64());
    }
}

fn generate(mib: usize) -> Assembled {
    let mut chance = Chance::new(1);
    let noise = chance.hex(1 << 20);
    let text = "The quick brown fox jumps over the lazy dog.\n".repeat(512);
    let small = (mib << 20) / 2 / (24 << 10);
    let small: Vec<(String, usize)> = (0..small).map(|n| (format!("usr/lib/{}/{n}", n / 40), n)).collect();
    let mut entries: Vec<WriteEntry<'_>> = Vec::new();
    let directories: Vec<String> = (0..=small.len() / 40).map(|n| format!("usr/lib/{n}/")).collect();
    entries.extend(directories.iter().map(|path| WriteEntry {
        path,
        kind: Kind::Directory,
        mode: 0o755,
        ..WriteEntry::default()
    }));
    let size = 24 << 10;
    entries.extend(small.iter().map(|(path, n)| {
        let source = if n % 2 == 0 { text.as_bytes() } else { noise.as_bytes() };
        let start = (n * 31) % (source.len().saturating_sub(size) + 1);
        let data = &source[start..source.len().min(start + size)];
        WriteEntry { path, data, ..WriteEntry::default() }
    }));
    let large: Vec<String> = (0..mib / 2).map(|n| format!("opt/{n}.bin")).collect();
    entries.extend(large.iter().map(|path| WriteEntry {
        path,
        data: noise.as_bytes(),
        ..WriteEntry::default()
    }));
    assemble(&[layer(&entries)], &Platform::host(), &Recipe::default())
}

fn unpack_ours(image: &Assembled, layout: &Path, to: &Path) -> Duration {
    let start = Instant::now();
    for (part, _) in &image.blobs[1..] {
        let path = layout.join("blobs/sha256").join(part.digest.hex());
        run_typed(File::open(path).expect("the layout was just written"), &part.media_type, to);
    }
    let took = start.elapsed();
    fs::remove_dir_all(to).expect("our own tree can be removed");
    took
}

fn unpack_umoci(layout: &Path, to: &Path) -> Option<Duration> {
    let start = Instant::now();
    let image = format!("{}:latest", layout.display());
    let done = Command::new("umoci").args(["unpack", "--image", &image]).arg(to).output().ok()?;
    let took = start.elapsed();
    if !done.status.success() {
        std::io::stderr().write_all(&done.stderr).ok()?;
        return None;
    }
    fs::remove_dir_all(to).ok()?;
    Some(took)
}

fn run(file: File, to: &Path) {
    run_typed(file, "", to);
}

fn run_typed(file: File, media_type: &str, to: &Path) {
    fs::create_dir_all(to).expect("a directory can be made");
    unpack(file, media_type, to, (Limits::default(), Opaque::default()), &|_| ())
        .expect("it is our own layer");
}
