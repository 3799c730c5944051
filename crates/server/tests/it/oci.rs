//! `boxship oci` as an engine uses it.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};

use rustix::process::{Pid, WaitOptions};
use serde_json::Value;
use tempfile::TempDir;

/// A bundle, and a state directory beside it.
struct Bundle {
    dir: TempDir,
    id: String,
}

impl Bundle {
    /// A container that runs `script`. `None`, after a line that says so, where none can be run.
    fn new(script: &str) -> Option<Self> {
        if !rustix::process::geteuid().is_root() || !Path::new("/bin/busybox").exists() {
            println!("left out: containers need root and /bin/busybox");
            return None;
        }
        // The container is nobody's child once its maker has ended: it comes to us.
        rustix::process::set_child_subreaper(Some(rustix::process::getpid())).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("rootfs");
        for name in ["bin", "proc", "dev", "sys"] {
            fs::create_dir_all(root.join(name)).unwrap();
        }
        fs::copy("/bin/busybox", root.join("bin/busybox")).unwrap();
        symlink("busybox", root.join("bin/sh")).unwrap();
        let args = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
        let spec = serde_json::to_value(launch::defaults::spec(&root, args, None)).unwrap();
        let id = dir.path().file_name().unwrap().to_str().unwrap().trim_start_matches('.').to_owned();
        let bundle = Self { dir, id };
        bundle.write(&spec);
        Some(bundle)
    }

    fn write(&self, spec: &Value) {
        fs::write(self.dir.path().join("config.json"), spec.to_string()).unwrap();
    }

    fn spec(&self) -> Value {
        serde_json::from_slice(&fs::read(self.dir.path().join("config.json")).unwrap()).unwrap()
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_boxship"));
        command.arg("oci").arg("--root").arg(self.dir.path().join("state"));
        command.arg("--log").arg(self.dir.path().join("log")).arg("--log-format=json");
        command.args(words).arg(&self.id);
        command
    }

    /// Makes the container; its output goes to a file, its process id is answered.
    fn create(&self) -> Result<Pid, String> {
        let (bundle, pid_file) = (self.dir.path().to_str().unwrap(), self.dir.path().join("pid"));
        let words = ["create", "--bundle", bundle, "--pid-file", pid_file.to_str().unwrap()];
        let output = File::create(self.dir.path().join("output")).unwrap();
        let status = self.command(&words).stdout(output).status().unwrap();
        if !status.success() {
            return Err(fs::read_to_string(self.dir.path().join("log")).unwrap());
        }
        let pid: i32 = fs::read_to_string(pid_file).unwrap().parse().unwrap();
        Ok(Pid::from_raw(pid).unwrap())
    }

    fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    fn state(&self) -> Value {
        let output = self.run(&["state"]);
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        self.run(&["delete", "--force"]);
    }
}

fn wait(pid: Pid) -> rustix::process::WaitStatus {
    rustix::process::waitpid(Some(pid), WaitOptions::empty()).unwrap().unwrap().1
}

#[test]
fn a_life() {
    let Some(bundle) = Bundle::new("echo hello; exit 3") else { return };
    let pid = bundle.create().unwrap();
    let state = bundle.state();
    assert_eq!((&state["status"], &state["id"]), (&"created".into(), &bundle.id.as_str().into()));
    assert_eq!(state["pid"], pid.as_raw_pid());
    assert!(bundle.create().unwrap_err().contains("exists already"));
    assert!(bundle.run(&["start"]).status.success());
    assert_eq!(wait(pid).exit_status(), Some(3));
    assert_eq!(fs::read_to_string(bundle.dir.path().join("output")).unwrap(), "hello\n");
    assert_eq!(bundle.state()["status"], "stopped");
    assert!(!bundle.run(&["start"]).status.success(), "it has ended");
    assert!(bundle.run(&["delete"]).status.success());
    assert!(!bundle.run(&["state"]).status.success(), "it is gone");
}

#[test]
fn signals_reach_it_and_force_removes_it() {
    let Some(bundle) = Bundle::new("trap 'exit 5' TERM; echo ready; while true; do sleep 1 & wait; done")
    else {
        return;
    };
    let pid = bundle.create().unwrap();
    assert!(bundle.run(&["start"]).status.success());
    assert_eq!(bundle.state()["status"], "running");
    assert!(!bundle.run(&["delete"]).status.success(), "it runs");
    assert!(bundle.run(&["delete", "--force"]).status.success());
    assert_eq!(wait(pid).terminating_signal(), Some(9));
    assert!(bundle.run(&["delete", "--force"]).status.success(), "gone already is what was asked for");
}

#[test]
fn a_container_that_cannot_be_made_leaves_nothing() {
    let Some(bundle) = Bundle::new("true") else { return };
    let mut spec = bundle.spec();
    spec["hooks"] = serde_json::json!({ "prestart": [{ "path": "/bin/true" }] });
    bundle.write(&spec);
    let said = bundle.create().unwrap_err();
    let line: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(line["level"], "error");
    assert!(line["msg"].as_str().unwrap().contains("hooks"), "{said}");
    assert!(!bundle.run(&["state"]).status.success());
}

/// An entry point that says `/proc/self/exe` executes our own file: it must not be open to writing.
#[test]
fn our_executable_is_out_of_reach() {
    let Some(bundle) = Bundle::new("true") else { return };
    let pid = bundle.create().unwrap();
    let exe = format!("/proc/{}/exe", pid.as_raw_pid());
    let mount = rustix::fs::statvfs(&exe).unwrap();
    // A program that runs is not to be written anyhow; on this mount it is not once it has ended, either.
    assert!(mount.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY), "{:?}", mount.f_flag);
    assert!(bundle.run(&["delete", "--force"]).status.success());
    wait(pid);
}
