"""Load balancers to compare: ours as a plane alone, nginx and HAProxy, each with one worker on one processor."""

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from common import PLACE, ROOT, TICK, debian, free_port, sh, wait_for

PLANE = Path(os.environ.get("PLANE", ROOT / "target" / "release" / "examples" / "plane"))
# The balancer has a processor of its own; load and targets share the other.
PROXY_CORE, LOAD_CORE = "0", "1"
TARGET_CORE = os.environ.get("TARGET_CORE", LOAD_CORE)
GROUPS, RULES = 10, 100


def pinned(core):
    """How a command is started on one processor; `NICE=-20` puts all of them before what else the machine does."""
    nice = ["nice", "-n", os.environ["NICE"]] if "NICE" in os.environ else []
    return [*nice, "taskset", "-c", core]


def program(package, name):
    """The program of a Debian package, installed or unpacked below target/bench."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin")
    if found:
        return Path(found)
    return next(path for path in debian(package).rglob(name) if path.is_file())


def seconds(value):
    whole = int(value)
    return {"secs": whole, "nanos": int((value - whole) * 1e9)}


def group(arn, targets, interval=30.0, protocol="Http", version="Http1", **members):
    """A target group as the plane's tables have it. `targets` are ports of 127.0.0.1, or pairs of address and port."""
    pairs = [target if isinstance(target, tuple) else ("127.0.0.1", target) for target in targets]
    return {
        "arn": arn, "id": f"targetgroup/{arn}/0123456789abcdef", "kind": "Ip", "protocol": protocol, "version": version,
        "check": {"protocol": protocol, "port": None, "path": "/health", "interval": seconds(interval), "timeout": seconds(5),
                  "healthy_after": 2, "unhealthy_after": 2, "matcher": {"Http": [[200, 499]]}},
        "algorithm": "RoundRobin", "mitigates_anomalies": False, "stickiness": None, "slow_start_for": seconds(0),
        "deregistration_delay_for": seconds(members.pop("delay", 300)), "cross_zone": True,
        "healthy": {"dns_count": None, "dns_percent": None, "routing_count": None, "routing_percent": None},
        "targets": [{"id": address, "port": port, "address": address, "zone": None, "registered_at": 0, "draining_until": None}
                    for address, port in pairs], **members}


def forward(*arns):
    return {"Forward": {"groups": [{"group": arn, "weight": 1} for arn in arns], "sticky_for": None}}


def listener(port, default, rules=(), certificate=None):
    return {
        "arn": f"listener/{port}", "port": port, "protocol": "Https" if certificate else "Http",
        "ssl_policy": "ELBSecurityPolicy-TLS13-1-2-2021-06" if certificate else None,
        "certificates": [certificate] if certificate else [], "headers": {"renamed": {}, "set": {}, "hides_server": False},
        "rules": [{"arn": f"rule/{at}", "priority": at + 1, "conditions": conditions, "rewrites": [], "action": action}
                  for at, (conditions, action) in enumerate(rules)],
        "default": {"arn": "rule/default", "priority": 0, "conditions": [], "rewrites": [], "action": default}}


def table(generation, listeners, groups):
    """The table of the one balancer that measurements have."""
    return {
        "arn": "arn:balancer", "generation": generation, "kind": "Application", "id": "app/bench/0123456789abcdef",
        "dns_name": "bench.elb.localhost", "scheme": "InternetFacing",
        "place": {"account": "000000000000", "region": "us-east-1", "vpc": "vpc-1", "vpc_cidr": "127.0.0.0/8", "on_host": True,
                  "nodes": [{"zone": "us-east-1a", "subnet": "subnet-1", "eni": "eni-1", "address": "127.0.0.1"}],
                  "alias": None, "security_groups": []},
        "attributes": {
            "idle_timeout_for": seconds(60), "client_keep_alive_for": seconds(3600), "desync": "Defensive",
            "drops_invalid_headers": False, "preserves_host": False, "forwards_client_port": False, "forwarded_for": "Append",
            "tells_tls": False, "http2": True, "cross_zone": True, "access_log": None, "connection_log": None,
            "health_log": None},
        "listeners": listeners, "groups": {one["arn"]: one for one in groups}}


