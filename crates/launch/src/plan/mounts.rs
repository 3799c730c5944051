//! Mounts: options sorted into what a file system takes and what a mount takes.

use std::ffi::CString;
use std::path::Path;

use oci_spec::runtime::Mount;
use rustix::mount::MountAttrFlags;

use super::{c_path, c_string, relative};
use crate::LaunchError;
use crate::cgroup::Cgroup;

/// What a mount forbids and how it spreads.
#[derive(Debug, Clone, Copy)]
pub struct Attributes {
    pub set: MountAttrFlags,
    pub clear: MountAttrFlags,
    /// The same for the mounts below it.
    pub set_below: MountAttrFlags,
    /// `MS_PRIVATE`, … or 0.
    pub propagation: u64,
    pub propagates_below: bool,
}

/// A parameter of a file system; a flag has no value.
#[derive(Debug)]
pub struct Parameter {
    pub key: CString,
    pub value: Option<CString>,
}

/// What is mounted.
#[derive(Debug)]
pub enum Source {
    /// Something of the host.
    Bind { path: CString, is_recursive: bool, is_dir: bool },
    /// A new file system.
    New { kind: CString, parameters: Vec<Parameter>, is_kernel: bool },
    /// No mount: a symbolic link, which a hierarchy with two controllers needs.
    Link { target: CString },
}

#[derive(Debug)]
pub struct MountPlan {
    /// Relative to the root.
    pub destination: CString,
    pub source: Source,
    pub attributes: Attributes,
    /// Attributes that come after everything below is mounted: a read-only directory of mount points.
    pub is_sealed_last: bool,
}

impl MountPlan {
    pub fn is_bind_at(&self, destination: &str) -> bool {
        self.destination.as_bytes() == destination.as_bytes() && matches!(self.source, Source::Bind { .. })
    }
}

/// Translates one mount of the specification into one or more of ours.
pub fn translate(
    at: usize,
    mount: &Mount,
    bundle: &Path,
    group: &Cgroup,
    plans: &mut Vec<MountPlan>,
) -> Result<(), LaunchError> {
    let field = format!("mounts[{at}]");
    let has_mappings = [mount.uid_mappings(), mount.gid_mappings()];
    if has_mappings.iter().any(|list| list.as_ref().is_some_and(|list| !list.is_empty())) {
        return Err(LaunchError::unsupported(
            format!("{field}.uidMappings"),
            "ids of a mount are not mapped",
        ));
    }
    let destination = relative(&format!("{field}.destination"), mount.destination())?;
    if destination.is_empty() {
        return Err(LaunchError::invalid(format!("{field}.destination"), "it is the root"));
    }
    let options = Options::parse(&field, mount.options().as_deref().unwrap_or_default())?;
    let kind = mount.typ().as_deref().unwrap_or_default();
    if kind == "cgroup" || kind == "cgroup2" {
        return cgroup(&field, mount.destination(), &options, group, plans);
    }
    let source = if options.is_bind || matches!(kind, "bind" | "rbind") {
        if !options.parameters.is_empty() {
            let option = options.parameters[0].key.to_string_lossy().into_owned();
            return Err(LaunchError::unsupported(
                format!("{field}.options[{option}]"),
                "a bind mount does not take it",
            ));
        }
        let source =
            mount.source().as_ref().ok_or_else(|| LaunchError::invalid(&field, "it has no source"))?;
        let path = bundle.join(source);
        let found = std::fs::metadata(&path).map_err(|error| {
            LaunchError::invalid(format!("{field}.source"), format!("{}: {error}", path.display()))
        })?;
        let is_recursive = options.is_recursive || kind == "rbind";
        Source::Bind { path: c_path(&field, &path)?, is_recursive, is_dir: found.is_dir() }
    } else {
        new_file_system(&field, kind, mount, options.parameters)?
    };
    plans.push(MountPlan { destination, source, attributes: options.attributes, is_sealed_last: false });
    Ok(())
}

fn new_file_system(
    field: &str,
    kind: &str,
    mount: &Mount,
    mut parameters: Vec<Parameter>,
) -> Result<Source, LaunchError> {
    if kind.is_empty() {
        return Err(LaunchError::invalid(format!("{field}.type"), "it is missing"));
    }
    let is_kernel = matches!(kind, "proc" | "sysfs" | "mqueue" | "devpts" | "tmpfs");
    if let Some(source) = mount.source() {
        parameters.push(Parameter { key: c_string(field, "source")?, value: Some(c_path(field, source)?) });
    }
    Ok(Source::New { kind: c_string(field, kind)?, parameters, is_kernel: is_kernel && kind != "tmpfs" })
}

/// The container's own group, and nothing of the others: a directory of the group's directories on version
/// 1, the group itself on version 2.
fn cgroup(
    field: &str,
    destination: &Path,
    options: &Options,
    group: &Cgroup,
    plans: &mut Vec<MountPlan>,
) -> Result<(), LaunchError> {
    let bind = |path: &Path| -> Result<Source, LaunchError> {
        Ok(Source::Bind { path: c_path(field, path)?, is_recursive: false, is_dir: true })
    };
    let attributes = options.attributes;
    let hierarchies = group.hierarchies();
    let unified = hierarchies.unified.as_ref().map(|mount| mount.join(group.path()));
    if let (true, Some(unified)) = (hierarchies.is_unified(), &unified) {
        let (destination, source) = (relative(field, destination)?, bind(unified)?);
        plans.push(MountPlan { destination, source, attributes, is_sealed_last: false });
        return Ok(());
    }
    let mode = Parameter { key: c_string(field, "mode")?, value: Some(c_string(field, "755")?) };
    plans.push(MountPlan {
        destination: relative(field, destination)?,
        source: Source::New { kind: c_string(field, "tmpfs")?, parameters: vec![mode], is_kernel: false },
        attributes,
        is_sealed_last: true,
    });
    for controller in &hierarchies.v1 {
        let name = controller.names.join(",");
        plans.push(MountPlan {
            destination: relative(field, &destination.join(&name))?,
            source: bind(&controller.mount.join(group.path()))?,
            attributes,
            is_sealed_last: false,
        });
        if controller.names.len() > 1 {
            for alias in &controller.names {
                plans.push(MountPlan {
                    destination: relative(field, &destination.join(alias))?,
                    source: Source::Link { target: c_string(field, name.as_str())? },
                    attributes,
                    is_sealed_last: false,
                });
            }
        }
    }
    Ok(())
}

