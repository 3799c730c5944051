//! The launcher and the runtime on a machine whose control groups are all of version 2: Debian's kernel in
//! an emulator, and the test binaries as its only programs.
//!
//! Needs what Debian's `qemu-system-x86` and `busybox-static` install; fetches the kernel with apt, without
//! installing it. Nothing of the machine that runs it is touched.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::check::say;

const TRIPLE: &str = "x86_64-unknown-linux-gnu";
const CRATES: [&str; 2] = ["launch", "runtime"];
/// The package that depends on the newest kernel for virtual machines.
const KERNEL: &str = "linux-image-cloud-amd64";
/// What the tests need and the kernel has not built in.
const MODULES: [&str; 4] = [
    "kernel/drivers/block/loop.ko",
    "kernel/fs/overlayfs/overlay.ko",
    "kernel/fs/quota/quota_tree.ko",
    "kernel/fs/quota/quota_v2.ko",
];
/// What makes file systems for tasks with a bound on their storage; without it, their tests are left out.
const MKFS: &str = "/usr/sbin/mkfs.ext4";
const APPLETS: [&str; 12] =
    ["sh", "mount", "mkdir", "cp", "insmod", "switch_root", "poweroff", "cat", "mknod", "rm", "ln", "echo"];
/// Ends a machine that hangs. A good run takes less than half of it, without hardware's help.
const PATIENCE_SECONDS: &str = "480";
const VERDICT: &str = "cgroup2-verdict";

/// Builds, boots, prints what the machine prints. Fails unless every binary's tests pass in it.
pub fn run(root: &Path) -> Result<()> {
    let home = root.join("target/cgroup2");
    fs::create_dir_all(&home)?;
    let kernel = kernel(&home)?;
    let programs = programs(root, &home)?;
    let image = image(&home, &kernel, &programs)?;
    say(&format!("   booting {}", kernel.image.display()));
    let text = boot(&kernel.image, &image)?;
    fs::write(home.join("console.log"), &text)?;
    judge(&text, programs.iter().filter(|program| program.is_test).count())
}

struct Kernel {
    image: PathBuf,
    modules: PathBuf,
}

/// The kernel's package, unpacked; fetched where it is not there yet.
fn kernel(home: &Path) -> Result<Kernel> {
    let unpacked = home.join("kernel");
    if !unpacked.exists() {
        let depends = output(Command::new("apt-cache").args(["depends", KERNEL]))?;
        let package = depends.lines().find_map(|line| line.trim().strip_prefix("Depends: linux-image-"));
        let package = format!("linux-image-{}", package.context("apt knows no kernel")?);
        let fetched = home.join("fetched");
        let _ = fs::remove_dir_all(&fetched);
        fs::create_dir_all(&fetched)?;
        output(Command::new("apt-get").args(["download", &package]).current_dir(&fetched))?;
        let partial = home.join("kernel.partial");
        let _ = fs::remove_dir_all(&partial);
        output(Command::new("dpkg-deb").arg("--extract").arg(only_entry(&fetched, "")?).arg(&partial))?;
        fs::rename(partial, &unpacked)?;
    }
    Ok(Kernel {
        image: only_entry(&unpacked.join("boot"), "vmlinuz")?,
        modules: only_entry(&unpacked.join("lib/modules"), "")?,
    })
}

fn only_entry(dir: &Path, prefix: &str) -> Result<PathBuf> {
    let entries = fs::read_dir(dir).with_context(|| dir.display().to_string())?;
    let fits = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().starts_with(prefix);
    let found = entries.flatten().find(fits).with_context(|| format!("{} is empty", dir.display()))?;
    Ok(found.path())
}

/// A static executable of the tests.
struct Program {
    path: PathBuf,
    is_test: bool,
}

fn programs(root: &Path, home: &Path) -> Result<Vec<Program>> {
    let mut cargo = Command::new("cargo");
    cargo.args(["test", "--no-run", "--quiet", "--message-format=json", "--target", TRIPLE]);
    cargo.args(CRATES.iter().flat_map(|name| ["-p", name]));
    cargo.arg("--target-dir").arg(home).current_dir(root);
    cargo.env("RUSTFLAGS", "-C target-feature=+crt-static").env("CARGO_PROFILE_DEV_DEBUG", "0");
    let messages = output(&mut cargo)?;
    let parsed = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let programs: Vec<Program> = parsed
        .filter_map(|message| {
            let path = PathBuf::from(message["executable"].as_str()?);
            Some(Program { path, is_test: message["profile"]["test"] == true })
        })
        .collect();
    if !programs.iter().any(|program| program.is_test) {
        bail!("cargo built no tests");
    }
    Ok(programs)
}

