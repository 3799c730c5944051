//! What a container may not do: Docker's default.

use crate::rig::{Rig, output};
use oci_spec::runtime::LinuxNamespaceType;

#[test]
fn capabilities_are_dockers() {
    let Some(text) = output("grep Cap /proc/self/status") else { return };
    let expected = "CapInh:\t0000000000000000\nCapPrm:\t00000000a80425fb\nCapEff:\t00000000a80425fb\n\
                    CapBnd:\t00000000a80425fb\nCapAmb:\t0000000000000000\n";
    // CVE-2022-29162: nothing inheritable.
    assert_eq!(text, expected);
}

#[test]
fn seccomp_is_on_and_no_new_privileges_follows_the_specification() {
    let script = "grep -E '^(NoNewPrivs|Seccomp):' /proc/self/status";
    let Some(mut rig) = Rig::new(script) else { return };
    assert_eq!(rig.run().stdout, "NoNewPrivs:\t0\nSeccomp:\t2\n");
    rig.spec.process_mut().as_mut().unwrap().set_no_new_privileges(Some(true));
    assert_eq!(rig.run().stdout, "NoNewPrivs:\t1\nSeccomp:\t2\n");
}

#[test]
fn forbidden_system_calls_are_not_permitted() {
    // CVE-2022-0492: no new user namespace, hence no mount of a group with release_agent.
    let script = "unshare -U true; unshare -m true; mount -t tmpfs x /tmp; chroot / true && echo chroot";
    let Some(text) = output(script) else { return };
    let refused = text
        .lines()
        .filter(|line| line.contains("peration not permitted") || line.contains("ermission denied"));
    assert_eq!(refused.count(), 3, "{text}");
    assert!(text.contains("chroot"), "CAP_SYS_CHROOT is one of the defaults: {text}");
}

#[test]
fn seccomp_says_no_even_with_every_right() {
    // All capabilities, but the profile of the default set: what stops these is the filter alone.
    let script = "unshare -U true; mount -t tmpfs x /tmp; grep CapEff /proc/self/status";
    let Some(mut rig) = Rig::new(script) else { return };
    let mut caps = launch::defaults::default_capabilities();
    caps.insert(oci_spec::runtime::Capability::SysAdmin);
    rig.spec.process_mut().as_mut().unwrap().set_capabilities(Some(launch::defaults::capabilities(&caps)));
    let ended = rig.run();
    assert!(ended.stdout.contains("a82425fb"), "{ended:?}");
    // Busybox words the second its own way.
    assert!(ended.stderr.contains("Operation not permitted"), "{ended:?}");
    assert!(ended.stderr.contains("mount: permission denied"), "{ended:?}");
}

#[test]
fn masked_paths_are_empty() {
    let script = "cat /proc/kcore /proc/keys /proc/timer_list /proc/interrupts 2>/dev/null | wc -c; \
                  for d in /proc/acpi /proc/scsi /sys/firmware; do test -e $d && ls -A $d; done; \
                  stat -c %t:%T /proc/interrupts; echo x > /proc/interrupts && echo null";
    let Some(text) = output(script) else { return };
    assert_eq!(text, "0\n1:3\nnull\n");
}

#[test]
fn readonly_paths_refuse_writes() {
    let script = "for f in /proc/sys/kernel/domainname /proc/sysrq-trigger /sys/kernel/mm/ksm/run \
                  /proc/sys/vm/drop_caches; do test -e $f && echo 1 > $f && echo WRITTEN $f; done; \
                  mkdir /sys/fs/cgroup/x && echo MADE; echo done";
    let Some(rig) = Rig::new(script) else { return };
    let ended = rig.run();
    assert_eq!(ended.stdout, "done\n", "{ended:?}");
    assert!(ended.stderr.matches("Read-only file system").count() >= 3, "{ended:?}");
}

#[test]
fn a_readonly_root_stays_readonly() {
    let script = "touch /x; touch /etc/x; touch /dev/shm/x && touch /dev/y && echo rest";
    let Some(mut rig) = Rig::new(script) else { return };
    rig.spec.root_mut().as_mut().unwrap().set_readonly(Some(true));
    let ended = rig.run();
    assert_eq!(ended.stderr.matches("Read-only file system").count(), 2, "{ended:?}");
    assert_eq!(ended.stdout, "rest\n");
}

