"""What a container cannot do: Docker's default confinement, seen from inside."""

import errno
import os
import shutil
import subprocess

import pytest

import toolbox
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


def test_forbidden_commands(box):
    commands = """mount -t tmpfs none /tmp
mount -t proc none /proc
mount -o bind /etc /tmp
umount /dev/shm
unshare -U true
unshare -m true
unshare -n true
unshare -p true
pivot_root / /
swapon /etc/passwd
hostname other
chroot / true
insmod /etc/passwd
reboot -f
losetup /dev/loop0 /etc/passwd
nsenter -t 1 -n true""".splitlines()
    lines = printed(box, 'try() { "$@" >/tmp/out 2>&1 && echo worked || tail -n 1 /tmp/out; }\n'
                    + "\n".join(f"try {command}" for command in commands))
    found = dict(zip(commands, lines, strict=True))
    assert [command for command, line in found.items() if line == "worked"] == ["chroot / true"]
    denied = ("Operation not permitted", "ermission denied", "are you root?)")
    others = {command: line for command, line in found.items() if line != "worked" and not line.endswith(denied)}
    assert set(others) <= {"losetup /dev/loop0 /etc/passwd"}, others


CALLS = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>
#define TRY(name, ...) do { errno = 0; long r = syscall(SYS_##name, ##__VA_ARGS__); \
    printf("%s %d\n", #name, r < 0 ? errno : 0); } while (0)
int main(void) {
    TRY(keyctl, 0, -3, 0, 0, 0);
    TRY(add_key, "user", "a", "b", 1L, -3);
    TRY(request_key, "user", "a", 0, -3);
    TRY(bpf, 0, 0, 0);
    TRY(perf_event_open, 0, 0, -1, -1, 0);
    TRY(userfaultfd, 0);
    TRY(kexec_load, 0, 0, 0, 0);
    TRY(open_by_handle_at, -1, 0, 0);
    TRY(mount, 0, 0, 0, 0, 0);
    TRY(move_mount, -1, "", -1, "", 0);
    TRY(fsopen, "tmpfs", 0);
    TRY(setns, -1, 0);
    TRY(unshare, CLONE_NEWUSER);
    TRY(clone, CLONE_NEWUSER, 0, 0, 0, 0);
    TRY(io_uring_setup, 1, 0);
    TRY(init_module, 0, 0, "");
    TRY(acct, 0);
    TRY(quotactl, 0, 0, 0, 0);
    TRY(settimeofday, 0, 0);
    TRY(syslog, 3, 0, 0);
    TRY(clone3, 0, 0);
    TRY(getpid);
    return 0;
}
"""


def test_forbidden_calls(box, tmp_path):
    """Refused by the filter, before the kernel looks at the arguments."""
    if shutil.which("cc") is None:
        pytest.skip("left out: no C compiler")
    (tmp_path / "calls.c").write_text(CALLS)
    made = subprocess.run(["cc", "-static", "-o", tmp_path / "calls", tmp_path / "calls.c"], capture_output=True, text=True)
    if made.returncode:
        pytest.skip("left out: no static C library")
    image = toolbox.archive(tmp_path / "calls.tar", files=[("bin/calls", 0o755, (tmp_path / "calls").read_bytes())])
    box.run("image", "load", str(image), "calls")
    found = dict(line.split() for line in printed(box, "calls", image="calls"))
    assert found.pop("getpid") == "0"
    assert found.pop("clone3") == str(errno.ENOSYS), "libraries fall back to clone"
    assert {name: code for name, code in found.items() if code != str(errno.EPERM)} == {}


def test_devices(box):
    lines = printed(box, """
find /dev -type c ! -path '/dev/pts/*' -exec stat -c 'char %n %a' '{}' ';'
find /dev -type b -exec echo block '{}' ';'
for at in $(find /dev -type l); do echo link $at $(readlink $at); done
mknod /tmp/vda b 254 0 && dd if=/tmp/vda of=/dev/null count=1 2>&1 | tail -n 1
mknod /tmp/mem c 1 1 && dd if=/tmp/mem of=/dev/null count=1 2>&1 | tail -n 1
mknod /tmp/kmsg c 1 11 && head -c 1 /tmp/kmsg 2>&1
mknod /tmp/null c 1 3 && echo x > /tmp/null && echo null
echo $(head -c 4 /dev/urandom | wc -c) of chance
echo shm $(df /dev/shm | tail -n 1 | awk '{print $2}')""")
    characters = ["full", "null", "random", "tty", "urandom", "zero"]
    assert sorted(line for line in lines if line.startswith("char")) == [f"char /dev/{name} 666" for name in characters]
    assert [line for line in lines if line.startswith("block")] == []
    links = {line.split()[1]: line.split()[2] for line in lines if line.startswith("link")}
    assert links == {"/dev/fd": "/proc/self/fd", "/dev/ptmx": "pts/ptmx", "/dev/stdin": "/proc/self/fd/0",
                     "/dev/stdout": "/proc/self/fd/1", "/dev/stderr": "/proc/self/fd/2"}
    assert sum(line.endswith("Operation not permitted") for line in lines) == 3
    assert {"null", "4 of chance", "shm 65536"} <= set(lines)


def test_mounts(box):
    """None of the host's paths, and none that could be written outside the container."""
    lines = printed(box, "cut -d' ' -f2-4 /proc/mounts")
    at = {line.split()[0]: line.split()[1:] for line in lines}
    files = {"/etc/resolv.conf", "/etc/hosts", "/etc/hostname"}
    assert at["/"][0] == "overlay"
    assert files | {"/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/sys"} <= set(at)
    for name, (kind, options) in at.items():
        options = options.split(",")
        assert name.split("/")[1] in ["", "proc", "dev", "sys"] or name in files, (name, kind)
        if name.startswith("/sys") or name in ["/proc/sys", "/proc/irq", "/proc/bus", "/proc/fs", "/proc/sysrq-trigger"]:
            assert "ro" in options, (name, kind, options)
        # Files are masked by the device that is always empty.
        if name != "/" and name not in files and kind != "devtmpfs":
            assert {"nosuid", "ro"} & set(options), (name, kind, options)


def test_descriptors(box):
    """Nothing of the platform's is left open in the program."""
    script = "for at in /proc/1/fd/*; do readlink $at; done; readlink /proc/1/cwd; readlink /proc/1/exe"
    stdin, stdout, stderr, *others = printed(box, script)
    assert stdin == "/dev/null"
    assert stdout.startswith("pipe:")
    assert stderr.startswith("pipe:")
    assert others == ["/", "/bin/busybox"]


def test_identity(box):
    """A host name of its own, and namespaces that are not the host's."""
    lines = printed(box, "readlink /proc/self/ns/*; hostname")
    host = {os.readlink(f"/proc/self/ns/{name}") for name in ["mnt", "uts", "pid", "ipc", "cgroup", "net"]}
    assert not host & set(lines)
    assert lines[-1] != os.uname().nodename
