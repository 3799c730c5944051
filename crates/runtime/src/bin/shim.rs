//! The shim as a program of its own: for this crate's tests, and to measure it apart from the
//! server's binary. The server starts shims by executing itself.

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    runtime::shim::main(&args)
}