def rule_of(number):
    """The rule's conditions: one path of a hundred, at one host."""
    return [{"Host": [{"Wildcard": "*.example.com"}]}, {"Path": [{"Wildcard": f"/app{number}/*"}]}]


class Peer:
    """A balancer that runs. `ports` says where it listens: plain, rules, tls."""

    def __init__(self, targets, certificate):
        self.targets, self.certificate = targets, certificate
        self.ports = {name: free_port() for name in ("plain", "rules", "tls")}
        self.home = Path(tempfile.mkdtemp(prefix="balancer-", dir=PLACE))

    def command(self):
        raise NotImplementedError

    def spawn(self, **options):
        self.errors = open(self.home / "errors", "ab")
        self.process = subprocess.Popen([*pinned(PROXY_CORE), *map(str, self.command())], stderr=self.errors, **options)

    def __enter__(self):
        self.spawn(stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
        self.ready()
        return self

    def ready(self):
        def answers():
            if self.process.poll() is not None:
                raise RuntimeError((self.home / "errors").read_text())
            done = subprocess.run(["curl", "-sf", "-o", "/dev/null", f"http://127.0.0.1:{self.ports['plain']}/"])
            return done.returncode == 0
        wait_for(answers, 30, f"{type(self).__name__}'s start", 0.1)

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.home, ignore_errors=True)

    def pids(self):
        """The process and its children."""
        found = [self.process.pid]
        for at in Path("/proc").glob("[0-9]*"):
            try:
                if int((at / "stat").read_text().rsplit(")", 1)[1].split()[1]) in found:
                    found.append(int(at.name))
            except OSError:
                continue
        return found

    def cpu(self):
        total = 0
        for pid in self.pids():
            fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            total += int(fields[11]) + int(fields[12])
        return total / TICK

    def memory_kib(self):
        total = 0
        for pid in self.pids():
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
            total += sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Private"))
        return total


