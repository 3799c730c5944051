//! What the clone says to its parent: eight bytes, so that it needs no allocation to say it.

use std::fmt;

use rustix::io::Errno;

/// Where in the making of a container something happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Step {
    /// Everything up to the program is done; the container waits to be started.
    Ready,
    Session,
    Join,
    Namespace,
    Propagation,
    Root,
    Mount,
    Device,
    Link,
    Sysctl,
    Pivot,
    Mask,
    Readonly,
    Hostname,
    Domainname,
    Rlimit,
    Console,
    Stdio,
    Descriptors,
    WorkingDirectory,
    Bounding,
    User,
    Lookup,
    Gate,
    Init,
    Capabilities,
    NoNewPrivileges,
    Seccomp,
    Exec,
}

impl Step {
    const ALL: [Self; 29] = [
        Self::Ready,
        Self::Session,
        Self::Join,
        Self::Namespace,
        Self::Propagation,
        Self::Root,
        Self::Mount,
        Self::Device,
        Self::Link,
        Self::Sysctl,
        Self::Pivot,
        Self::Mask,
        Self::Readonly,
        Self::Hostname,
        Self::Domainname,
        Self::Rlimit,
        Self::Console,
        Self::Stdio,
        Self::Descriptors,
        Self::WorkingDirectory,
        Self::Bounding,
        Self::User,
        Self::Lookup,
        Self::Gate,
        Self::Init,
        Self::Capabilities,
        Self::NoNewPrivileges,
        Self::Seccomp,
        Self::Exec,
    ];
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ready => "ready",
            Self::Session => "new session",
            Self::Join => "join namespace",
            Self::Namespace => "new namespace",
            Self::Propagation => "detach mount propagation",
            Self::Root => "mount root",
            Self::Mount => "mount",
            Self::Device => "make device",
            Self::Link => "make link",
            Self::Sysctl => "set sysctl",
            Self::Pivot => "change root",
            Self::Mask => "mask",
            Self::Readonly => "make read-only",
            Self::Hostname => "set hostname",
            Self::Domainname => "set domainname",
            Self::Rlimit => "set limit",
            Self::Console => "open a terminal",
            Self::Stdio => "connect standard streams",
            Self::Descriptors => "close descriptors",
            Self::WorkingDirectory => "change to working directory",
            Self::Bounding => "drop capabilities",
            Self::User => "change user",
            Self::Lookup => "find program",
            Self::Gate => "wait to be started",
            Self::Init => "start the first process",
            Self::Capabilities => "set capabilities",
            Self::NoNewPrivileges => "set no_new_privs",
            Self::Seccomp => "install seccomp filter",
            Self::Exec => "exec",
        })
    }
}

/// One message of the clone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    pub step: Step,
    /// Which of the plan's mounts, devices, paths, … it was.
    pub index: u16,
    /// Any value for [`Step::Ready`]; zero is none.
    pub errno: Errno,
}

/// What the clone's functions return: the step that failed.
pub type Outcome<T> = Result<T, Report>;

impl Report {
    pub const LENGTH: usize = 8;

    /// For `map_err`: names the step that an error of the kernel belongs to.
    pub fn at(step: Step) -> impl Fn(Errno) -> Self {
        move |errno| Self { step, index: 0, errno }
    }

    /// The same for one of several.
    pub fn nth(step: Step, index: usize) -> impl Fn(Errno) -> Self {
        move |errno| Self { step, index: index as u16, errno }
    }

    pub fn to_bytes(self) -> [u8; Self::LENGTH] {
        let [low, high] = self.index.to_le_bytes();
        let [a, b, c, d] = self.errno.raw_os_error().to_le_bytes();
        [self.step as u8, 0, low, high, a, b, c, d]
    }

    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let [step, _, low, high, a, b, c, d] = *<&[u8; Self::LENGTH]>::try_from(bytes).ok()?;
        let step = *Step::ALL.get(usize::from(step))?;
        let errno = i32::from_le_bytes([a, b, c, d]);
        let errno = Errno::from_raw_os_error((1..4096).contains(&errno).then_some(errno)?);
        Some(Self { step, index: u16::from_le_bytes([low, high]), errno })
    }
}

/// An error of the kernel as Go words it, hence Docker and ECS: "no such file or directory".
pub fn text(errno: Errno) -> String {
    let full = std::io::Error::from(errno).to_string();
    let text = full.split(" (os error").next().unwrap_or(&full);
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_survive_the_wire() {
        for (number, step) in Step::ALL.into_iter().enumerate() {
            assert_eq!(step as usize, number, "the list is in the order of the enum");
            let report = Report { step, index: 515, errno: Errno::NOENT };
            assert_eq!(Report::from_bytes(&report.to_bytes()), Some(report));
        }
        assert_eq!(Report::from_bytes(&[99; 8]), None);
        assert_eq!(Report::from_bytes(&[0; 7]), None);
    }
}
