"""The clients of `service_load`: one process that keeps some connections busy, and tells what happens on standard output."""

import collections
import errno
import json
import os
import selectors
import socket
import sys
import time

LATE = 60
PAUSE = 0.01


class Broken(Exception):
    """Why a request has failed."""


class Connection:
    """One client: at any time it has one request under way, or waits to connect again."""

    def __init__(self, number, target, selector, tally):
        self.number, self.target, self.selector, self.tally = number, target, selector, tally
        path = target["paths"][number % len(target["paths"])]
        self.request = f"GET {path} HTTP/1.1\r\nHost: {target['name']}\r\nUser-Agent: load\r\n\r\n".encode()
        self.stream, self.again_at, self.began = None, 0.0, None

    def ask(self):
        """Begins a request, on a new connection where there is none."""
        self.began, self.buffer = time.monotonic(), b""
        self.tally.sent += 1
        if self.stream is not None:
            return self.send()
        self.stream = socket.socket()
        self.stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.stream.setblocking(False)
        code = self.stream.connect_ex((self.target["host"], self.target["port"]))
        if code not in (0, errno.EINPROGRESS):
            return self.fail(f"connect: {os.strerror(code)}")
        self.selector.register(self.stream, selectors.EVENT_WRITE, self)

    def send(self):
        try:
            # The request is far smaller than any socket's buffer.
            assert self.stream.send(self.request) == len(self.request)
        except OSError as error:
            self.fail(f"send: {error!r}")

    def ready(self, mask):
        if mask & selectors.EVENT_WRITE:
            code = self.stream.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                return self.fail(f"connect: {os.strerror(code)}")
            self.selector.modify(self.stream, selectors.EVENT_READ, self)
            return self.send()
        try:
            got = self.stream.recv(65536)
        except BlockingIOError:
            return
        except OSError as error:
            return self.fail(f"receive: {error!r} after {len(self.buffer)} bytes")
        if self.began is None:
            # Between two requests the other side may let go.
            return self.close()
        self.buffer += got
        try:
            is_over = self.answer(is_end=not got)
        except Broken as error:
            return self.fail(str(error))
        if is_over:
            self.ask_next()

    def answer(self, is_end):
        """Whether the answer is there as a whole."""
        head, found, body = self.buffer.partition(b"\r\n\r\n")
        if not found:
            if is_end:
                raise Broken(f"closed after {len(self.buffer)} bytes of the head")
            return False
        lines = head.decode("latin-1").split("\r\n")
        headers = {key.strip().lower(): value.strip() for key, _, value in (line.partition(":") for line in lines[1:])}
        if lines[0].split(" ")[:2] != ["HTTP/1.1", "200"]:
            raise Broken(f"{lines[0]} {body[:80]!r}")
        body, is_whole = whole(headers, body)
        if not is_whole:
            if is_end:
                raise Broken(f"closed after {len(body)} bytes of the body")
            return False
        words = body.decode("latin-1").split()
        if not words:
            raise Broken("an empty body")
        self.tally.answered += 1
        self.tally.versions[words[0]] += 1
        if headers.get("connection", "").lower() == "close":
            self.close()
        return True

    def ask_next(self):
        self.began = None
        if not self.tally.is_over:
            self.ask()

    def fail(self, what):
        self.tally.failures.append((self.number, self.began, time.monotonic(), what))
        self.close()
        self.again_at, self.began = time.monotonic() + PAUSE, None

    def close(self):
        if self.stream is not None:
            if self.stream in self.selector.get_map():
                self.selector.unregister(self.stream)
            self.stream.close()
            self.stream = None

    def tick(self, now):
        if self.began is None:
            if now >= self.again_at and not self.tally.is_over:
                self.ask()
        elif now > self.began + LATE:
            self.fail(f"no answer within {LATE} s")


def whole(headers, body):
    """The body, and whether it has come to its end."""
    if "content-length" in headers:
        length = int(headers["content-length"])
        if len(body) > length:
            raise Broken(f"{len(body) - length} bytes more than the answer has")
        return body, len(body) == length
    if headers.get("transfer-encoding", "").lower() != "chunked":
        raise Broken("neither a length nor chunks")
    rest, content = body, b""
    while True:
        size, found, rest = rest.partition(b"\r\n")
        if not found:
            return content, False
        length = int(size.split(b";")[0], 16)
        if len(rest) < length + 2:
            return content, False
        content, rest = content + rest[:length], rest[length + 2:]
        if length == 0:
            if rest:
                raise Broken(f"{len(rest)} bytes more than the answer has")
            return content, True


class Tally:
    """What has happened since it was last told."""

    def __init__(self):
        self.is_over = False
        self.begin()

    def begin(self):
        self.sent = self.answered = 0
        self.versions, self.failures = collections.Counter(), []

    def tell(self):
        print(json.dumps({"sent": self.sent, "answered": self.answered, "versions": self.versions,
                          "failures": self.failures}), flush=True)
        self.begin()


def main(target):
    selector, tally = selectors.DefaultSelector(), Tally()
    connections = [Connection(target["first"] + number, target, selector, tally) for number in range(target["connections"])]
    selector.register(sys.stdin, selectors.EVENT_READ)
    told = 0.0
    while not tally.is_over or any(one.began is not None for one in connections):
        for key, mask in selector.select(timeout=0.01):
            if key.data is None:
                tally.is_over = True
                selector.unregister(sys.stdin)
            elif key.data.stream is key.fileobj:
                key.data.ready(mask)
        now = time.monotonic()
        if now > told + 0.05:
            for one in connections:
                one.tick(now)
            tally.tell()
            told = now
    tally.tell()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
