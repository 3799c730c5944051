//! From an assignment to what the runtime is told. Pure.

use std::collections::{BTreeMap, BTreeSet};

use core_lifecycle::{Assignment, ContainerSpec, LaunchType, LinuxSettings, LogDriver, VolumeSource};
use runtime::{ContainerPlan, MountPlan, MountSource, Output, Place, TaskSandbox};

use super::life::runtime_id;
use super::prepare::Ready;
use crate::seams::Pulled;

/// Output of a blocking container that may wait unread before it is held up.
const SPOOL_BYTES: u64 = 64 * 1024 * 1024;

pub(super) fn sandbox(assignment: &Assignment, place: Place) -> TaskSandbox {
    TaskSandbox {
        task: assignment.task_id.clone(),
        place,
        pid_mode: assignment.pid_mode,
        ipc_mode: assignment.ipc_mode,
        storage_gib: assignment.ephemeral_storage_gib,
        cpu_units: assignment.cpu_units,
        memory_mib: assignment.memory_mib,
    }
}

/// `None` where its image was not pulled.
pub(super) fn container(
    assignment: &Assignment,
    spec: &ContainerSpec,
    ready: &Ready,
) -> Option<ContainerPlan> {
    let image = ready.images.get(&spec.name)?;
    let output = match (&spec.logging.driver, spec.logging.buffer_bytes) {
        (LogDriver::None, _) => Output::Discard,
        (_, None) => Output::Blocking { limit_bytes: SPOOL_BYTES },
        (_, Some(limit_bytes)) => Output::Dropping { limit_bytes },
    };
    Some(ContainerPlan {
        name: spec.name.clone(),
        runtime_id: runtime_id(&assignment.task_id, &spec.name),
        layers: image.layers.clone(),
        image: image.config.clone(),
        entry_point: spec.entry_point.clone(),
        command: spec.command.clone(),
        environment: ready.environment.get(&spec.name).unwrap_or(&spec.environment).clone(),
        working_directory: spec.working_directory.clone(),
        user: spec.user.clone(),
        cpu_units: spec.cpu_units,
        memory_mib: spec.memory_mib,
        memory_reservation_mib: spec.memory_reservation_mib,
        readonly_root: spec.readonly_root,
        ulimits: spec.ulimits.clone(),
        output,
        place: ready.attached.own.get(&spec.name).map(|own| own.place.clone()),
        mounts: mounts(assignment, spec, &ready.images),
        linux: linux(assignment, spec),
        labels: spec.labels.clone(),
    })
}

fn linux(assignment: &Assignment, spec: &ContainerSpec) -> LinuxSettings {
    let mut linux = spec.linux.clone();
    if assignment.launch_type == LaunchType::Fargate {
        // AWS: Fargate has no swap; what is beyond a task's memory ends it, whatever this host has.
        linux.max_swap_mib = Some(0);
    }
    linux
}

/// What is mounted into a container: its own mount points, then what `volumesFrom` names, parents
/// before what lies in them.
fn mounts(
    assignment: &Assignment,
    spec: &ContainerSpec,
    images: &BTreeMap<String, Pulled>,
) -> Vec<MountPlan> {
    let mut mounts = Vec::new();
    gather(assignment, spec, images, &mut BTreeSet::new(), &mut mounts);
    mounts.sort_by_key(|mount| mount.target.split('/').filter(|part| !part.is_empty()).count());
    mounts
}

fn gather<'a>(
    assignment: &'a Assignment,
    spec: &'a ContainerSpec,
    images: &BTreeMap<String, Pulled>,
    seen: &mut BTreeSet<&'a str>,
    mounts: &mut Vec<MountPlan>,
) {
    // A circle mounts nothing twice.
    if !seen.insert(&spec.name) {
        return;
    }
    for mount in &spec.mounts {
        let volume = assignment.volumes.iter().find(|volume| volume.name == mount.volume);
        let Some(volume) = volume else { continue };
        let source = match &volume.source {
            VolumeSource::Task => MountSource::Task(volume.name.clone()),
            VolumeSource::Host(path) => MountSource::Host(path.into()),
            VolumeSource::Shared { is_provisioned, .. } => {
                MountSource::Shared { name: volume.name.clone(), is_provisioned: *is_provisioned }
            }
        };
        add(mounts, MountPlan { source, target: mount.path.clone(), is_read_only: mount.is_read_only });
    }
    let others = || assignment.containers.iter();
    let is_source = others().any(|c| c.volumes_from.iter().any(|from| from.container == spec.name));
    if is_source {
        // Docker: what an image declares as a volume is one, and goes along with the others.
        let declared = images.get(&spec.name).into_iter().flat_map(|image| &image.config.volumes);
        for (index, path) in declared.enumerate() {
            // A dot is in no name of the task definition's.
            let source = MountSource::Task(format!("{}.{index}", spec.name));
            add(mounts, MountPlan { source, target: path.clone(), is_read_only: false });
        }
    }
    for from in &spec.volumes_from {
        let Some(other) = others().find(|other| other.name == from.container) else { continue };
        let mut theirs = Vec::new();
        gather(assignment, other, images, seen, &mut theirs);
        seen.remove(other.name.as_str());
        for mount in theirs {
            let is_read_only = mount.is_read_only || from.is_read_only;
            add(mounts, MountPlan { is_read_only, ..mount });
        }
    }
}

