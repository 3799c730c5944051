//! `boxship oci …`: the launcher as any OCI runtime.

use std::ffi::OsString;
use std::process::ExitCode;

pub fn run(arguments: &[OsString]) -> ExitCode {
    eprintln!("boxship oci: not built yet ({} arguments)", arguments.len());
    ExitCode::FAILURE
}