/// The first file system: the programs at the paths that they have here, since tests know each other by
/// them, and a shell.
fn image(home: &Path, kernel: &Kernel, programs: &[Program]) -> Result<PathBuf> {
    let tree = home.join("image");
    let _ = fs::remove_dir_all(&tree);
    for name in ["bin", "dev", "proc", "sys", "tmp", "run", "etc", "modules", "new"] {
        fs::create_dir_all(tree.join(name))?;
    }
    fs::copy("/bin/busybox", tree.join("bin/busybox")).context("busybox-static is not installed")?;
    for name in APPLETS {
        std::os::unix::fs::symlink("busybox", tree.join("bin").join(name))?;
    }
    fs::write(tree.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n")?;
    for module in MODULES {
        let name = Path::new(module).file_name().unwrap_or_default();
        fs::copy(kernel.modules.join(module), tree.join("modules").join(name)).context(module)?;
    }
    for Program { path, .. } in programs {
        let copy = tree.join(path.strip_prefix("/").unwrap_or(path));
        fs::create_dir_all(copy.parent().unwrap_or(&tree))?;
        fs::copy(path, copy)?;
    }
    if Path::new(MKFS).exists() {
        copy_with_libraries(Path::new(MKFS), &tree)?;
    }
    write_script(&tree.join("init"), INIT)?;
    write_script(&tree.join("tests"), &tests(programs))?;
    let image = home.join("image.cpio");
    let pack = "find . | /bin/busybox cpio -o -H newc 2>/dev/null";
    let mut pack_it = Command::new("sh");
    pack_it.args(["-c", pack]).current_dir(&tree).stdout(File::create(&image)?);
    let packed = pack_it.status()?;
    if !packed.success() {
        bail!("the image could not be packed ({packed})");
    }
    Ok(image)
}

/// Copies a program and what it is linked with, each to the path that it has here.
fn copy_with_libraries(program: &Path, tree: &Path) -> Result<()> {
    let listed = output(Command::new("ldd").arg(program))?;
    let libraries = listed.split_whitespace().filter(|word| word.starts_with('/')).map(Path::new);
    for path in libraries.chain([program]) {
        let copy = tree.join(path.strip_prefix("/").unwrap_or(path));
        fs::create_dir_all(copy.parent().unwrap_or(tree))?;
        fs::copy(path, copy).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

fn write_script(path: &Path, text: &str) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::write(path, text)?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o755))?)
}

/// `pivot_root` does not leave the first file system, so another becomes the root.
const INIT: &str = "#!/bin/sh
mount -t devtmpfs dev /dev
exec </dev/console >/dev/console 2>&1
mount -t tmpfs -o mode=755 root /new
for entry in bin etc modules tests tmp run; do cp -a /$entry /new/; done
for entry in /*; do
  case $entry in /dev|/proc|/sys|/new|/init|/root) ;; *) [ -e /new$entry ] || cp -a $entry /new/ ;; esac
done
mkdir -p /new/dev /new/proc /new/sys /new/root
mount -t devtmpfs dev /new/dev
exec switch_root /new /tests
";

fn tests(programs: &[Program]) -> String {
    let mut script = String::from(
        "#!/bin/sh
exec </dev/console >/dev/console 2>&1
export PATH=/bin HOME=/root RUST_BACKTRACE=0
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir -p /dev/pts /dev/shm /dev/mqueue
mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts
mount -t tmpfs shm /dev/shm
chmod 1777 /tmp
for module in /modules/*; do insmod $module; done
echo controllers: $(cat /sys/fs/cgroup/cgroup.controllers)
",
    );
    for Program { path, .. } in programs.iter().filter(|program| program.is_test) {
        let path = path.display();
        script.push_str(&format!("{path} --test-threads=2 --show-output; echo {VERDICT} $? {path}\n"));
    }
    script + "poweroff -f\n"
}

fn boot(kernel: &Path, image: &Path) -> Result<String> {
    let mut machine = Command::new("timeout");
    machine.args([PATIENCE_SECONDS, "qemu-system-x86_64", "-accel", "tcg,thread=multi", "-smp", "2"]);
    machine.args(["-m", "3072", "-display", "none", "-monitor", "none", "-serial", "stdio", "-nic", "none"]);
    machine.args(["-no-reboot", "-append", "console=ttyS0 quiet panic=-1 cgroup_no_v1=all"]);
    machine.arg("-kernel").arg(kernel).arg("-initrd").arg(image).stdin(Stdio::null());
    let ran = machine.stderr(Stdio::inherit()).output().context("timeout, qemu-system-x86_64")?;
    let text = String::from_utf8_lossy(&ran.stdout).replace('\r', "");
    if !ran.status.success() {
        bail!("the machine did not end by itself ({}):\n{text}", ran.status);
    }
    Ok(text)
}

fn judge(text: &str, expected: usize) -> Result<()> {
    let verdicts: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix(VERDICT)).collect();
    let passed = verdicts.iter().filter(|verdict| verdict.starts_with(" 0 ")).count();
    if passed != expected {
        bail!("{passed} of {expected} test binaries pass on control groups of version 2:\n{text}");
    }
    for line in text.lines().filter(|line| line.starts_with("test result") || line.contains("left out")) {
        say(&format!("   {line}"));
    }
    Ok(())
}

fn output(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let ran = command.stderr(Stdio::inherit()).output().with_context(|| name.clone())?;
    if !ran.status.success() {
        bail!("{name} ended with {}", ran.status);
    }
    Ok(String::from_utf8(ran.stdout)?)
}
