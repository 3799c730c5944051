"""A kill -9 of the server: tasks run on, logs have no gap, exits are noticed.

A module of its own: one server at a time can have the host's route to the default VPC.
"""

import time

from conftest import Server, address, define, describe, fetch, log, needs_root, run_task, running, stopped, wait_for

pytestmark = needs_root


def test_kill_9(hello_archive):
    server = Server("linux").start()
    try:
        server.run("image", "push", str(hello_archive), "hello:1")
        definition = define(server, "hello", [{"image": f"{server.registry}/hello:1"}])
        [arn] = run_task(server, definition)
        at = address(running(server, arn))
        for n in range(3):
            fetch(at, f"/before-{n}")
        server.kill()
        for n in range(3):
            fetch(at, f"/while-away-{n}")
        server.start()
        for n in range(3):
            fetch(at, f"/after-{n}")
        expected = ["listening on port 80"] + [
            f"GET /{when}-{n} HTTP/1.1 200" for when in ["before", "while-away", "after"] for n in range(3)]
        wait_for(lambda: log(server, "hello", arn) == expected, 5, "a log without gap or repetition")
        assert describe(server, arn)["lastStatus"] == "RUNNING"
    finally:
        server.down()


def test_an_end_while_the_server_is_away_is_noticed(busybox_archive):
    server = Server("linux").start()
    try:
        server.run("image", "load", str(busybox_archive), "busybox:1")
        definition = define(server, "ends", [{"image": "busybox:1", "entryPoint": ["/busybox", "sh", "-c"], "command": [
            "echo begins; while [ ! -e /go ]; do /busybox sleep 0.1; done"]}])
        [arn] = run_task(server, definition)
        running(server, arn)
        [short] = run_task(server, define(server, "short", [{"image": "busybox:1", "entryPoint": ["/busybox", "sh", "-c"],
                                                            "command": ["/busybox sleep 2; echo last words; exit 7"]}]))
        running(server, short)
        server.kill()
        time.sleep(2.5)
        server.start()
        task = stopped(server, short)
        assert task["containers"][0]["exitCode"] == 7
        assert task["stopCode"] == "EssentialContainerExited"
        assert log(server, "short", short) == ["last words"]
        assert describe(server, arn)["lastStatus"] == "RUNNING"
    finally:
        server.down()
