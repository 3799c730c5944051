//! Docker's default profile.
//!
//! `docker-default.json` is `profiles/seccomp/default.json` of Docker 26.1.5 (the Moby project, Apache-2.0),
//! unchanged, from Debian's package `golang-github-docker-docker-dev` 26.1.5+dfsg1-9+deb13u1.
//! It is Docker's own form: rules carry conditions (architecture, kernel, capabilities), which are resolved
//! here into the form of the OCI specification.

use std::collections::HashSet;

use oci_spec::runtime::{Capability, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompBuilder, LinuxSyscall};
use serde_json::Value;

const DOCKER: &str = include_str!("docker-default.json");

/// Docker's default profile for a container with the capabilities `caps` (its bounding set).
///
/// Conditions on the kernel's version are taken as met: all ask for 4.8, and the launcher needs a newer one.
pub fn default_profile(caps: &HashSet<Capability>) -> LinuxSeccomp {
    let docker: Value = serde_json::from_str(DOCKER).expect("the profile is part of the program");
    let rules = docker["syscalls"].as_array().into_iter().flatten();
    let caps: HashSet<String> = caps.iter().map(|cap| format!("CAP_{cap}")).collect();
    let syscalls: Vec<LinuxSyscall> = rules
        .filter(|rule| applies(rule, &caps))
        .map(|rule| serde_json::from_value(rule.clone()).expect("the profile is part of the program"))
        .collect();
    let default = serde_json::from_value::<LinuxSeccompAction>(docker["defaultAction"].clone());
    LinuxSeccompBuilder::default()
        .default_action(default.expect("the profile is part of the program"))
        .default_errno_ret(docker["defaultErrnoRet"].as_u64().map_or(1, |errno| errno as u32))
        .syscalls(syscalls)
        .build()
        .expect("every field has a default")
}

fn applies(rule: &Value, caps: &HashSet<String>) -> bool {
    let words = |side: &str, what: &str| {
        let list = rule[side][what].as_array().into_iter().flatten();
        list.filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>()
    };
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let wanted = words("includes", "arches");
    (wanted.is_empty() || wanted.iter().any(|name| name == arch))
        && words("includes", "caps").iter().all(|cap| caps.contains(cap))
        && !words("excludes", "arches").iter().any(|name| name == arch)
        && !words("excludes", "caps").iter().any(|cap| caps.contains(cap))
}
