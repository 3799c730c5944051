"""Load balancing, next to nginx and HAProxy: the same targets, one worker each, in turn within every round.

The balancer has processor 0 to itself, load and targets share processor 1. Where those are what is full,
CPU per request says what requests per second cannot.
"""

import os
import re
import socket
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

from balancers import LOAD_CORE, PLANE, Boxship, Haproxy, Nginx, Targets, certificate, group, pinned, program
from common import PLACE, ROOT, row, sh, title

ROUNDS = int(os.environ.get("ROUNDS", 5))
SECONDS = float(os.environ.get("SECONDS_EACH", 4))
IDLE = 9_000  # The hard limit of open files is 20,000 where this is written, and a balancer may need two for one.

PATHS = """
local n = 0
request = function()
  n = (n * 31 + 7) % 100
  return wrk.format("GET", "/app" .. n .. "/index.html", {["Host"] = "www.example.com"})
end
"""


def load(*command):
    return sh(*pinned(LOAD_CORE), *command)


def wrk(peer, url, connections, *arguments):
    """Requests per second, CPU microseconds per request, p99 in ms."""
    before, began = peer.cpu(), time.monotonic()
    text = load(program("wrk", "wrk"), "-t1", f"-c{connections}", f"-d{SECONDS:g}s", "--latency", *arguments, url)
    took, cpu = time.monotonic() - began, peer.cpu() - before
    requests = int(re.search(r"(\d+) requests in", text)[1])
    wrong = re.search(r"Non-2xx.*|Socket errors.*", text)
    # Closing after each answer shows as read errors, and is what was asked for. On a machine that is
    # full some connections wait long: told, not a reason to end.
    if wrong and not re.search(r"(connect|read|write) [1-9]", wrong[0]) and "timeout" in wrong[0]:
        print(f"  ({peer.name}: {wrong[0]})", flush=True)
    elif wrong and ("connection: close" not in " ".join(map(str, arguments)).lower() or "Non-2xx" in wrong[0]):
        raise RuntimeError(f"{peer.name}: {wrong[0]}")
    number, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)", text).groups()
    p99 = float(number) * {"us": 0.001, "ms": 1, "s": 1000}[unit]
    return {"rps": requests / took, "cpu": cpu / max(requests, 1) * 1e6, "p99": p99}


def h2load(peer, url, connections, streams):
    """Fresh connections for every 9,000 requests of each: AWS: one carries 10,000, and ours keeps to that."""
    before, requests, took = peer.cpu(), 0, 0.0
    while took < SECONDS:
        text = load(program("nghttp2-client", "h2load"), "-t1", f"-c{connections}", f"-m{streams}", f"-n{9_000 * connections}", url)
        done, wrong = re.search(r"started, (\d+) done, \d+ succeeded, (\d+) failed", text).groups()
        if int(wrong):
            raise RuntimeError(f"{peer.name}: {wrong} requests failed\n{text}")
        number, unit = re.search(r"finished in ([\d.]+)(ms|s)", text).groups()
        requests, took = requests + int(done), took + float(number) * (0.001 if unit == "ms" else 1)
    return {"rps": requests / took, "cpu": (peer.cpu() - before) / requests * 1e6}


def paced(port, rate):
    """Latencies in ms of 32 connections that ask `rate` times a second together."""
    log = PLACE / "paced.log"
    log.unlink(missing_ok=True)
    load(program("nghttp2-client", "h2load"), "--h1", "-t1", "-c32", f"--rps={rate / 32:.2f}", f"-D{SECONDS:g}",
         f"--log-file={log}", f"http://127.0.0.1:{port}/")
    return sorted(int(line.split()[2]) / 1000 for line in log.read_text().splitlines() if line.split()[1] == "200")


def quantile(ordered, part):
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


def in_turn(peers, measure):
    """Medians by peer and figure, over rounds in which each has its turn."""
    samples = {peer.name: [] for peer in peers}
    for at in range(ROUNDS):
        for peer in peers[at % len(peers):] + peers[:at % len(peers)]:
            samples[peer.name].append(measure(peer))
    return {name: {key: statistics.median(sample[key] for sample in taken) for key in taken[0]}
            for name, taken in samples.items()}


