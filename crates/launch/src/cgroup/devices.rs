//! Which devices a group may use.

use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType};

use super::{Cgroup, CgroupError};

impl Cgroup {
    /// Applies the rules in their order; the last that fits a device decides.
    pub(super) fn allow_devices(&self, rules: &[LinuxDeviceCgroup]) -> Result<(), CgroupError> {
        const FIELD: &str = "linux.resources.devices";
        if self.is_v2() {
            return self.allow_devices_v2(rules);
        }
        for rule in rules {
            let file = if rule.allow() { "devices.allow" } else { "devices.deny" };
            self.set(FIELD, "devices", file, &line(rule))?;
        }
        Ok(())
    }

    fn allow_devices_v2(&self, _rules: &[LinuxDeviceCgroup]) -> Result<(), CgroupError> {
        Err(CgroupError::Unsupported {
            field: "linux.resources.devices".to_owned(),
            why: "device rules on version 2 are not built yet",
        })
    }
}

/// The rule as version 1 wants it. Everything at once is the one letter.
fn line(rule: &LinuxDeviceCgroup) -> String {
    let kind = rule.typ().unwrap_or_default();
    let access = rule.access().as_deref().unwrap_or("rwm");
    if kind == LinuxDeviceType::A {
        return "a".to_owned();
    }
    let number = |value: Option<i64>| match value {
        Some(value) if value >= 0 => value.to_string(),
        _ => "*".to_owned(),
    };
    let kind = if kind == LinuxDeviceType::B { "b" } else { "c" };
    format!("{kind} {}:{} {access}", number(rule.major()), number(rule.minor()))
}
