"""ECS Exec: commands in running containers, by the AWS CLI, by clients that are not ours, and by `boxship exec`."""

import concurrent.futures
import fcntl
import json
import os
import pty
import re
import select
import shutil
import signal
import stat
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from conftest import AWS_CLI, BOXSHIP, define, execution_role, needs_root, refused, run_task, running, stopped, wait_for
from test_examples import script

pytestmark = needs_root

HERE = Path(__file__).parent
NODE_CLIENTS = os.environ.get("NODE_CLIENTS")
# Types into a shell: waits for the prompt, and for an answer that is not what was typed.
SHELL = [["# ", "echo $((6*7)); stty size\r"], ["42", "exit\r"]]


def start(server, family, *names, **members):
    """A running task of containers that sleep; answers its ARN."""
    # A first process takes no SIGTERM that it does not ask for.
    containers = [{"name": name, "image": "toolbox", "command": ["sleep", "3600"], "stopTimeout": 2}
                  for name in names or ["app"]]
    definition = define(server, family, containers, taskRoleArn=execution_role(server))
    [arn] = run_task(server, definition, **{"enableExecuteCommand": True, **members})
    running(server, arn)
    return arn


@pytest.fixture(scope="module")
def task(box):
    return start(box, "shelled")


def short(arn):
    return arn.rsplit("/", 1)[1]


def boxship(server, *arguments, **options):
    return subprocess.run([BOXSHIP, "--data-dir", server.data_dir, "exec", *arguments], capture_output=True,
                          timeout=60, **{"stdin": subprocess.DEVNULL, **options})


def popen(server, *arguments, **options):
    return subprocess.Popen([BOXSHIP, "--data-dir", server.data_dir, "exec", *arguments], **options)


def plugin(directory):
    """A `session-manager-plugin` for the PATH."""
    path = directory / "session-manager-plugin"
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{HERE}/session_plugin.py" "$@"\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return directory