def compare(what, found, goal, bound, figure="rps", more_is_better=True, unit="/s", scale=1):
    """One row per peer, with our figure as a multiple of the peer's."""
    ours = found["Boxship"]
    rivals = {name: figures for name, figures in found.items() if name != "Boxship"}
    best = (max if more_is_better else min)(one[figure] for one in rivals.values())
    for name, theirs in rivals.items():
        cpu = f"; CPU {ours['cpu']:.1f} : {theirs['cpu']:.1f} µs = {ours['cpu'] / max(theirs['cpu'], 1e-9):.2f}" if "cpu" in ours else ""
        is_best = theirs[figure] == best
        ratio = ours[figure] / max(theirs[figure], 1e-9)
        is_met = ratio >= bound if more_is_better else ratio <= bound
        row(f"{what}, {name}", f"{ratio:.2f} × ({ours[figure] * scale:,.0f} : {theirs[figure] * scale:,.0f} {unit}{cpu})",
            goal if is_best else "", is_met if is_best else None)


def small(peers):
    for connections in (64, 1000):
        found = in_turn(peers, lambda peer: wrk(peer, f"http://127.0.0.1:{peer.ports['plain']}/", connections))
        compare(f"small answers, {connections} connections", found, "≥ 1.0 ×", 1.0)
        yield connections, found


def rules(peers):
    script = PLACE / "paths.lua"
    script.write_text(PATHS)
    found = in_turn(peers, lambda peer: wrk(peer, f"http://127.0.0.1:{peer.ports['rules']}/", 64, "-s", script))
    compare("100 rules, 10 groups", found, "≥ 1.0 ×", 1.0)


def tls(peers):
    url = lambda peer: f"https://localhost:{peer.ports['tls']}/"
    compare("TLS, kept alive", in_turn(peers, lambda peer: wrk(peer, url(peer), 64)), "≥ 1.0 ×", 1.0)
    for kind in ("p256", "rsa"):
        with ExitStack() as stack:
            pair = [stack.enter_context(type(peer)(peer.targets, certificate(kind))) for peer in peers]
            compare(f"TLS handshakes, full, {kind}", in_turn(pair, shakes), "≥ 0.9 ×", 0.9)


def shakes(peer):
    """Full handshakes, none of them resumed: by CPU, since these clients cost more than any server."""
    before, clients = peer.cpu(), []
    for _ in range(4):
        clients.append(subprocess.Popen(
            [*pinned(LOAD_CORE), "openssl", "s_time", "-connect", f"127.0.0.1:{peer.ports['tls']}", "-new", "-time",
             str(max(1, round(SECONDS)))], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True))
    done = sum(int(re.search(r"(\d+) connections in \d+ real", client.communicate()[0])[1]) for client in clients)
    cpu = (peer.cpu() - before) / max(done, 1)
    return {"rps": 1 / max(cpu, 1e-9), "cpu": cpu * 1e6}


def streams(peers):
    found = in_turn(peers, lambda peer: h2load(peer, f"https://localhost:{peer.ports['tls']}/", 4, 100))
    compare("HTTP/2, 4 connections of 100 streams", found, "≥ 1.0 ×", 1.0)


def bodies(peers):
    found = in_turn(peers, lambda peer: wrk(peer, f"http://127.0.0.1:{peer.ports['plain']}/big", 4, "--timeout", "30s"))
    compare("64 MiB bodies", found, "≥ 2 ×", 2.0, unit="MiB/s", scale=64)


def idle(targets, pem):
    """Private memory of fresh processes with connections that asked once and are kept."""
    found = {}
    for kind in (Boxship, Haproxy):
        with kind(targets.ports, pem) as peer:
            before, held = peer.memory_kib(), []
            try:
                for _ in range(IDLE):
                    client = socket.create_connection(("127.0.0.1", peer.ports["plain"]))
                    held.append(client)
                    client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                    client.recv(4096)
                time.sleep(3)  # Ours gives buffers back after a second.
                whole = peer.memory_kib()
                found[peer.name] = {"kib": whole, "each": (whole - before) * 1024 / IDLE}
            finally:
                for client in held:
                    client.close()
    compare(f"{IDLE:,} idle connections, private memory", found, "≤ 0.7 ×", 0.7, "kib", False, "KiB")
    row("  each of them", " : ".join(f"{one['each']:,.0f}" for one in found.values()) + " bytes")


def added(peers, full, targets):
    """p99 above that of the targets asked directly, at half of what the slowest can."""
    rate = min(figures["rps"] for figures in full.values()) / 2
    direct = statistics.median(quantile(paced(targets.ports[0], rate), 0.99) for _ in range(ROUNDS))
    found = in_turn(peers, lambda peer: {"p99": max(quantile(paced(peer.ports["plain"], rate), 0.99) - direct, 0.001)})
    compare(f"added p99 at {rate:,.0f}/s", found, "≤ 1.0 ×", 1.0, "p99", False, "µs", 1000)


