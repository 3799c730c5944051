//! Limits, user, capabilities, seccomp.

use rustix::io::Errno;
use rustix::thread::{CapabilitySet, CapabilitySets};

use crate::plan::Program;
use crate::report::{Outcome, Report, Step};
use crate::sys;

pub fn limit(program: &Program) -> Outcome<()> {
    for (at, limit) in program.limits.iter().enumerate() {
        sys::set_limit(limit.resource, limit.soft, limit.hard).map_err(Report::nth(Step::Rlimit, at))?;
    }
    Ok(())
}

/// Becomes the container's user. The permitted capabilities stay until [`confine`].
pub fn change_user(program: &Program) -> Outcome<()> {
    let bounding = program.capabilities.bounding;
    for bit in 0..u64::BITS {
        let cap = CapabilitySet::from_bits_retain(1 << bit);
        if bounding.contains(cap) {
            continue;
        }
        match rustix::thread::remove_capability_from_bounding_set(cap) {
            Ok(()) => {}
            // Beyond the last that this kernel knows.
            Err(Errno::INVAL) => break,
            Err(errno) => return Err(Report { step: Step::Bounding, index: bit as u16, errno }),
        }
    }
    let failed = Report::at(Step::User);
    rustix::thread::set_keep_capabilities(true).map_err(&failed)?;
    rustix::thread::set_thread_groups(&program.groups).map_err(&failed)?;
    let gid = program.gid;
    rustix::thread::set_thread_res_gid(gid, gid, gid).map_err(&failed)?;
    let uid = program.uid;
    rustix::thread::set_thread_res_uid(uid, uid, uid).map_err(&failed)?;
    rustix::thread::set_keep_capabilities(false).map_err(&failed)
}

/// The last steps before the program: capabilities, `no_new_privs`, seccomp.
pub fn confine(program: &Program) -> Outcome<()> {
    let sets = program.capabilities;
    let caps = Report::at(Step::Capabilities);
    let last = CapabilitySets {
        effective: sets.effective,
        permitted: sets.permitted,
        inheritable: sets.inheritable,
    };
    let has_filter = !program.filter.programs().is_empty();
    if program.no_new_privileges || !has_filter {
        rustix::thread::set_capabilities(None, last).map_err(&caps)?;
        raise_ambient(sets.ambient)?;
        if program.no_new_privileges {
            rustix::thread::set_no_new_privs(true).map_err(Report::at(Step::NoNewPrivileges))?;
        }
        return install(program);
    }
    // Without no_new_privs a filter takes CAP_SYS_ADMIN, which is held on to for that and nothing else.
    let admin = CapabilitySet::SYS_ADMIN;
    let meanwhile = CapabilitySets {
        effective: last.effective | admin,
        permitted: last.permitted | admin,
        inheritable: last.inheritable,
    };
    rustix::thread::set_capabilities(None, meanwhile).map_err(&caps)?;
    install(program)?;
    if meanwhile != last {
        rustix::thread::set_capabilities(None, last).map_err(&caps)?;
    }
    raise_ambient(sets.ambient)
}

fn install(program: &Program) -> Outcome<()> {
    for filter in program.filter.programs() {
        sys::install_filter(filter, program.filter.flags()).map_err(Report::at(Step::Seccomp))?;
    }
    Ok(())
}

fn raise_ambient(ambient: CapabilitySet) -> Outcome<()> {
    for bit in 0..u64::BITS {
        let cap = CapabilitySet::from_bits_retain(1 << bit);
        if ambient.contains(cap) {
            let raised = rustix::thread::configure_capability_in_ambient_set(cap, true);
            raised.map_err(Report::at(Step::Capabilities))?;
        }
    }
    Ok(())
}