def execute(server, directory, arn, command, **variables):
    """`aws ecs execute-command` with the stand-in; answers what was shown, and how the session ended."""
    if AWS_CLI is None:
        pytest.skip("left out: the AWS CLI is not installed")
    if shutil.which("openssl") is None:
        pytest.skip("left out: openssl is not installed")
    environment = {**os.environ, "AWS_ENDPOINT_URL": server.url, "AWS_DEFAULT_REGION": "us-east-1",
                   "AWS_ACCESS_KEY_ID": "000000000000", "AWS_SECRET_ACCESS_KEY": "x", "AWS_PAGER": "",
                   "PATH": f"{plugin(directory)}:{os.environ['PATH']}",
                   **{name: json.dumps(value) for name, value in variables.items()}}
    done = subprocess.run([AWS_CLI, "ecs", "execute-command", "--task", arn, "--interactive", "--command", command],
                          env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, json.loads(done.stderr.strip().splitlines()[-1])


def test_a_command_by_the_aws_cli(box, task, tmp_path):
    shown, end = execute(box, tmp_path, task, "sh -c 'echo one two; id -u; tty >/dev/null && echo terminal; exit 3'")
    assert shown.splitlines()[1:] == ["one two", "0", "terminal"]
    # AWS: an interactive session tells no exit code.
    assert end == {"closed": "the agent closed the session", "exit": None, "agent": "3.3.0.0"}


def test_a_shell_by_the_aws_cli(box, task, tmp_path):
    shown, end = execute(box, tmp_path, task, "/bin/sh", SESSION_SCRIPT=SHELL, SESSION_SIZE=[101, 33])
    assert "33 101" in shown
    assert end["closed"] == "the agent closed the session"


def test_a_command_is_split_and_no_shell_sees_it(box, task, tmp_path):
    shown, _ = execute(box, tmp_path, task, r"""echo $HOME 'a  b' "c \"d\"" e\ f *""")
    assert shown.splitlines()[1] == '$HOME a  b c "d" e f *'


def test_a_program_that_is_not_there(box, task, tmp_path):
    _, end = execute(box, tmp_path, task, "nonesuch")
    assert "Unable to start command" in end["closed"]
    assert "nonesuch" in end["closed"]


def test_a_shell_by_ssm_session(box, task):
    if NODE_CLIENTS is None:
        pytest.skip("left out: npm is not installed")
    session = box.client("ecs").execute_command(task=task, interactive=True, command="/bin/sh")["session"]
    done = subprocess.run(
        ["node", "--experimental-websocket", HERE / "session_node.cjs", json.dumps(session), json.dumps(SHELL)],
        env={**os.environ, "NODE_PATH": f"{NODE_CLIENTS}/node_modules"}, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "33 101" in done.stdout


def test_exit_codes_and_streams(box, task):
    done = boxship(box, short(task), "--", "sh", "-c", "echo out; echo errors >&2; exit 42")
    assert (done.returncode, done.stdout, done.stderr) == (42, b"out\n", b"errors\n")
    done = boxship(box, short(task)[:8], "sh", "-c", "kill -9 $$")
    assert done.returncode == 137
    done = boxship(box, "shelled", "nonesuch")
    assert done.returncode == 127, done.stderr
    assert b"nonesuch" in done.stderr


def test_pipes(box, task):
    data = os.urandom(2_000_000)
    done = boxship(box, short(task), "cat", input=data, stdin=None)
    assert done.returncode == 0, done.stderr
    assert done.stdout == data
    done = boxship(box, task, "wc", "-c", input=b"", stdin=None)
    assert done.stdout == b"0\n"


def test_arguments_come_as_they_are(box, task):
    words = ["a b", "", "'", '"', "\\", "$HOME", "*", "#no comment", "-c", "ä€😀", "line\nbreak"]
    done = boxship(box, short(task), "--", "sh", "-c", 'for word; do printf "%s|" "$word"; done', "sh", *words)
    assert done.stdout.decode() == "".join(f"{word}|" for word in words)


def test_a_reader_that_goes_ends_the_program(box, task):
    process = popen(box, short(task), "yes", "endless words", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    assert len(process.stdout.read(20_000_000)) == 20_000_000
    process.stdout.close()
    assert process.wait(timeout=20) == 141
    gone = lambda: b"endless words" not in boxship(box, short(task), "ps").stdout
    wait_for(gone, 20, "the end of the program")


def test_a_client_that_is_killed_ends_the_program(box, task):
    process = popen(box, short(task), "sh", "-c", "echo up; sleep 4711; true", stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"up\n"
    process.kill()
    process.wait()
    wait_for(lambda: b"4711" not in boxship(box, short(task), "ps").stdout, 20, "the end of the program")


def test_what_is_left_running_holds_no_session(box, task):
    done = boxship(box, short(task), "sh", "-c", "sleep 601 & echo hi; exit 3")
    assert (done.returncode, done.stdout) == (3, b"hi\n"), done.stderr
    assert b"sleep 601" in boxship(box, short(task), "ps").stdout


class Terminal:
    """A process with a terminal of its own."""

    def __init__(self, server, *arguments, rows=24, columns=80):
        self.master, slave = pty.openpty()
        self.resize(rows, columns)
        self.process = popen(server, *arguments, stdin=slave, stdout=slave, stderr=slave)
        os.close(slave)
        self.text = ""

    def resize(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def wait(self, pattern, seconds=20):
        """Reads until the pattern comes; what was read goes."""
        end = time.monotonic() + seconds
        while not re.search(pattern, self.text):
            ready, _, _ = select.select([self.master], [], [], max(0, end - time.monotonic()))
            assert ready, f"{pattern} did not come: {self.text}"
            self.text += os.read(self.master, 4096).decode(errors="replace")
        self.text = self.text[re.search(pattern, self.text).end():]

    def type(self, text):
        os.write(self.master, text.encode())

    def end(self):
        code = self.process.wait(timeout=20)
        os.close(self.master)
        return code


def test_a_terminal(box, task):
    terminal = Terminal(box, short(task), rows=33, columns=101)
    terminal.wait("# ")
    terminal.type("stty size; echo $TERM $LANG $FROM_IMAGE\r")
    terminal.wait("33 101\r\nxterm-256color C.UTF-8 yes")
    terminal.resize(44, 111)
    terminal.process.send_signal(signal.SIGWINCH)
    terminal.type("while [ \"$(stty size)\" != '44 111' ]; do sleep 0.05; done; echo res''ized\r")
    terminal.wait("resized")
    # Ctrl-C is the program's, not ours.
    terminal.type("sh -c 'echo sle\"\"eping; exec sleep 1000'\r")
    terminal.wait("sleeping")
    terminal.type("\x03")
    terminal.wait("# ")
    terminal.type("exit 9\r")
    assert terminal.end() == 9


def test_ten_at_a_time(box, task):
    def one(number):
        script = f"for i in $(seq 200); do echo {number} $i; done; cat; exit {number}"
        return boxship(box, short(task), "sh", "-c", script, input=b"x" * 100_000, stdin=None)

    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        for number, done in enumerate(pool.map(one, range(10))):
            assert done.returncode == number, done.stderr
            lines = "".join(f"{number} {i}\n" for i in range(1, 201)).encode()
            assert done.stdout == lines + b"x" * 100_000


def test_a_session_ends_with_its_task(box):
    arn = start(box, "short-lived")
    process = popen(box, short(arn), "sh", "-c", "echo up; exec sleep 1000", stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout.readline() == b"up\n"
    box.client("ecs").stop_task(task=arn)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 137, errors
    assert b"The container app has stopped." in errors
    stopped(box, arn)
    done = boxship(box, short(arn), "true")
    assert done.returncode == 1
    assert b"is STOPPED" in done.stderr


def test_what_is_refused_says_what_to_do(box, task):
    plain = start(box, "plain", enableExecuteCommand=False)
    refused("InvalidParameterException", box.client("ecs").execute_command, "execute command was not enabled",
            task=plain, interactive=True, command="sh")
    done = boxship(box, short(plain), "true")
    assert done.returncode == 1
    assert b"--enable-execute-command" in done.stderr
    done = boxship(box, "nonesuch", "true")
    assert b"boxship ps" in done.stderr
    done = boxship(box, short(task), "-c", "other", "true")
    assert b"no container other, only: app" in done.stderr
    two = start(box, "two", "first", "second")
    assert b"-c: first, second" in boxship(box, short(two), "true").stderr
    assert boxship(box, short(two), "-c", "second", "true").returncode == 0


def test_tasks_of_boxship_run(box):
    box.run("run", "--detach", "--name", "ran", "toolbox", "--", "sleep", "3600")
    done = boxship(box, "ran", "echo", "hello")
    assert (done.returncode, done.stdout) == (0, b"hello\n"), done.stderr


def test_a_token_opens_once(box, task):
    """And only its own session; the second client is told."""
    if NODE_CLIENTS is None:
        pytest.skip("left out: npm is not installed")
    session = box.client("ecs").execute_command(task=task, interactive=True, command="echo once")["session"]

    def attempt(**changes):
        return subprocess.run(
            ["node", "--experimental-websocket", HERE / "session_node.cjs", json.dumps({**session, **changes}), "[]"],
            env={**os.environ, "NODE_PATH": f"{NODE_CLIENTS}/node_modules"}, capture_output=True, text=True, timeout=60)

    assert "once" not in attempt(tokenValue="guessed").stdout
    assert "once" in attempt().stdout
    assert "once" not in attempt().stdout


def test_the_example(box, tmp_path):
    if AWS_CLI is None or shutil.which("openssl") is None:
        pytest.skip("left out: the AWS CLI or openssl is not installed")
    (tmp_path / "boxship").symlink_to(Path(BOXSHIP).resolve())
    path = f"{plugin(tmp_path)}:{Path(AWS_CLI).resolve().parent}:{os.environ['PATH']}"
    said = script(box, "32-shell.sh", tmp_path, IMAGE="toolbox", PATH=path, BOXSHIP_DATA_DIR=str(box.data_dir))
    lines = said.splitlines()
    assert "ExecuteCommandAgent\tRUNNING" in lines
    assert any(re.fullmatch(r"this is ip-172-31-[0-9-]+\S*, user 0", line) for line in lines), said
    assert lines[-3:] == ["read: some input", "exit code 7", "STOPPED"]


def test_a_server_that_ends_says_so(box, task):
    """Last: it ends the module's server, and starts it again."""
    process = popen(box, short(task), "sh", "-c", "echo up; sleep 4712; true", stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout.readline() == b"up\n"
    box.process.terminate()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 255, errors
    assert b"Boxship is shutting down." in errors
    box.process.wait(timeout=60)
    box.start()
    assert running(box, task)["lastStatus"] == "RUNNING"
    wait_for(lambda: b"4712" not in boxship(box, short(task), "ps").stdout, 20, "the end of the program")
