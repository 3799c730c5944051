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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::defaults::default_capabilities;
    use oci_spec::runtime::Capability;

    fn profile(json: &str) -> LinuxSeccomp {
        serde_json::from_str(json).unwrap()
    }

    /// The kernel's machine, as far as filters use it: the answer for a call of this architecture.
    fn run(program: &[sock_filter], number: i64, args: [u64; 6]) -> u32 {
        let arch: u32 = if cfg!(target_arch = "aarch64") { 0xc000_00b7 } else { 0xc000_003e };
        let word = |offset: u32| match offset {
            0 => number as u32,
            4 => arch,
            16.. => {
                let arg = args[(offset as usize - 16) / 8];
                if offset.is_multiple_of(8) { arg as u32 } else { (arg >> 32) as u32 }
            }
            _ => 0,
        };
        let (mut at, mut a) = (0, 0u32);
        loop {
            let one = &program[at];
            at += 1;
            let jump = |holds: bool| usize::from(if holds { one.jt } else { one.jf });
            match u32::from(one.code) {
                0x20 => a = word(one.k),
                0x54 => a &= one.k,
                0x05 => at += one.k as usize,
                0x15 => at += jump(a == one.k),
                0x25 => at += jump(a > one.k),
                0x35 => at += jump(a >= one.k),
                0x06 => return one.k,
                other => panic!("unknown instruction {other:#x}"),
            }
        }
    }

    /// What the kernel answers: the strictest of all programs, and of equals the last installed.
    fn answer(filter: &Filter, name: &str, args: [u64; 6]) -> u32 {
        let number = syscalls::number(name).unwrap();
        answer_number(filter, number, args)
    }

    fn answer_number(filter: &Filter, number: i64, args: [u64; 6]) -> u32 {
        let answers = filter.programs().iter().rev().map(|program| run(program, number, args));
        answers.min_by_key(|answer| (answer & 0xffff_0000) as i32).unwrap()
    }

    const ALLOW: u32 = 0x7fff_0000;
    const NOT_PERMITTED: u32 = 0x0005_0001;
    const NOT_IMPLEMENTED: u32 = 0x0005_0026;

    #[test]
    fn dockers_profile_for_dockers_capabilities() {
        let filter = compile(&default_profile(&default_capabilities())).unwrap();
        let none = [0; 6];
        for name in ["read", "execve", "openat2", "chroot", "close_range", "futex_waitv"] {
            assert_eq!(answer(&filter, name, none), ALLOW, "{name}");
        }
        for name in ["mount", "unshare", "setns", "bpf", "keyctl", "kexec_load", "init_module", "userfaultfd"]
        {
            assert_eq!(answer(&filter, name, none), NOT_PERMITTED, "{name}");
        }
        let first = |value: u64| [value, 0, 0, 0, 0, 0];
        assert_eq!(answer(&filter, "clone", first(libc::SIGCHLD as u64)), ALLOW);
        assert_eq!(answer(&filter, "clone", first(libc::CLONE_NEWUSER as u64)), NOT_PERMITTED);
        assert_eq!(answer(&filter, "clone3", none), NOT_IMPLEMENTED, "so that glibc falls back to clone");
        assert_eq!(answer(&filter, "personality", first(0xffff_ffff)), ALLOW);
        assert_eq!(answer(&filter, "personality", first(0x40000)), NOT_PERMITTED, "ADDR_NO_RANDOMIZE");
        assert_eq!(answer(&filter, "socket", first(libc::AF_INET as u64)), ALLOW);
        assert_eq!(answer(&filter, "socket", first(libc::AF_VSOCK as u64)), NOT_PERMITTED);
        assert_eq!(answer_number(&filter, 4000, none), NOT_IMPLEMENTED, "of the future");
    }

    #[test]
    fn capabilities_open_their_system_calls() {
        let mut caps = default_capabilities();
        caps.extend([Capability::SysAdmin, Capability::SysTime]);
        let filter = compile(&default_profile(&caps)).unwrap();
        for name in ["mount", "unshare", "clone3", "settimeofday"] {
            assert_eq!(answer(&filter, name, [0; 6]), ALLOW, "{name}");
        }
        caps.remove(&Capability::SysChroot);
        let filter = compile(&default_profile(&caps)).unwrap();
        assert_eq!(answer(&filter, "chroot", [0; 6]), NOT_PERMITTED);
    }

    #[test]
    fn actions_of_their_own_and_comparisons() {
        let filter = compile(&profile(
            r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
                {"names": ["getpid", "no_such_call"], "action": "SCMP_ACT_ERRNO", "errnoRet": 7},
                {"names": ["kill"], "action": "SCMP_ACT_KILL_PROCESS",
                 "args": [{"index": 1, "value": 9, "op": "SCMP_CMP_GE"}]},
                {"names": ["getuid"], "action": "SCMP_ACT_LOG"}]}"#,
        ))
        .unwrap();
        assert_eq!(answer(&filter, "getpid", [0; 6]), 0x0005_0007);
        assert_eq!(answer(&filter, "kill", [0, 9, 0, 0, 0, 0]), 0x8000_0000);
        assert_eq!(answer(&filter, "kill", [0, 8, 0, 0, 0, 0]), ALLOW);
        assert_eq!(answer(&filter, "getuid", [0; 6]), 0x7ffc_0000);
        assert_eq!(answer(&filter, "read", [0; 6]), ALLOW);
        assert_eq!(answer_number(&filter, 4000, [0; 6]), ALLOW);
    }

    #[test]
    fn a_rule_without_conditions_swallows_those_with() {
        let filter = compile(&profile(
            r#"{"defaultAction": "SCMP_ACT_KILL", "syscalls": [
                {"names": ["dup"], "action": "SCMP_ACT_ALLOW",
                 "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]},
                {"names": ["dup"], "action": "SCMP_ACT_ALLOW"}]}"#,
        ))
        .unwrap();
        assert_eq!(answer(&filter, "dup", [5, 0, 0, 0, 0, 0]), ALLOW);
        assert_eq!(answer(&filter, "read", [0; 6]), 0);
        assert_eq!(answer_number(&filter, 4000, [0; 6]), 0, "killed is killed");
    }

    #[test]
    fn what_is_not_done_is_refused() {
        for json in [
            r#"{"defaultAction": "SCMP_ACT_NOTIFY"}"#,
            r#"{"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/x"}"#,
            r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["dup"], "action": "SCMP_ACT_NOTIFY"}]}"#,
        ] {
            assert!(matches!(compile(&profile(json)), Err(SeccompError::Unsupported { .. })), "{json}");
        }
    }

    #[test]
    fn the_tables_are_sorted() {
        for name in ["accept", "write", "close_range", "landlock_restrict_self"] {
            assert!(syscalls::number(name).is_some(), "{name}");
        }
        assert_eq!(syscalls::number("no_such_call"), None);
    }
}