def swaps(ours):
    """A table with 10,000 targets more, put in again and again under load."""
    many = [(f"127.1.{at >> 8}.{at & 255}", 1) for at in range(10_000)]
    big = group("many", many, interval=300.0)
    calm = paced(ours.ports["plain"], 2_000)
    process = subprocess.Popen(
        [*pinned(LOAD_CORE), program("nghttp2-client", "h2load"), "--h1", "-t1", "-c32", "--rps=62.5",
         f"-D{SECONDS * 2:g}", f"--log-file={PLACE / 'swaps.log'}", f"http://127.0.0.1:{ours.ports['plain']}/"],
        stdout=subprocess.DEVNULL)
    took = []
    while process.poll() is None:
        took.append(ours.apply(ours.table(extra=[big])))
        time.sleep(0.2)
    lines = [line.split() for line in (PLACE / "swaps.log").read_text().splitlines()]
    (PLACE / "swaps.log").unlink()
    slow = sorted(int(line[2]) / 1000 for line in lines)
    failed = sum(line[1] != "200" for line in lines)
    worst = max(took) * 1000
    row(f"table with 10,000 targets, {len(took)} swaps", f"{statistics.median(took) * 1000:.1f} ms (most {worst:.1f})", "< 10 ms", worst < 10)
    row("  requests meanwhile", f"p99 {quantile(slow, 0.99):.2f} ms, most {slow[-1]:.2f}; calm {quantile(calm, 0.99):.2f}, {calm[-1]:.2f}; "
        f"{failed} failed", "≤ 1 ms more", slow[-1] - calm[-1] <= 1 and not failed)


CLIENTS = ["slow", "bomb", "half", "cut", "idle"]
TARGETS = ["hang", "garbage", "early", "short", "headers"]


@contextmanager
def hostility(kind, where):
    """Somebody who misbehaves, on the processor of the load but behind it; what it said first."""
    process = subprocess.Popen(["nice", "-n", "19", "taskset", "-c", LOAD_CORE, sys.executable,
                                Path(__file__).with_name("hostile.py"), kind, str(where)],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()


def hostile(ours):
    """p99 of well-behaved clients, with and without others who are not."""
    rate = 2_000
    p99 = lambda: quantile(paced(ours.ports["plain"], rate), 0.99)
    for kind in CLIENTS + TARGETS:
        calm, troubled = [], []
        for _ in range(ROUNDS):
            calm.append(p99())
            with ExitStack() as stack:
                if kind in TARGETS:
                    port = int(stack.enter_context(hostility(kind, "target")))
                    ours.apply(ours.table(extra=[group("hostile", [port])]))
                    stack.enter_context(hostility("asking", ours.ports["plain"]))
                else:
                    stack.enter_context(hostility(kind, ours.ports["plain"]))
                troubled.append(p99())
        calm, troubled = statistics.median(calm), statistics.median(troubled)
        what = f"p99 beside {'targets' if kind in TARGETS else 'clients'}: {kind}"
        row(what, f"{troubled / calm:.2f} × ({troubled:.2f} : {calm:.2f} ms)", "≤ 1.1 ×", troubled <= calm * 1.1)


def main():
    title(f"Load balancers: one worker each, {ROUNDS} rounds of {SECONDS:g} s; Boxship : peer")
    if "PLANE" not in os.environ:
        subprocess.run(["cargo", "build", "--release", "-p", "proxy", "--example", "plane"], cwd=ROOT, check=True)
    only = set(os.environ.get("ONLY", "").split(",")) - {""}
    wanted = lambda name: not only or name in only
    print(f"  {PLANE}", flush=True)
    with ExitStack() as stack:
        targets = stack.enter_context(Targets())
        pem = certificate()
        ours, nginx, haproxy = (stack.enter_context(kind(targets.ports, pem)) for kind in (Boxship, Nginx, Haproxy))
        everybody = [ours, nginx, haproxy]
        full = None
        if wanted("small") or wanted("added"):
            full = dict(small(everybody))[64]
        for name, measure, peers in [("rules", rules, [ours, haproxy]), ("tls", tls, [ours, nginx]),
                                     ("h2", streams, everybody), ("bodies", bodies, [ours, nginx])]:
            if wanted(name):
                measure(peers)
        if wanted("idle"):
            idle(targets, pem)
        if wanted("added"):
            added(everybody, full, targets)
        if wanted("swaps"):
            swaps(ours)
        if wanted("hostile"):
            hostile(ours)