#[test]
fn devices_other_than_the_defaults_cannot_be_opened() {
    // 1:1 is memory, 10:229 FUSE. Nodes may be made, as with Docker, but not opened.
    let script = "mknod /tmp/mem c 1 1 && cat /tmp/mem; mknod /tmp/fuse c 10 229 && cat /tmp/fuse; \
                  mknod /tmp/null c 1 3 && cat /tmp/null && echo null";
    let Some(rig) = Rig::new(script) else { return };
    let ended = rig.run();
    assert_eq!(ended.stderr.matches("peration not permitted").count(), 2, "{ended:?}");
    assert_eq!(ended.stdout, "null\n");
}

#[test]
fn only_its_own_group_shows() {
    let script = "cat /proc/self/cgroup | cut -d: -f3 | sort -u; ls /sys/fs/cgroup; \
                  cat /sys/fs/cgroup/pids/cgroup.procs 2>/dev/null || cat /sys/fs/cgroup/cgroup.procs";
    let Some(rig) = Rig::new(script) else { return };
    let ended = rig.run();
    let lines: Vec<&str> = ended.stdout.lines().collect();
    assert_eq!(lines[0], "/", "the group is the root of its namespace: {ended:?}");
    assert!(lines.contains(&"1"), "its first process is in it: {ended:?}");
    assert!(!ended.stdout.contains("launch-test"), "{ended:?}");
}

#[test]
fn the_hosts_mounts_are_gone() {
    let Some(rig) = Rig::new("cut -d' ' -f5 /proc/self/mountinfo") else { return };
    let ended = rig.run();
    let expected = ["/", "/proc", "/dev", "/dev/pts", "/sys", "/dev/mqueue", "/dev/shm"];
    for mount in expected {
        assert!(ended.stdout.lines().any(|line| line == mount), "{mount}: {ended:?}");
    }
    let strange = ended.stdout.lines().filter(|line| {
        !expected.contains(line) && !["/proc/", "/sys/"].iter().any(|top| line.starts_with(top))
    });
    assert_eq!(strange.count(), 0, "{ended:?}");
}

#[test]
fn namespaces_differ_from_ours() {
    let kinds = ["mnt", "uts", "pid", "ipc", "cgroup", "net"];
    let Some(text) = output(&kinds.map(|kind| format!("readlink /proc/self/ns/{kind}")).join("; ")) else {
        return;
    };
    for (kind, theirs) in kinds.iter().zip(text.lines()) {
        let ours = std::fs::read_link(format!("/proc/self/ns/{kind}")).unwrap();
        assert_ne!(ours.to_string_lossy(), theirs);
    }
}

#[test]
fn a_network_namespace_is_joined_by_path() {
    let Some(mut rig) = Rig::new("readlink /proc/self/ns/net") else { return };
    let namespaces = launch::defaults::namespaces(Some(std::path::Path::new("/proc/self/ns/net")));
    assert!(namespaces.iter().any(|one| one.typ() == LinuxNamespaceType::Network && one.path().is_some()));
    rig.spec.linux_mut().as_mut().unwrap().set_namespaces(Some(namespaces));
    let ours = std::fs::read_link("/proc/self/ns/net").unwrap();
    assert_eq!(rig.run().stdout.trim(), ours.to_string_lossy());
}

#[test]
fn sysctls_of_its_own_namespaces_are_set() {
    let Some(mut rig) = Rig::new("cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/msgmax")
    else {
        return;
    };
    let values = [("net.ipv4.ip_unprivileged_port_start", "7"), ("kernel.msgmax", "4321")];
    let values = values.map(|(name, value)| (name.to_owned(), value.to_owned()));
    rig.spec.linux_mut().as_mut().unwrap().set_sysctl(Some(values.into_iter().collect()));
    assert_eq!(rig.run().stdout, "7\n4321\n");
}
