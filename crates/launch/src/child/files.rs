//! Descriptors, the working directory, and where the program lies.

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

use rustix::fs::{Access, AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::{CHANNEL, Wiring};
use crate::plan::Program;
use crate::report::{Outcome, Report, Step};
use crate::sys;

/// Puts the streams at 0, 1 and 2, the channel at 3, the listener at 4, and closes everything else, so that
/// neither the working directory nor the program can be reached through a descriptor of the launcher's
/// (CVE-2024-21626).
///
/// With a terminal, that is all three streams.
pub fn connect(wiring: &Wiring<'_>, terminal: Option<OwnedFd>) -> Outcome<()> {
    const LOWEST: RawFd = CHANNEL + 2;
    let failed = Report::at(Step::Stdio);
    // First all out of the way: the numbers that we want may be those of another that we need.
    let channel = sys::lift(wiring.channel.as_raw_fd(), LOWEST).map_err(&failed)?;
    let listener = match wiring.listener {
        Some(listener) => Some(sys::lift(listener.as_raw_fd(), LOWEST).map_err(&failed)?),
        None => None,
    };
    let mut lifted = [0; 3];
    for (stream, copy) in wiring.stdio.iter().zip(&mut lifted) {
        let stream = terminal.as_ref().map_or(stream.as_raw_fd(), AsRawFd::as_raw_fd);
        *copy = sys::lift(stream, LOWEST).map_err(&failed)?;
    }
    let has_terminal = terminal.is_some();
    drop(terminal);
    for (number, copy) in lifted.into_iter().enumerate() {
        sys::place(copy, number as RawFd, true).map_err(&failed)?;
    }
    if has_terminal {
        sys::control_terminal().map_err(&failed)?;
    }
    sys::place(channel, CHANNEL, false).map_err(&failed)?;
    if let Some(listener) = listener {
        sys::place(listener, CHANNEL + 1, false).map_err(&failed)?;
    }
    let first = if listener.is_some() { CHANNEL + 2 } else { CHANNEL + 1 };
    // The report of a failure still finds the channel: its old number is closed last, by this call.
    sys::close_from(first as u32).map_err(|errno| Report { step: Step::WorkingDirectory, index: 0, errno })
}

/// Goes to the working directory, which is made if it is missing, and looks whether it is inside.
pub fn change_directory(program: &Program) -> Outcome<()> {
    let failed = Report::at(Step::WorkingDirectory);
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(c"/", flags, Mode::empty()).map_err(&failed)?;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let open = || rustix::fs::openat2(&root, program.cwd.as_c_str(), flags, Mode::empty(), resolve);
    let opened = match open() {
        Err(Errno::NOENT) => {
            super::paths::make_directory(root.as_fd(), &program.cwd).map_err(&failed)?;
            open()
        }
        other => other,
    };
    let dir = opened.map_err(&failed)?;
    rustix::process::fchdir(&dir).map_err(&failed)?;
    // A directory outside of the root would be shown as "(unreachable)/…".
    let mut text = [0; libc::PATH_MAX as usize];
    match sys::current_directory(&mut text).map_err(&failed)? {
        b'/' => Ok(()),
        _ => Err(Report { step: Step::WorkingDirectory, index: 0, errno: Errno::NOENT }),
    }
}

/// The first candidate that may be executed. As the container's user, so that its rights count.
pub fn look_up(program: &Program) -> Outcome<&CStr> {
    let mut worst = Errno::NOENT;
    for candidate in &program.candidates {
        match is_executable(candidate) {
            Ok(()) => return Ok(candidate),
            Err(Errno::NOENT | Errno::NOTDIR) => {}
            // In a search, what is no program is passed over; it is the reason if nothing better comes.
            Err(Errno::ISDIR) if program.candidates.len() > 1 => {}
            Err(error) => worst = error,
        }
    }
    Err(Report { step: Step::Lookup, index: 0, errno: worst })
}

fn is_executable(path: &CStr) -> Result<(), Errno> {
    let found = rustix::fs::statat(CWD, path, AtFlags::empty())?;
    if FileType::from_raw_mode(found.st_mode) == FileType::Directory {
        return Err(Errno::ISDIR);
    }
    // Root may read anything, but executes only what has an execute bit.
    match rustix::fs::accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS) {
        Err(Errno::NOSYS | Errno::INVAL) => Ok(()),
        other => other,
    }
}
