"""What a container cannot do: Docker's default confinement, seen from inside."""

import os

from conftest import needs_root
from toolbox import printed

pytestmark = needs_root


def test_status(box):
    lines = printed(box, "grep -E '^(Cap|Seccomp:|NoNewPrivs)' /proc/self/status")
    status = dict(line.split(":\t") for line in lines)
    docker = "00000000a80425fb"
    assert status == {"CapInh": "0" * 16, "CapPrm": docker, "CapEff": docker, "CapBnd": docker, "CapAmb": "0" * 16,
                      "NoNewPrivs": "0", "Seccomp": "2"}


def test_masked_paths(box):
    """Present on the host or not, nothing can be read of them."""
    names = ("/proc/acpi /proc/kcore /proc/keys /proc/latency_stats /proc/timer_list /proc/sched_debug /proc/scsi "
             "/proc/interrupts /proc/asound /sys/firmware /sys/devices/virtual/powercap")
    lines = printed(box, f"""
for at in {names}; do
  if [ -d $at ]; then echo $at $(ls -A $at | wc -l) entries; elif [ -e $at ]; then echo $at $(head -c 10 $at | wc -c) bytes; fi
done""")
    assert len(lines) >= 3
    bad = [line for line in lines if not line.endswith((" 0 entries", " 0 bytes"))]
    assert bad == []


def test_kernel_settings_are_read_only(box):
    lines = printed(box, """
for at in /proc/sys/kernel/hostname /proc/sys/net/ipv4/ip_forward /proc/sys/vm/drop_caches /proc/sysrq-trigger \
    /proc/irq/default_smp_affinity /proc/sys/kernel/core_pattern; do
  [ -e $at ] && (echo 1 > $at) 2>/dev/null && echo $at written
done
touch /sys/x 2>/dev/null && echo /sys written
mount -o remount,rw /proc/sys 2>/dev/null && echo remounted
umount /proc/sys 2>/dev/null && echo unmounted
echo tried""")
    assert lines == ["tried"]


def test_control_groups(box):
    """Its own group, as the root of what it sees, and read-only; no release agent to write."""
    lines = printed(box, """
cut -d: -f3 /proc/self/cgroup | sort -u
find /sys/fs/cgroup -type d | grep -c boxship
for at in $(find /sys/fs/cgroup -name memory.limit_in_bytes -o -name memory.max -o -name release_agent -o -name cgroup.procs); do
  (echo 0 > $at) 2>/dev/null && echo $at written
done
mkdir /sys/fs/cgroup/x 2>/dev/null && echo made
mkdir /sys/fs/cgroup/memory/x 2>/dev/null && echo made
echo tried""")
    assert lines == ["/", "0", "tried"]


def test_processes(box):
    """Its own program is process 1, and none of the host's is there."""
    script = "echo $$; ls /proc | grep -c '^[0-9]'; kill -0 %d 2>&1; [ -e /proc/%d ] || echo hidden" % (os.getpid(), os.getpid())
    lines = printed(box, script)
    assert lines[0] == "1"
    assert int(lines[1]) <= 4
    assert lines[2].endswith("No such process")
    assert lines[3] == "hidden"


def test_forbidden_calls(box):
    lines = printed(box, """
try() { "$@" >/tmp/out 2>&1 && echo "$* worked" || tail -n 1 /tmp/out; }
try mount -t tmpfs none /tmp
try mount -t proc none /proc
try mount -o bind /etc /tmp
try umount /dev/shm
try unshare -U true
try unshare -m true
try unshare -n true
try unshare -p true
try pivot_root / /
try swapon /etc/passwd
try hostname other
try date -s 2020-01-01
try chroot / true
try insmod /etc/passwd
try reboot -f
try losetup /dev/loop0 /etc/passwd
try nsenter -t 1 -n true
""".replace("tail -n 1", "tail -n 1"))
    worked = [line for line in lines if line.endswith(" worked")]
    assert worked == ["chroot / true worked"]
    assert len(lines) == 17
    denied = ("Operation not permitted", "permission denied", "Permission denied", "are you root?")
    others = [line for line in lines if not line.endswith(denied) and line not in worked]
    # A device or file that is not there, or a call that the kernel itself refuses on this path.
    assert all("No such file" in line or "Invalid argument" in line for line in others), others


def test_devices(box):
    lines = printed(box, """
cd /dev; for at in *; do [ -c $at ] && echo char $at $(stat -c %a $at); [ -b $at ] && echo block $at; [ -L $at ] && echo link $at $(readlink $at); done
mknod /tmp/vda b 254 0 && dd if=/tmp/vda of=/dev/null count=1 2>&1 | tail -n 1
mknod /tmp/mem c 1 1 && dd if=/tmp/mem of=/dev/null count=1 2>&1 | tail -n 1
mknod /tmp/kmsg c 1 11 && (head -c 1 /tmp/kmsg) 2>&1
mknod /tmp/null c 1 3 && echo x > /tmp/null && echo null
head -c 4 /dev/urandom | wc -c
: < /dev/tty || true
df /dev/shm | tail -n 1 | awk '{print $2}'""")
    characters = ["full", "null", "random", "tty", "urandom", "zero"]
    assert sorted(line for line in lines if line.startswith("char")) == [f"char {name} 666" for name in characters] or (
        sorted(line for line in lines if line.startswith("char")) == sorted(
            [f"char {name} 666" for name in characters] + [line for line in lines if line.startswith("char ptmx")]))
    assert [line for line in lines if line.startswith("block")] == []
    links = {line.split()[1]: line.split()[2] for line in lines if line.startswith("link")}
    assert links == {"fd": "/proc/self/fd", "ptmx": "pts/ptmx", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1",
                     "stderr": "/proc/self/fd/2"}
    assert sum(line.endswith("Operation not permitted") for line in lines) == 3
    assert "null" in lines
    assert "4" in lines
    assert "65536" in lines


def test_mounts(box):
    """None of the host's paths, and none that could be written outside the container."""
    lines = printed(box, "cut -d' ' -f2-4 /proc/mounts")
    at = {line.split()[0]: line.split()[1:] for line in lines}
    assert at["/"][0] == "overlay"
    assert {"/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/sys", "/etc/resolv.conf", "/etc/hosts", "/etc/hostname"} <= set(at)
    for name, (kind, options) in at.items():
        options = options.split(",")
        if name.startswith("/sys") or name in ["/proc/sys", "/proc/irq", "/proc/bus", "/proc/fs", "/proc/sysrq-trigger"]:
            assert "ro" in options, (name, kind, options)
        if name not in ["/", "/etc/resolv.conf", "/etc/hosts", "/etc/hostname"]:
            assert "nosuid" in options, (name, kind, options)


def test_descriptors(box):
    """Nothing of the platform's is left open in the program."""
    lines = printed(box, "ls -l /proc/1/fd | sed -n 's/.* -> //p'; readlink /proc/1/cwd; readlink /proc/1/exe")
    assert len(lines) == 5, lines
    assert lines[0] == "/dev/null"
    assert all(line.startswith("pipe:") for line in lines[1:3])
    assert lines[3:] == ["/", "/bin/busybox"]


def test_identity(box):
    """A host name of its own, and namespaces that are not the host's."""
    lines = printed(box, "readlink /proc/self/ns/*; hostname")
    host = {os.readlink(f"/proc/self/ns/{name}") for name in ["mnt", "uts", "pid", "ipc", "cgroup", "net"]}
    assert not host & set(lines)
    assert lines[-1] != os.uname().nodename
