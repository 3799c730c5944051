//! How long it takes from the decision to start a container to the first instruction of its program, next
//! to `runc run` of the same root and specification: `start [ROUNDS]`, as root, built with `--release`.
//!
//! The program is this file again, in the container: it writes the wall time to its output and ends.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio as Pipe};

use launch::cgroup::Hierarchies;
use launch::{Launch, Stdio, WritableExe, defaults};
use oci_spec::runtime::Spec;
use rustix::process::{WaitId, WaitIdOptions};
use rustix::time::{ClockId, clock_gettime};

const PROGRAM: &str = "first-instruction";

fn main() {
    if std::env::args().next().is_some_and(|name| name.ends_with(PROGRAM)) {
        std::io::stdout().write_all(&now().to_le_bytes()).expect("the output is a pipe");
        return;
    }
    launch::exe::reexec_read_only().expect("root may mount");
    let rounds = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(50);
    let dir = std::env::temp_dir().join(format!("launch-start-{}", std::process::id()));
    let mut spec = prepare(&dir);
    let group = PathBuf::from(format!("launch-start-{}", std::process::id()));
    let hierarchies = Hierarchies::detect().expect("control groups are mounted");
    let profile = spec.linux().as_ref().and_then(|linux| linux.seccomp().clone()).expect("the default one");
    let filter = launch::seccomp::compile(&profile).expect("the default one compiles");
    let bare: Vec<f64> = (0..rounds).map(|_| milliseconds(|| exec(&dir))).collect();
    print("bare exec", &bare);
    let ours = || own(&spec, &dir, &group, &hierarchies, &filter);
    let with: Vec<f64> = (0..rounds).map(|_| milliseconds(ours)).collect();
    print("launch", &with);
    print("runc run", &(0..rounds).map(|_| milliseconds(|| runc(&spec, &dir))).collect::<Vec<_>>());
    spec.linux_mut().as_mut().expect("the default one").set_seccomp(None);
    let without = || own(&spec, &dir, &group, &hierarchies, &filter);
    print("launch, no seccomp", &(0..rounds).map(|_| milliseconds(without)).collect::<Vec<_>>());
    print(
        "runc run, no seccomp",
        &(0..rounds).map(|_| milliseconds(|| runc(&spec, &dir))).collect::<Vec<_>>(),
    );
    fs::remove_dir_all(&dir).expect("it is ours");
}

fn now() -> u64 {
    let time = clock_gettime(ClockId::Realtime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// From before the start to what the program says.
fn milliseconds(start: impl Fn() -> Vec<u8>) -> f64 {
    let before = now();
    let said = start();
    let at = u64::from_le_bytes(said.try_into().expect("the program writes eight bytes"));
    (at - before) as f64 / 1e6
}

fn print(name: &str, times: &[f64]) {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |share: f64| sorted[((sorted.len() - 1) as f64 * share) as usize];
    println!("{name:24} p50 {:7.2} ms   p90 {:7.2} ms   ({} starts)", at(0.5), at(0.9), sorted.len());
}

/// A root with this program and the libraries that it needs.
fn prepare(dir: &Path) -> Spec {
    let root = dir.join("rootfs");
    for name in ["proc", "dev", "sys", "lib64", "lib/x86_64-linux-gnu"] {
        fs::create_dir_all(root.join(name)).expect("the temporary directory is writable");
    }
    fs::copy("/proc/self/exe", root.join(PROGRAM)).expect("we can read ourselves");
    for library in
        ["lib64/ld-linux-x86-64.so.2", "lib/x86_64-linux-gnu/libc.so.6", "lib/x86_64-linux-gnu/libgcc_s.so.1"]
    {
        // A static build needs none.
        let _ = fs::copy(Path::new("/").join(library), root.join(library));
    }
    defaults::spec(&root, vec![format!("/{PROGRAM}")], None)
}

fn exec(dir: &Path) -> Vec<u8> {
    Command::new(dir.join("rootfs").join(PROGRAM)).output().expect("it runs").stdout
}

fn own(
    spec: &Spec,
    dir: &Path,
    group: &Path,
    hierarchies: &Hierarchies,
    filter: &launch::seccomp::Filter,
) -> Vec<u8> {
    let (read, write) =
        rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).expect("there are descriptors");
    let null = || File::open("/dev/null").expect("it is always there").into();
    let created = launch::create(Launch {
        spec,
        bundle: dir,
        hierarchies,
        cgroup: group,
        filter: Some(filter),
        stdio: Stdio { stdin: null(), stdout: write, stderr: null() },
        writable_exe: WritableExe::Refuse,
        listener: None,
    });
    let started = created.expect("it is made").start().expect("it starts");
    let mut said = Vec::new();
    File::from(read).read_to_end(&mut said).expect("the pipe is ours");
    rustix::process::waitid(WaitId::PidFd(started.pidfd.as_fd()), WaitIdOptions::EXITED).expect("our child");
    started.cgroup.remove().expect("nothing is in it");
    said
}

fn runc(spec: &Spec, dir: &Path) -> Vec<u8> {
    spec.save(dir.join("config.json")).expect("the directory is writable");
    let id = format!("launch-start-{}", std::process::id());
    let mut command = Command::new("runc");
    command.args(["run", "--bundle"]).arg(dir).arg(&id).stdin(Pipe::null());
    command.output().expect("runc is installed").stdout
}
