//! Seccomp: from the specification's rules to programs for the kernel.
//!
//! Owns: the compilation ([`compile`]) and Docker's default profile ([`default_profile`]).
//!
//! A compiled filter has one match action, a profile has several, so a profile becomes a stack of programs:
//! the first lets pass whatever any rule names and gives the default to the rest; each further one gives its
//! own action to what its rules name and lets pass the rest. The kernel takes the strictest answer, and of
//! equally strict ones that of the program installed last, which is what the profile says as long as rules
//! are stricter than `allow`.
//!
//! Invariant: a name that this architecture does not have is skipped, as libseccomp does; everything else
//! that cannot be compiled is an error.
//! Ignores: the other instruction sets that a processor runs (32-bit programs): they are killed, which is
//! stricter than Docker's default; and notification to a listener, which is refused.

mod profile;
mod syscalls;

use std::collections::BTreeMap;

use oci_spec::runtime::{
    LinuxSeccomp, LinuxSeccompAction as Action, LinuxSeccompArg, LinuxSeccompFilterFlag as Flag,
    LinuxSeccompOperator as Operator, LinuxSyscall,
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, sock_filter,
};

pub use profile::default_profile;

/// A profile that cannot be compiled.
#[derive(Debug, thiserror::Error)]
pub enum SeccompError {
    /// Refused by name.
    #[error("{field} is not supported: {why}")]
    Unsupported { field: String, why: &'static str },
    /// Refused by the compiler of filters.
    #[error("seccomp profile: {0}")]
    Compile(String),
}

/// A compiled profile. Compile once and share: it depends on the profile alone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// In the order in which they are installed.
    programs: Vec<BpfProgram>,
    /// `SECCOMP_FILTER_FLAG_*`.
    flags: u32,
}

impl Filter {
    pub(crate) fn programs(&self) -> &[BpfProgram] {
        &self.programs
    }

