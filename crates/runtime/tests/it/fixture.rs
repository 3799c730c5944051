//! A busybox image, and runtimes in temporary directories.

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use base::clock::Clock;
use core_lifecycle::LinuxSettings;
use runtime::spool::{Position, Reader};
use runtime::{
    ContainerPlan, ImageDefaults, Limits, Linux, LinuxOptions, Output, OutputState, Place, Runtime,
    Simulated, TaskSandbox,
};

/// A runtime, and what must outlive it.
pub struct Fixture {
    pub runtime: Box<dyn Runtime>,
    pub layer: PathBuf,
    pub clock: Clock,
    pub dir: tempfile::TempDir,
    is_linux: bool,
}

impl Drop for Fixture {
    /// Also a test that fails leaves no process, mount or control group behind.
    fn drop(&mut self) {
        if self.is_linux {
            let options = options(self.dir.path(), None);
            let clean = move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                runtime.block_on(async {
                    Linux::open(options)
                        .map_err(std::io::Error::other)?
                        .down()
                        .await
                        .map_err(std::io::Error::other)
                })
            };
            if let Ok(Err(error)) = std::thread::spawn(clean).join() {
                eprintln!("a test leaves something behind: {error}");
            }
        }
    }
}

/// Why real containers cannot be had here, if they cannot.
pub fn lacking() -> Option<&'static str> {
    if !rustix::process::geteuid().is_root() {
        return Some("not root");
    }
    (!Path::new("/bin/busybox").exists()).then_some("no busybox-static")
}

/// `None`, with a line, where real containers cannot be had.
pub fn linux() -> Option<Fixture> {
    linux_with(std::env::var_os("BOXSHIP_OCI_RUNTIME").as_deref().and_then(std::ffi::OsStr::to_str))
}

pub fn linux_with(oci_runtime: Option<&str>) -> Option<Fixture> {
    if let Some(why) = lacking() {
        eprintln!("left out: real containers ({why})");
        return None;
    }
    let dir = tempfile::tempdir().unwrap();
    let layer = layer(dir.path());
    let runtime = Box::new(Linux::open(options(dir.path(), oci_runtime)).unwrap());
    Some(Fixture { runtime, layer, clock: Clock::default(), dir, is_linux: true })
}

pub fn options(dir: &Path, oci_runtime: Option<&str>) -> LinuxOptions {
    let name = dir.file_name().unwrap().to_str().unwrap().trim_start_matches('.');
    LinuxOptions {
        tasks: dir.join("tasks"),
        cgroup: format!("boxship-test-{name}").into(),
        shim: vec![env!("CARGO_BIN_EXE_boxship-shim").into()],
        oci_runtime: oci_runtime.map(PathBuf::from),
        limits: Limits::Enforced,
    }
}

pub fn simulated() -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::default();
    let runtime = Box::new(Simulated::open(dir.path().join("tasks"), clock.clone()).unwrap());
    Fixture { runtime, layer: PathBuf::from("/"), clock, dir, is_linux: false }
}

fn layer(dir: &Path) -> PathBuf {
    let layer = dir.join("layer");
    for part in ["bin", "etc", "tmp", "proc", "dev", "sys"] {
        std::fs::create_dir_all(layer.join(part)).unwrap();
    }
    std::fs::copy("/bin/busybox", layer.join("bin/busybox")).unwrap();
    let names = "sh echo cat id sleep true ls yes head dd hostname touch seq tr grep sed sort uniq awk stty tty \
                 nohup kill mkfifo rm printf df mount mkdir test readlink ln sync wc cut tail fallocate ps";
    for name in names.split_whitespace() {
        symlink("busybox", layer.join("bin").join(name)).unwrap();
    }
    std::fs::write(layer.join("etc/passwd"), "root:x:0:0::/root:/bin/sh\nweb:x:33:34::/srv:/bin/sh\n")
        .unwrap();
    std::fs::write(layer.join("etc/group"), "root:x:0:\nweb:x:34:\nlogs:x:50:web\n").unwrap();
    layer
}

pub const TASK: &str = "0123456789abcdef0123456789abcdef";

impl Fixture {
    pub fn sandbox(&self) -> TaskSandbox {
        let place = Place { hostname: "ip-10-0-0-7".to_owned(), ..Place::default() };
        TaskSandbox { place, ..TaskSandbox::empty(TASK) }
    }

    /// A container that runs `script` with the shell.
    pub fn plan(&self, name: &str, script: &str) -> ContainerPlan {
        ContainerPlan {
            name: name.to_owned(),
            runtime_id: format!("{TASK}-{name}"),
            layers: vec![self.layer.clone()],
            image: ImageDefaults::default(),
            entry_point: Some(vec!["/bin/sh".to_owned(), "-c".to_owned()]),
            command: Some(vec![script.to_owned()]),
            environment: BTreeMap::new(),
            working_directory: None,
            user: None,
            cpu_units: 0,
            memory_mib: None,
            memory_reservation_mib: None,
            readonly_root: false,
            ulimits: Vec::new(),
            output: Output::Blocking { limit_bytes: 1 << 20 },
            place: None,
            mounts: Vec::new(),
            linux: LinuxSettings::default(),
            labels: BTreeMap::new(),
        }
    }

    /// Everything that a container has written, once it has closed its output.
    pub async fn output(&self, container: &str) -> String {
        let mut reader = Reader::new(&self.runtime.spool(TASK, container), Position::default());
        let mut text = String::new();
        let mut is_closed = false;
        loop {
            let entries = reader.read(1000, 1 << 20).unwrap();
            for entry in &entries {
                text.push_str(&String::from_utf8_lossy(&entry.text));
                text.push('\n');
            }
            if entries.is_empty() {
                if is_closed {
                    return text;
                }
                let state = self.runtime.output(TASK, container, reader.position()).await.unwrap();
                is_closed = state == OutputState::Closed;
            }
        }
    }

    pub async fn end(self) {
        self.runtime.down().await.unwrap();
        self.runtime.close().await;
    }
}
