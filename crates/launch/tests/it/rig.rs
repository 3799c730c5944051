//! A root file system, a container in it, and what became of it.

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use launch::cgroup::{Cgroup, Hierarchies};
use launch::{Created, Launch, LaunchError, Stdio, WritableExe, create, defaults};
use oci_spec::runtime::Spec;
use rustix::process::{WaitId, WaitIdOptions};
use tempfile::TempDir;

/// Numbers the groups of this process's tests.
static NEXT: AtomicU32 = AtomicU32::new(0);

/// One container to be: change `spec`, then run it.
pub struct Rig {
    pub dir: TempDir,
    pub spec: Spec,
    pub hierarchies: Hierarchies,
    pub cgroup: PathBuf,
}

/// One copy for all: a clone made by another test while a copy is being written would keep it open for
/// writing, and it could not be executed.
fn shared_busybox() -> PathBuf {
    static SHARED: OnceLock<TempDir> = OnceLock::new();
    let dir = SHARED.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        fs::copy("/bin/busybox", dir.path().join("busybox")).unwrap();
        dir
    });
    dir.path().join("busybox")
}

/// How a container ended.
#[derive(Debug)]
pub struct Ended {
    pub stdout: String,
    pub stderr: String,
    pub code: Option<i32>,
    pub signal: Option<i32>,
    pub oom_kills: u64,
}

impl Rig {
    /// A container that runs `script` in busybox's shell, with Docker's confinement. `None`, after a line
    /// that says so, where this machine cannot run one.
    pub fn new(script: &str) -> Option<Self> {
        let busybox = Path::new("/bin/busybox");
        if !rustix::process::geteuid().is_root() || !busybox.exists() {
            println!("left out: containers need root and /bin/busybox");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("rootfs");
        for name in ["bin", "etc", "tmp", "proc", "dev", "sys", "root", "data"] {
            fs::create_dir_all(root.join(name)).unwrap();
        }
        fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
        fs::hard_link(shared_busybox(), root.join("bin/busybox")).unwrap();
        for name in APPLETS.split_whitespace() {
            symlink("busybox", root.join("bin").join(name)).unwrap();
        }
        fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n").unwrap();
        let args = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
        let spec = defaults::spec(&root, args, None);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let cgroup = PathBuf::from(format!("launch-test-{}-{number}", std::process::id()));
        Some(Self { dir, spec, hierarchies: Hierarchies::detect().unwrap(), cgroup })
    }

    pub fn root(&self) -> PathBuf {
        self.dir.path().join("rootfs")
    }

    pub fn group(&self) -> Cgroup {
        Cgroup::open(&self.hierarchies, &self.cgroup).unwrap()
    }

    pub fn args(&mut self, args: &[&str]) {
        let args = args.iter().map(|arg| (*arg).to_owned()).collect();
        self.spec.process_mut().as_mut().unwrap().set_args(Some(args));
    }

    /// Makes the container, with its output on pipes.
    pub fn create(&self) -> Result<(Created, [OwnedFd; 2]), LaunchError> {
        let (stdout, stdout_end) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        let (stderr, stderr_end) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        let null = File::open("/dev/null").unwrap().into();
        let launch = Launch {
            spec: &self.spec,
            bundle: self.dir.path(),
            hierarchies: &self.hierarchies,
            cgroup: &self.cgroup,
            filter: None,
            stdio: Stdio { stdin: null, stdout: stdout_end, stderr: stderr_end },
            writable_exe: WritableExe::Allow,
            listener: None,
        };
        create(launch).map(|created| (created, [stdout, stderr]))
    }

    /// Runs it to its end.
    pub fn run(&self) -> Ended {
        self.try_run().unwrap_or_else(|error| panic!("{error}: {error:?}"))
    }

    pub fn try_run(&self) -> Result<Ended, LaunchError> {
        let (created, outputs) = self.create()?;
        let started = created.start()?;
        let ended = finish(&started.pidfd, outputs, &started.cgroup);
        started.cgroup.remove().unwrap();
        Ok(ended)
    }
}

/// Reads both streams to their ends and reaps.
pub fn finish(pidfd: &OwnedFd, outputs: [OwnedFd; 2], group: &Cgroup) -> Ended {
    let [stdout, stderr] = outputs.map(|fd| {
        let mut text = String::new();
        // Tests write little: neither pipe fills up while the other is read.
        File::from(fd).read_to_string(&mut text).unwrap();
        text
    });
    use std::os::fd::AsFd;
    let status =
        rustix::process::waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED).unwrap().unwrap();
    Ended {
        stdout,
        stderr,
        code: status.exit_status(),
        signal: status.terminating_signal(),
        oom_kills: group.oom_kills().unwrap_or_default(),
    }
}

/// What a shell script prints in a default container.
pub fn output(script: &str) -> Option<String> {
    let ended = Rig::new(script)?.run();
    Some(ended.stdout + &ended.stderr)
}

impl Drop for Rig {
    fn drop(&mut self) {
        let _ = self.group().kill_all();
        let _ = self.group().remove();
    }
}

const APPLETS: &str = "sh cat ls echo id env pwd true false mount umount mkdir touch rm ln hostname grep \
     sleep head tail dd kill unshare stat readlink wc printf test ulimit chmod nproc dmesg sort umask tr cut \
     chroot mknod nc awk sysctl ps tty stty";