class Boxship(Peer):
    name = "Boxship"

    def command(self):
        return [PLANE, "1"]

    def __enter__(self):
        self.spawn(stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        self.generation = 0
        self.tell({"certificate": {"arn": "certificate", "chain": self.certificate[0].read_text(),
                                   "key": self.certificate[1].read_text()}})
        self.apply(self.table())
        self.ready()
        return self

    def tell(self, what):
        """Seconds that it took."""
        self.process.stdin.write(json.dumps(what) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().split(maxsplit=1)
        if not answer or answer[0] != "ok":
            raise RuntimeError(f"{answer} {(self.home / 'errors').read_text()[-2000:]}")
        return int(answer[1]) / 1e6

    def apply(self, balancer):
        return self.tell({"balancer": balancer})

    def table(self, extra=()):
        self.generation += 1
        groups = [group(f"group-{at}", [port]) for at, port in enumerate(self.targets)]
        everything = group("all", self.targets)
        rules = [(rule_of(number), forward(f"group-{number % GROUPS}")) for number in range(RULES)]
        rules += [([{"Path": [{"Wildcard": f"/{one['arn']}"}]}], forward(one["arn"])) for one in extra]
        listeners = [listener(self.ports["plain"], forward("all")), listener(self.ports["rules"], forward("all"), rules),
                     listener(self.ports["tls"], forward("all"), certificate="certificate")]
        return table(self.generation, listeners, [everything, *groups, *extra])

    def __exit__(self, *details):
        self.process.stdin.close()
        super().__exit__(*details)


class Nginx(Peer):
    name = "nginx"

    def command(self):
        servers = "".join(f"server 127.0.0.1:{port};" for port in self.targets)
        chain, key = self.certificate
        proxied = """proxy_pass http://targets; proxy_http_version 1.1; proxy_set_header Connection "";
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Forwarded-Port $server_port; proxy_set_header Host $http_host; proxy_max_temp_file_size 0;"""
        (self.home / "nginx.conf").write_text(f"""
            daemon off; worker_processes 1; worker_rlimit_nofile 20000; pid {self.home}/pid; error_log stderr error;
            events {{ worker_connections 19000; }}
            http {{
                access_log off; keepalive_requests 1000000000; keepalive_timeout 3600s; server_tokens off;
                client_body_temp_path {self.home}/body; proxy_temp_path {self.home}/proxy; fastcgi_temp_path {self.home}/f;
                uwsgi_temp_path {self.home}/u; scgi_temp_path {self.home}/s; ssl_session_tickets off;
                upstream targets {{ {servers} keepalive 2000; keepalive_requests 1000000000; }}
                server {{ listen 127.0.0.1:{self.ports["plain"]} reuseport; location / {{ {proxied} }} }}
                server {{ listen 127.0.0.1:{self.ports["tls"]} ssl http2 reuseport; ssl_certificate {chain};
                    ssl_certificate_key {key}; ssl_protocols TLSv1.2 TLSv1.3; http2_max_concurrent_streams 128;
                    location / {{ {proxied} }} }}
            }}""")
        return [program("nginx-light", "nginx"), "-p", self.home, "-c", self.home / "nginx.conf"]


class Haproxy(Peer):
    name = "HAProxy"

    def command(self):
        bundle = self.home / "bundle.pem"
        bundle.write_text(self.certificate[0].read_text() + self.certificate[1].read_text())
        rules = "".join(f"""
                acl host{n} hdr_end(host) -i .example.com
                acl path{n} path_beg /app{n}/
                use_backend group{n % GROUPS} if host{n} path{n}""" for n in range(RULES))
        groups = "".join(f"""
            backend group{at}
                http-reuse always
                server one 127.0.0.1:{port}""" for at, port in enumerate(self.targets))
        every = "".join(f"\n                server s{at} 127.0.0.1:{port}" for at, port in enumerate(self.targets))
        (self.home / "haproxy.cfg").write_text(f"""
            global
                nbthread 1
                maxconn 9900
                ssl-default-bind-options ssl-min-ver TLSv1.2 no-tls-tickets
                tune.h2.max-concurrent-streams 128
            defaults
                mode http
                option http-keep-alive
                option forwardfor
                timeout client 3600s
                timeout http-keep-alive 3600s
                timeout server 60s
                timeout connect 10s
                default_backend every
            frontend plain
                bind 127.0.0.1:{self.ports["plain"]}
            frontend tls
                bind 127.0.0.1:{self.ports["tls"]} ssl crt {bundle} alpn h2,http/1.1
            frontend rules
                bind 127.0.0.1:{self.ports["rules"]}{rules}
            backend every
                balance roundrobin
                http-reuse always{every}{groups}
""")
        return [program("haproxy", "haproxy"), "-db", "-f", self.home / "haproxy.cfg"]


class Targets:
    """One nginx, on the processor of the load, that answers at ten ports."""

    def __enter__(self):
        self.home = Path(tempfile.mkdtemp(prefix="targets-", dir="/dev/shm"))
        self.home.chmod(0o755)  # nginx gives up root's rights.
        self.ports = [free_port() for _ in range(GROUPS)]
        with open(self.home / "big", "wb") as big:
            big.truncate(64 << 20)
        listens = "".join(f"listen 127.0.0.1:{port} reuseport backlog=4096;" for port in self.ports)
        (self.home / "nginx.conf").write_text(f"""
            daemon off; worker_processes 1; worker_rlimit_nofile 20000; pid {self.home}/pid; error_log stderr error;
            events {{ worker_connections 19000; }}
            http {{
                access_log off; keepalive_requests 1000000000; keepalive_timeout 3600s; sendfile on;
                client_body_temp_path {self.home}/b; proxy_temp_path {self.home}/p; fastcgi_temp_path {self.home}/f;
                uwsgi_temp_path {self.home}/u; scgi_temp_path {self.home}/s;
                server {{ {listens} root {self.home};
                    location / {{ return 200 "hello, world\\n"; }} location = /big {{ }} }}
            }}""")
        self.process = subprocess.Popen(
            [*pinned(TARGET_CORE), program("nginx-light", "nginx"), "-p", self.home, "-c", self.home / "nginx.conf"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(20)
        shutil.rmtree(self.home, ignore_errors=True)


def certificate(kind="p256"):
    """A certificate for localhost and its key: `p256`, or `rsa` of 2,048 bits."""
    chain, key = PLACE / f"balancer-{kind}-chain.pem", PLACE / f"balancer-{kind}-key.pem"
    kinds = {"p256": ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"], "rsa": ["rsa:2048"]}
    sh("openssl", "req", "-x509", "-newkey", *kinds[kind], "-nodes", "-days", "30", "-subj",
       "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", chain)
    return chain, key