    pub(crate) fn flags(&self) -> u32 {
        self.flags
    }
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Compiles a profile for this machine's architecture.
///
/// # Errors
/// [`SeccompError::Unsupported`] for notification, unknown flags and foreign actions.
pub fn compile(profile: &LinuxSeccomp) -> Result<Filter, SeccompError> {
    if profile.listener_path().is_some() || profile.listener_metadata().is_some() {
        return Err(unsupported("linux.seccomp.listenerPath", "there is no listener"));
    }
    let default =
        action(profile.default_action(), profile.default_errno_ret(), "linux.seccomp.defaultAction")?;
    let mut groups: Vec<(SeccompAction, Rules)> = Vec::new();
    let mut named = Rules::new();
    let mut highest = 0;
    for (at, rule) in profile.syscalls().iter().flatten().enumerate() {
        let field = format!("linux.seccomp.syscalls[{at}].action");
        let given = action(rule.action(), rule.errno_ret(), &field)?;
        highest = rule.names().iter().filter_map(|name| syscalls::number(name)).fold(highest, i64::max);
        if given == default {
            continue;
        }
        insert(&mut named, rule)?;
        if given == SeccompAction::Allow {
            continue;
        }
        match groups.iter_mut().find(|(known, _)| *known == given) {
            Some((_, rules)) => insert(rules, rule)?,
            None => {
                let mut rules = Rules::new();
                insert(&mut rules, rule)?;
                groups.push((given, rules));
            }
        }
    }
    let answers_errno = matches!(default, SeccompAction::Errno(_));
    let mut programs = Vec::new();
    if default != SeccompAction::Allow {
        programs.push(program(named, default, SeccompAction::Allow)?);
    }
    for (given, rules) in groups {
        programs.push(program(rules, SeccompAction::Allow, given)?);
    }
    if answers_errno && let Some(last) = programs.last_mut() {
        prepend_unknown(last, highest);
    }
    Ok(Filter { programs, flags: flags(profile)? })
}

fn program(
    rules: Rules,
    mismatch: SeccompAction,
    matching: SeccompAction,
) -> Result<BpfProgram, SeccompError> {
    let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(compiler)?;
    let filter = SeccompFilter::new(rules, mismatch, matching, arch).map_err(compiler)?;
    filter.try_into().map_err(compiler)
}

fn compiler(error: seccompiler::BackendError) -> SeccompError {
    SeccompError::Compile(error.to_string())
}

/// System calls newer than the profile answer "not implemented" instead of "not permitted", so that C
/// libraries fall back to older ones; runc does the same.
fn prepend_unknown(program: &mut BpfProgram, highest: i64) {
    let highest = u32::try_from(highest).unwrap_or(u32::MAX);
    let load_number = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    let jump_if_greater = (libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K) as u16;
    let answer = (libc::BPF_RET | libc::BPF_K) as u16;
    let not_implemented = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;
    let start = [
        sock_filter { code: load_number, jt: 0, jf: 0, k: 0 },
        sock_filter { code: jump_if_greater, jt: 0, jf: 1, k: highest },
        sock_filter { code: answer, jt: 0, jf: 0, k: not_implemented },
    ];
    program.splice(0..0, start);
}

/// Adds a rule for each of its names. An empty list of conditions matches always and swallows the others.
fn insert(rules: &mut Rules, rule: &LinuxSyscall) -> Result<(), SeccompError> {
    let conditions = rule.args().iter().flatten().map(condition).collect::<Result<Vec<_>, _>>()?;
    for number in rule.names().iter().filter_map(|name| syscalls::number(name)) {
        let known = rules.get_mut(&number);
        if conditions.is_empty() {
            rules.insert(number, Vec::new());
            continue;
        }
        let added = SeccompRule::new(conditions.clone()).map_err(compiler)?;
        match known {
            Some(list) if list.is_empty() => {}
            Some(list) => list.push(added),
            None => {
                rules.insert(number, vec![added]);
            }
        }
    }
    Ok(())
}

fn condition(arg: &LinuxSeccompArg) -> Result<SeccompCondition, SeccompError> {
    let (operator, value) = match arg.op() {
        Operator::ScmpCmpNe => (SeccompCmpOp::Ne, arg.value()),
        Operator::ScmpCmpLt => (SeccompCmpOp::Lt, arg.value()),
        Operator::ScmpCmpLe => (SeccompCmpOp::Le, arg.value()),
        Operator::ScmpCmpEq => (SeccompCmpOp::Eq, arg.value()),
        Operator::ScmpCmpGe => (SeccompCmpOp::Ge, arg.value()),
        Operator::ScmpCmpGt => (SeccompCmpOp::Gt, arg.value()),
        Operator::ScmpCmpMaskedEq => {
            (SeccompCmpOp::MaskedEq(arg.value()), arg.value_two().unwrap_or_default())
        }
    };
    let index = u8::try_from(arg.index()).unwrap_or(u8::MAX);
    SeccompCondition::new(index, SeccompCmpArgLen::Qword, operator, value).map_err(compiler)
}

fn action(given: Action, errno: Option<u32>, field: &str) -> Result<SeccompAction, SeccompError> {
    Ok(match given {
        Action::ScmpActKill | Action::ScmpActKillThread => SeccompAction::KillThread,
        Action::ScmpActKillProcess => SeccompAction::KillProcess,
        Action::ScmpActTrap => SeccompAction::Trap,
        Action::ScmpActErrno => SeccompAction::Errno(errno.unwrap_or(libc::EPERM as u32)),
        Action::ScmpActTrace => SeccompAction::Trace(errno.unwrap_or(libc::EPERM as u32)),
        Action::ScmpActLog => SeccompAction::Log,
        Action::ScmpActAllow => SeccompAction::Allow,
        Action::ScmpActNotify => return Err(unsupported(field, "there is no listener")),
    })
}

fn flags(profile: &LinuxSeccomp) -> Result<u32, SeccompError> {
    let one = |flag: &Flag| match flag {
        Flag::SeccompFilterFlagLog => Ok(libc::SECCOMP_FILTER_FLAG_LOG as u32),
        // The process has one thread.
        Flag::SeccompFilterFlagTsync => Ok(0),
        Flag::SeccompFilterFlagSpecAllow => Ok(libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW as u32),
        Flag::SeccompFilterFlagWaitKillableRecv => {
            Err(unsupported("linux.seccomp.flags", "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV needs a listener"))
        }
    };
    profile.flags().iter().flatten().try_fold(0, |sum, flag| Ok(sum | one(flag)?))
}

fn unsupported(field: &str, why: &'static str) -> SeccompError {
    SeccompError::Unsupported { field: field.to_owned(), why }
}
