"""Who follows a task goes on while the server starts anew; what stops tasks, and says why one stopped."""

import subprocess
import threading

import pytest

from conftest import BOXSHIP, Server, needs_root, wait_for

pytestmark = needs_root


@pytest.fixture(scope="module")
def box(toolbox_archive):
    server = Server("linux").start()
    server.run("image", "load", str(toolbox_archive), "toolbox")
    yield server
    server.down()


class Following:
    """A command whose output and errors are read while it runs."""

    def __init__(self, box, *arguments):
        self.process = subprocess.Popen([BOXSHIP, "--data-dir", box.data_dir, *arguments], text=True, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.lines, self.said = [], []
        self.readers = [threading.Thread(target=self.read, args=pair, daemon=True)
                        for pair in [(self.process.stdout, self.lines), (self.process.stderr, self.said)]]
        for reader in self.readers:
            reader.start()

    @staticmethod
    def read(pipe, to):
        for line in pipe:
            to.append(line.rstrip("\n"))

    def end(self):
        code = self.process.wait(60)
        for reader in self.readers:
            reader.join(30)
        return code


def test_followers_outlive_the_server(box):
    """`run` and `logs -f` through a kill of the server: every line once, and the task's exit code."""
    script = "i=0; while [ ! -e /tmp/end ]; do echo line $i; i=$((i+1)); sleep 0.1; done; echo end; exit 7"
    run = Following(box, "run", "--name", "ticker", "toolbox", "--", "/bin/sh", "-c", script)
    wait_for(lambda: len(run.lines) > 3, 30, "the first lines")
    logs = Following(box, "logs", "--follow", "ticker")
    wait_for(lambda: len(logs.lines) > 3, 30, "the first lines of the log")
    box.kill()
    for following in [run, logs]:
        wait_for(lambda following=following: any("tasks go on" in line for line in following.said), 30, "the word of it")
    box.start()
    for following in [run, logs]:
        before = len(following.lines)
        wait_for(lambda following=following, before=before: len(following.lines) > before + 3, 30, "more lines")
    box.run("exec", "ticker", "--", "/bin/touch", "/tmp/end")
    assert (run.end(), logs.end()) == (7, 0)
    for following in [run, logs]:
        assert following.lines == [f"line {n}" for n in range(len(following.lines) - 1)] + ["end"]


def test_stop(box):
    """Several tasks are stopped by name, with time for last words; a name that is none stops nothing."""
    script = "trap 'echo bye; exit 5' TERM; echo up; while :; do sleep 0.1; done"
    for name in ["one", "two"]:
        box.run("run", "--detach", "--name", name, "toolbox", "--", "/bin/sh", "-c", script)
        wait_for(lambda name=name: box.run("logs", name).stdout == "up\n", 30, "the trap")
    missing = box.run("stop", "one", "nothing", check=False)
    assert missing.returncode == 1
    assert "nothing" in missing.stderr
    assert len(box.run("ps").stdout.splitlines()) == 3
    assert len(box.run("stop", "one", "two", "--reason", "enough of them").stdout.split()) == 2
    assert len(box.run("ps").stdout.splitlines()) == 1
    assert box.run("logs", "one").stdout == "up\nbye\n"
    stopped = [line for line in box.run("ps", "--all").stdout.splitlines() if "enough of them" in line]
    assert len(stopped) == 2
    assert all("STOPPED (5)" in line for line in stopped)


def test_ps_says_why(box):
    """A container's reason says more than that its task failed to start."""
    assert box.run("run", "--name", "wrong", "toolbox", "--", "/bin/nothing", check=False).returncode == 125
    [line] = [line for line in box.run("ps", "--all").stdout.splitlines() if "wrong" in line]
    assert "CannotStartContainerError" in line
    assert "/bin/nothing" in line
