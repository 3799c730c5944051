"""Requests at full speed over connections that are kept, none of which gets lost unnoticed.

`Load` runs `service_load_clients.py` in processes of its own. Every connection asks, waits for the whole answer, checks it and asks again;
nothing is asked twice. A request fails where the connection breaks, the status is not 200, or the answer is short, long
or late. Each failure is kept with its moment (`time.monotonic`), and what is answered is counted by what the body says.
"""

import collections
import json
import subprocess
import sys
import threading
import typing
from pathlib import Path

from conftest import wait_for

CLIENTS = Path(__file__).with_name("service_load_clients.py")


class Failure(typing.NamedTuple):
    connection: int
    began: float
    ended: float
    what: str


class Load:
    """Clients that ask without a pause for as long as the block lasts.

    `paths` are dealt to the connections in turn. `answered` and `failed` count while it goes on; `versions` says how often
    each first word of a body was the answer.
    """

    def __init__(self, host, port=80, connections=8, processes=1, paths=("/",), name=None):
        self.address, self.name, self.paths = (host, port), name or host, list(paths)
        self.connections, self.processes = connections, processes
        self.sent = self.answered = 0
        self.versions, self.failures = collections.Counter(), []
        self.lock, self.running, self.threads = threading.Lock(), [], []

    def __enter__(self):
        each = self.connections // self.processes
        for number in range(self.processes):
            what = {"host": self.address[0], "port": self.address[1], "name": self.name, "paths": self.paths,
                    "first": number * each, "connections": each}
            process = subprocess.Popen([sys.executable, CLIENTS, json.dumps(what)], stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE, text=True)
            self.running.append(process)
            self.threads.append(threading.Thread(target=self.listen, args=(process,)))
            self.threads[-1].start()
        self.goes_on()
        return self

    def __exit__(self, *_):
        for process in self.running:
            process.stdin.close()
        for thread in self.threads:
            thread.join()
        codes = [process.wait() for process in self.running]
        assert not any(codes), codes
        assert self.sent == self.answered + len(self.failures), self.report()

    def listen(self, process):
        for line in process.stdout:
            told = json.loads(line)
            with self.lock:
                self.sent += told["sent"]
                self.answered += told["answered"]
                self.versions.update(told["versions"])
                self.failures += [Failure(*one) for one in told["failures"]]

    @property
    def failed(self):
        return len(self.failures)

    def goes_on(self, more=20, seconds=30):
        """Waits until requests have been answered that were not asked before."""
        goal = self.answered + self.connections + more
        wait_for(lambda: self.answered >= goal or not all(one.poll() is None for one in self.running), seconds,
                 "requests being answered")
        assert all(one.poll() is None for one in self.running), "the load ended by itself"

    def answers_with(self, *versions, seconds=60):
        """Waits until these versions alone answer."""
        def seen():
            with self.lock:
                before = self.versions.copy()
            self.goes_on(more=50)
            with self.lock:
                return set(self.versions - before) == set(versions)
        wait_for(seen, seconds, f"{versions} alone answering")

    def lost_nothing(self):
        assert not self.failures, self.report()
        assert self.answered > 0

    def report(self):
        shown = "".join(f"\n  {one.began:.3f} to {one.ended:.3f}, connection {one.connection}: {one.what}" for one in self.failures[:20])
        return (f"{self.sent} requests sent, {self.answered} answered, {self.failed} lost; "
                f"{dict(self.versions)}{shown}")
