//! An OCI runtime with little around it: `oci [--root DIR] create|start|state|kill|delete ID …`.
//!
//! What `boxship oci` does, without its command line; to try the library against other tools.

use std::path::PathBuf;
use std::process::ExitCode;

use launch::WritableExe;
use launch::runtime_cli::{CliError, Create, Runtime};

fn main() -> ExitCode {
    if let Err(error) = launch::exe::reexec_read_only() {
        eprintln!("oci: {error}");
        return ExitCode::FAILURE;
    }
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    let root = option(&mut args, "--root").unwrap_or_else(|| "/run/boxship-oci".to_owned());
    let bundle = option(&mut args, "--bundle").or_else(|| option(&mut args, "-b"));
    let pid_file = option(&mut args, "--pid-file").map(PathBuf::from);
    let console = option(&mut args, "--console-socket").map(PathBuf::from);
    let force = flag(&mut args, "--force") || flag(&mut args, "-f");
    let runtime = Runtime { root: root.as_ref() };
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["create", id] => {
            let bundle = PathBuf::from(bundle.unwrap_or_else(|| ".".to_owned()));
            let create = Create {
                bundle: &bundle,
                pid_file: pid_file.as_deref(),
                writable_exe: WritableExe::Refuse,
                console_socket: console.as_deref(),
            };
            runtime.create(id, &create)
        }
        ["start", id] => runtime.start(id),
        ["state", id] => runtime.state(id).map(|state| print(&state)),
        ["kill", id] => runtime.kill(id, "TERM"),
        ["kill", id, signal] => runtime.kill(id, signal),
        ["delete", id] => runtime.delete(id, force),
        _ => {
            eprintln!("usage: oci [--root DIR] create [-b BUNDLE] [--pid-file F]|start|state|kill|delete ID");
            return ExitCode::from(2);
        }
    };
    report(done)
}

fn report(done: Result<(), CliError>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("oci: {error}");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "this is its output")]
fn print(state: &oci_spec::runtime::State) {
    println!("{}", serde_json::to_string_pretty(state).expect("a state is plain data"));
}

fn option(args: &mut Vec<String>, name: &str) -> Option<String> {
    let at = args.iter().position(|arg| arg == name)?;
    args.remove(at);
    (at < args.len()).then(|| args.remove(at))
}

fn flag(args: &mut Vec<String>, name: &str) -> bool {
    let found = args.iter().position(|arg| arg == name);
    found.map(|at| args.remove(at)).is_some()
}