/// The first at a path stays: a container's own come before those of others.
fn add(mounts: &mut Vec<MountPlan>, mount: MountPlan) {
    if mounts.iter().all(|known| known.target != mount.target) {
        mounts.push(mount);
    }
}

#[cfg(test)]
mod tests {
    use core_lifecycle::{Mount, Volume, VolumesFrom};
    use runtime::ImageDefaults;

    use super::*;

    fn mount(volume: &str, path: &str, is_read_only: bool) -> Mount {
        Mount { volume: volume.to_owned(), path: path.to_owned(), is_read_only }
    }

    fn from(container: &str, is_read_only: bool) -> VolumesFrom {
        VolumesFrom { container: container.to_owned(), is_read_only }
    }

    fn spec(name: &str, mounts: Vec<Mount>, volumes_from: Vec<VolumesFrom>) -> ContainerSpec {
        ContainerSpec { name: name.to_owned(), mounts, volumes_from, ..ContainerSpec::default() }
    }

    fn said(assignment: &Assignment, name: &str, images: &BTreeMap<String, Pulled>) -> Vec<String> {
        let spec = assignment.containers.iter().find(|spec| spec.name == name).expect("it is there");
        let say = |mount: MountPlan| {
            let source = match mount.source {
                MountSource::Task(name) => format!("task {name}"),
                MountSource::Shared { name, is_provisioned } => format!("shared {name} {is_provisioned}"),
                MountSource::Host(path) => format!("host {}", path.display()),
            };
            let mode = if mount.is_read_only { "ro" } else { "rw" };
            format!("{source} {} {mode}", mount.target)
        };
        mounts(assignment, spec, images).into_iter().map(say).collect()
    }

    #[test]
    fn volumes_of_ones_own_and_of_others() {
        let shared =
            VolumeSource::Shared { is_provisioned: true, options: BTreeMap::new(), labels: BTreeMap::new() };
        let volume = |name: &str, source| Volume { name: name.to_owned(), source };
        let assignment = Assignment {
            volumes: vec![
                volume("scratch", VolumeSource::Task),
                volume("host", VolumeSource::Host("/srv/data".to_owned())),
                volume("kept", shared),
            ],
            containers: vec![
                spec("a", vec![mount("scratch", "/data/in", false), mount("host", "/data", true)], vec![]),
                spec("b", vec![mount("kept", "/data/in", false)], vec![from("a", false)]),
                spec("c", vec![], vec![from("b", true), from("c", false)]),
            ],
            ..Assignment::default()
        };
        let none = BTreeMap::new();
        assert_eq!(said(&assignment, "a", &none), ["host /srv/data /data ro", "task scratch /data/in rw"]);
        assert_eq!(
            said(&assignment, "b", &none),
            ["host /srv/data /data ro", "shared kept true /data/in rw"]
        );
        assert_eq!(
            said(&assignment, "c", &none),
            ["host /srv/data /data ro", "shared kept true /data/in ro"]
        );
        let config = ImageDefaults {
            volumes: vec!["/cache".to_owned(), "/data".to_owned()],
            ..ImageDefaults::default()
        };
        let pulled = Pulled { digest: String::new(), layers: Vec::new(), config };
        let images = BTreeMap::from([("a".to_owned(), pulled)]);
        let own = ["host /srv/data /data ro", "task a.0 /cache rw", "task scratch /data/in rw"];
        assert_eq!(said(&assignment, "a", &images), own);
        let of_others = ["host /srv/data /data ro", "task a.0 /cache ro", "shared kept true /data/in ro"];
        assert_eq!(said(&assignment, "c", &images), of_others);
    }

    #[test]
    fn fargate_has_no_swap() {
        let said = |launch_type| {
            let assignment = Assignment { launch_type, ..Assignment::default() };
            linux(&assignment, &spec("a", vec![], vec![])).max_swap_mib
        };
        assert_eq!((said(LaunchType::Fargate), said(LaunchType::Ec2)), (Some(0), None));
    }
}
