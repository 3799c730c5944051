//! What a container may do: capabilities, system calls, the kernel's files.

use std::collections::HashSet;

use core_lifecycle::LinuxSettings;
use launch::defaults;
use launch::seccomp::default_profile;
use oci_spec::runtime::{Capability, Spec};

use crate::contract::RuntimeError;

pub(super) fn apply(spec: &mut Spec, settings: &LinuxSettings) -> Result<(), RuntimeError> {
    let options = Options::parse(&settings.security_options)?;
    let caps = capabilities(settings)?;
    if let Some(process) = spec.process_mut() {
        process.set_capabilities(Some(defaults::capabilities(&caps)));
        process.set_no_new_privileges(Some(options.no_new_privileges));
    }
    let Some(linux) = spec.linux_mut() else { return Ok(()) };
    if settings.is_privileged || options.is_seccomp_unconfined {
        linux.set_seccomp(None);
    } else if caps != defaults::default_capabilities() {
        linux.set_seccomp(Some(default_profile(&caps)));
    }
    if settings.is_privileged || options.shows_system_paths {
        linux.set_masked_paths(None);
        linux.set_readonly_paths(None);
    }
    Ok(())
}

/// Every one that the specification knows; the shim leaves out what its host cannot give.
const ALL: [&str; 41] = [
    "AUDIT_CONTROL",
    "AUDIT_READ",
    "AUDIT_WRITE",
    "BLOCK_SUSPEND",
    "BPF",
    "CHECKPOINT_RESTORE",
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "IPC_LOCK",
    "IPC_OWNER",
    "KILL",
    "LEASE",
    "LINUX_IMMUTABLE",
    "MAC_ADMIN",
    "MAC_OVERRIDE",
    "MKNOD",
    "NET_ADMIN",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_RAW",
    "PERFMON",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYSLOG",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_CHROOT",
    "SYS_MODULE",
    "SYS_NICE",
    "SYS_PACCT",
    "SYS_PTRACE",
    "SYS_RAWIO",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "WAKE_ALARM",
];

fn all() -> HashSet<Capability> {
    ALL.iter().filter_map(|name| name.parse().ok()).collect()
}

/// Docker's rule: what is dropped goes first, from the defaults or from everything, then what is added
/// comes; dropping everything leaves what is added.
fn capabilities(settings: &LinuxSettings) -> Result<HashSet<Capability>, RuntimeError> {
    if settings.is_privileged {
        return Ok(all());
    }
    let (adds_all, added) = named(&settings.capabilities_add)?;
    let (drops_all, dropped) = named(&settings.capabilities_drop)?;
    let base = match (adds_all, drops_all) {
        (true, _) => all(),
        (false, true) => HashSet::new(),
        (false, false) => defaults::default_capabilities(),
    };
    // With `ALL` added, what is dropped by name stays dropped; otherwise what is added by name wins.
    let mut caps: HashSet<Capability> = base.difference(&dropped).copied().collect();
    caps.extend(added);
    Ok(caps)
}

fn named(names: &[String]) -> Result<(bool, HashSet<Capability>), RuntimeError> {
    let mut caps = HashSet::new();
    let mut has_all = false;
    for given in names {
        let upper = given.to_ascii_uppercase();
        match upper.strip_prefix("CAP_").unwrap_or(&upper) {
            "ALL" => has_all = true,
            name => {
                let unknown = |_| RuntimeError::Plan(format!("unknown capability: {given:?}"));
                caps.insert(name.parse().map_err(unknown)?);
            }
        }
    }
    Ok((has_all, caps))
}

/// Docker's security options.
#[derive(Default)]
struct Options {
    no_new_privileges: bool,
    is_seccomp_unconfined: bool,
    shows_system_paths: bool,
}

impl Options {
    fn parse(given: &[String]) -> Result<Self, RuntimeError> {
        let mut options = Options::default();
        for option in given {
            let refused = |why: &str| RuntimeError::Unsupported(format!("security option {option:?}: {why}"));
            let (name, value) = option.split_once(['=', ':']).unwrap_or((option, ""));
            match (name, value) {
                ("no-new-privileges", "" | "true") => options.no_new_privileges = true,
                ("no-new-privileges", "false") => options.no_new_privileges = false,
                ("seccomp", "unconfined") => options.is_seccomp_unconfined = true,
                ("systempaths", "unconfined") => options.shows_system_paths = true,
                // What is asked for is what is.
                ("seccomp", "builtin") | ("apparmor", "unconfined") | ("label", "disable") => {}
                ("seccomp", _) => return Err(refused("profiles of one's own are not loaded")),
                ("apparmor", _) => return Err(refused("AppArmor profiles are not loaded on this host")),
                ("label", _) => return Err(refused("SELinux labels are not set on this host")),
                _ => return Err(refused("it is not known")),
            }
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_by_name() {
        let check = |add: &[&str], drop: &[&str], has: &[Capability], lacks: &[Capability]| {
            let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
            let settings = LinuxSettings {
                capabilities_add: list(add),
                capabilities_drop: list(drop),
                ..LinuxSettings::default()
            };
            let caps = capabilities(&settings).unwrap();
            assert!(has.iter().all(|cap| caps.contains(cap)), "{add:?} {drop:?}: {caps:?}");
            assert!(!lacks.iter().any(|cap| caps.contains(cap)), "{add:?} {drop:?}: {caps:?}");
        };
        use Capability::{Chown, NetAdmin, NetRaw, SysAdmin};
        check(&[], &[], &[Chown, NetRaw], &[NetAdmin, SysAdmin]);
        check(&["NET_ADMIN"], &["CAP_NET_RAW"], &[Chown, NetAdmin], &[NetRaw]);
        check(&["cap_net_admin"], &["ALL"], &[NetAdmin], &[Chown]);
        check(&["ALL"], &["SYS_ADMIN"], &[Chown, NetAdmin], &[SysAdmin]);
        assert!(named(&["FLY".to_owned()]).is_err());
        assert_eq!(all().len(), ALL.len(), "every name is known");
    }

    #[test]
    fn security_options() {
        let parse = |option: &str| Options::parse(&[option.to_owned()]);
        assert!(parse("no-new-privileges").unwrap().no_new_privileges);
        assert!(parse("no-new-privileges:true").unwrap().no_new_privileges);
        assert!(!parse("no-new-privileges=false").unwrap().no_new_privileges);
        assert!(parse("seccomp=unconfined").unwrap().is_seccomp_unconfined);
        assert!(parse("apparmor:unconfined").is_ok());
        for refused in ["apparmor:mine", "label:type:x", "seccomp={}", "credentialspec:x", "what"] {
            let text = parse(refused).err().unwrap().to_string();
            assert!(text.contains(refused.split(['=', ':']).next().unwrap()), "{text}");
        }
    }
}
