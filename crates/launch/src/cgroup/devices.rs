//! Which devices a group may use: a list on version 1, a program for the kernel on version 2.

use std::os::fd::AsFd;

use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType};
use rustix::fs::{Mode, OFlags};

use super::{Cgroup, CgroupError};
use crate::sys;

impl Cgroup {
    /// Applies the rules in their order; the last that fits a device decides. Without one that fits, the
    /// device may be used.
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

    /// The program stays with the group until the group goes.
    fn allow_devices_v2(&self, rules: &[LinuxDeviceCgroup]) -> Result<(), CgroupError> {
        let dir = self.unified().ok_or(CgroupError::NotMounted)?;
        let failed = |error: rustix::io::Errno| CgroupError::io("set the devices of", &dir, error);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let group = rustix::fs::open(&dir, flags, Mode::empty()).map_err(failed)?;
        let program = sys::load_device_program(&program(rules)).map_err(failed)?;
        sys::attach_device_program(group.as_fd(), program.as_fd()).map_err(failed)
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

// Registers: 0 the answer, 1 the question and then scratch, 2 the kind of device, 3 the access asked for,
// 4 and 5 the device's numbers.
const LOAD: u8 = 0x61;
const AND: u8 = 0x54;
const SHIFT_RIGHT: u8 = 0x74;
const MOVE: u8 = 0xbc;
const SET: u8 = 0xb7;
const JUMP_UNLESS_EQUAL: u8 = 0x55;
const JUMP_IF_EQUAL: u8 = 0x15;
const EXIT: u8 = 0x95;

const ALL: i32 = 0b111;

/// One instruction of the kernel's machine.
fn instruction(code: u8, register: u8, from: u8, offset: i16, value: i32) -> u64 {
    let [low, high] = offset.to_le_bytes();
    let [a, b, c, d] = value.to_le_bytes();
    u64::from_ne_bytes([code, register | from << 4, low, high, a, b, c, d])
}

/// The rules from the last to the first: the first that fits answers.
fn program(rules: &[LinuxDeviceCgroup]) -> Vec<u64> {
    let mut code = vec![
        instruction(LOAD, 2, 1, 0, 0),
        instruction(MOVE, 3, 2, 0, 0),
        instruction(AND, 2, 0, 0, 0xffff),
        instruction(SHIFT_RIGHT, 3, 0, 0, 16),
        instruction(LOAD, 4, 1, 4, 0),
        instruction(LOAD, 5, 1, 8, 0),
    ];
    for rule in rules.iter().rev() {
        let block = block(rule);
        // The kernel refuses a program with code that nothing reaches.
        let fits_everything = block.len() == answer(true).len();
        code.extend(block);
        if fits_everything {
            return code;
        }
    }
    code.extend(answer(true));
    code
}

fn answer(is_allowed: bool) -> [u64; 2] {
    [instruction(SET, 0, 0, 0, is_allowed.into()), instruction(EXIT, 0, 0, 0, 0)]
}

fn block(rule: &LinuxDeviceCgroup) -> Vec<u64> {
    /// A jump behind the block if the rule does not fit.
    struct Check(Vec<u64>, u8, u8, i32);
    let access = rule.access().as_deref().unwrap_or("rwm").chars().fold(0, |sum, letter| {
        sum | match letter {
            'm' => 1,
            'r' => 2,
            'w' => 4,
            _ => 0,
        }
    });
    let mut checks = Vec::new();
    match rule.typ().unwrap_or_default() {
        LinuxDeviceType::A | LinuxDeviceType::P => {}
        LinuxDeviceType::B => checks.push(Check(Vec::new(), JUMP_UNLESS_EQUAL, 2, 1)),
        LinuxDeviceType::C | LinuxDeviceType::U => checks.push(Check(Vec::new(), JUMP_UNLESS_EQUAL, 2, 2)),
    }
    if access != ALL {
        // Allowed if nothing else is asked for, refused if any of it is.
        let (mask, jump) =
            if rule.allow() { (ALL & !access, JUMP_UNLESS_EQUAL) } else { (access, JUMP_IF_EQUAL) };
        let compute = vec![instruction(MOVE, 1, 3, 0, 0), instruction(AND, 1, 0, 0, mask)];
        checks.push(Check(compute, jump, 1, 0));
    }
    for (register, number) in [(4, rule.major()), (5, rule.minor())] {
        if let Some(number) = number.and_then(|number| i32::try_from(number).ok()).filter(|n| *n >= 0) {
            checks.push(Check(Vec::new(), JUMP_UNLESS_EQUAL, register, number));
        }
    }
    let end = checks.iter().map(|check| check.0.len() + 1).sum::<usize>() + answer(true).len();
    let mut code = Vec::new();
    for Check(compute, jump, register, value) in checks {
        code.extend(compute);
        let rest = end - code.len() - 1;
        code.push(instruction(jump, register, 0, rest as i16, value));
    }
    code.extend(answer(rule.allow()));
    code
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::Hierarchies;
    use crate::defaults;
    use std::process::Command;

    #[test]
    fn the_lines_of_version_1() {
        let lines: Vec<String> = defaults::device_rules().iter().map(line).collect();
        assert_eq!(lines[..4], ["a", "c *:* m", "b *:* m", "c 5:1 rwm"]);
    }

    /// The hierarchy of version 2 takes device programs even where it has no controllers, so this runs on
    /// hybrid machines too.
    #[test]
    fn the_program_of_version_2_decides() {
        let hierarchies = Hierarchies::detect().unwrap();
        if !rustix::process::geteuid().is_root() || hierarchies.unified.is_none() {
            println!("left out: device programs need root and a mounted cgroup2");
            return;
        }
        let only_v2 = Hierarchies { v1: Vec::new(), unified: hierarchies.unified };
        let name = format!("launch-devices-{}", std::process::id());
        let group = Cgroup::create(&only_v2, name.as_ref()).unwrap();
        let limited = group.allow_devices_v2(&defaults::device_rules());
        let procs = group.unified().unwrap().join("cgroup.procs");
        let dir = tempfile::tempdir().unwrap();
        let script = format!(
            "echo $$ > {}; cd {}; cat /dev/null && echo null; echo x > /dev/null && echo written; \
             mknod mem c 1 1 && echo made; cat mem || echo no; mknod disk b 7 0; cat disk || echo no",
            procs.display(),
            dir.path().display()
        );
        let output = Command::new("/bin/sh").args(["-c", &script]).output().unwrap();
        group.remove().unwrap();
        limited.unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!(said, "null\nwritten\nmade\nno\nno\n", "{}", String::from_utf8_lossy(&output.stderr));
    }
}