/// The options of one mount, sorted.
struct Options {
    attributes: Attributes,
    parameters: Vec<Parameter>,
    is_bind: bool,
    is_recursive: bool,
}

impl Options {
    fn parse(field: &str, options: &[String]) -> Result<Self, LaunchError> {
        let none = MountAttrFlags::empty();
        let attributes =
            Attributes { set: none, clear: none, set_below: none, propagation: 0, propagates_below: false };
        let mut parsed = Self { attributes, parameters: Vec::new(), is_bind: false, is_recursive: false };
        for option in options {
            parsed.add(field, option)?;
        }
        Ok(parsed)
    }

    fn add(&mut self, field: &str, option: &str) -> Result<(), LaunchError> {
        if self.add_flag(option) || self.add_propagation(option) {
            return Ok(());
        }
        match option {
            "bind" => self.is_bind = true,
            "rbind" => (self.is_bind, self.is_recursive) = (true, true),
            "defaults" | "async" | "nolazytime" => {}
            "tmpcopyup" | "idmap" | "ridmap" | "remount" => {
                let field = format!("{field}.options[{option}]");
                return Err(LaunchError::unsupported(field, "it is not done"));
            }
            _ => {
                let (key, value) = match option.split_once('=') {
                    Some((key, value)) => (key, Some(c_string(field, value)?)),
                    None => (option, None),
                };
                self.parameters.push(Parameter { key: c_string(field, key)?, value });
            }
        }
        Ok(())
    }

    /// An option of mounts. With an `r` before it, it holds for the mounts below too.
    fn add_flag(&mut self, option: &str) -> bool {
        let found = flag(option);
        let (found, below) = match found {
            Some(found) => (Some(found), false),
            None => (option.strip_prefix('r').and_then(flag), true),
        };
        let Some((flag, is_set)) = found else { return false };
        let attributes = &mut self.attributes;
        if flag.intersects(MountAttrFlags::MOUNT_ATTR__ATIME) || flag.is_empty() {
            attributes.set -= MountAttrFlags::MOUNT_ATTR__ATIME;
            attributes.clear |= MountAttrFlags::MOUNT_ATTR__ATIME;
        }
        if is_set {
            attributes.set |= flag;
            if below {
                attributes.set_below |= flag;
            }
        } else {
            // An attribute that the source has stays: `rw` does not make a read-only volume writable.
            attributes.set -= flag;
            attributes.set_below -= flag;
        }
        true
    }

    fn add_propagation(&mut self, option: &str) -> bool {
        let (name, below) = match option {
            "rprivate" | "rslave" | "rshared" | "runbindable" => (&option[1..], true),
            _ => (option, false),
        };
        self.attributes.propagation = match name {
            "private" => libc::MS_PRIVATE,
            "slave" => libc::MS_SLAVE,
            "shared" => libc::MS_SHARED,
            "unbindable" => libc::MS_UNBINDABLE,
            _ => return false,
        };
        self.attributes.propagates_below = below;
        true
    }
}

/// The attribute that an option names, and whether it sets or takes it away.
fn flag(option: &str) -> Option<(MountAttrFlags, bool)> {
    Some(match option {
        "ro" => (MountAttrFlags::MOUNT_ATTR_RDONLY, true),
        "rw" => (MountAttrFlags::MOUNT_ATTR_RDONLY, false),
        "nosuid" => (MountAttrFlags::MOUNT_ATTR_NOSUID, true),
        "suid" => (MountAttrFlags::MOUNT_ATTR_NOSUID, false),
        "nodev" => (MountAttrFlags::MOUNT_ATTR_NODEV, true),
        "dev" => (MountAttrFlags::MOUNT_ATTR_NODEV, false),
        "noexec" => (MountAttrFlags::MOUNT_ATTR_NOEXEC, true),
        "exec" => (MountAttrFlags::MOUNT_ATTR_NOEXEC, false),
        "nodiratime" => (MountAttrFlags::MOUNT_ATTR_NODIRATIME, true),
        "diratime" => (MountAttrFlags::MOUNT_ATTR_NODIRATIME, false),
        "nosymfollow" => (MountAttrFlags::MOUNT_ATTR_NOSYMFOLLOW, true),
        "symfollow" => (MountAttrFlags::MOUNT_ATTR_NOSYMFOLLOW, false),
        "noatime" => (MountAttrFlags::MOUNT_ATTR_NOATIME, true),
        "strictatime" => (MountAttrFlags::MOUNT_ATTR_STRICTATIME, true),
        // Its value is zero: the kernel's own default.
        "relatime" | "atime" | "norelatime" | "nostrictatime" => (MountAttrFlags::empty(), true),
        _ => return None,
    })
}
