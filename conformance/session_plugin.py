"""What the AWS CLI calls `session-manager-plugin`, made of aws-ssm-bridge: an implementation of the session
protocol that is not ours and not AWS's.

The library speaks only to AWS's names over TLS. So this process gives itself a mount namespace in which
`ssmmessages.REGION.amazonaws.com` is this machine, ends TLS there, and answers `ssm:StartSession` with the session
that it was given. Bytes of the channel pass as they are.
"""

import asyncio
import json
import os
import ssl
import subprocess
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import urlsplit

# For the test: what to type, as JSON [[text to wait for, text to type], …], and the terminal's [columns, rows].
SCRIPT = json.loads(os.environ.get("SESSION_SCRIPT", "[]"))
SIZE = json.loads(os.environ.get("SESSION_SIZE", "null"))


def certificate(name, directory):
    """A key and a certificate of its own for `name`."""
    key, cert = directory / "key.pem", directory / "cert.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-keyout", key, "-out", cert, "-days", "2", "-subj", f"/CN={name}", "-addext",
                    f"subjectAltName=DNS:{name}"], check=True, capture_output=True)
    return key, cert


def end_tls(key, cert, to):
    """Listens with TLS, and passes bytes on to `to`; answers the port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    started = threading.Event()
    port = []

    async def copy(reader, writer):
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        writer.close()

    async def accepted(reader, writer):
        there_reader, there_writer = await asyncio.open_connection(to.hostname, to.port)
        await asyncio.gather(copy(reader, there_writer), copy(there_reader, writer), return_exceptions=True)

    async def serve():
        server = await asyncio.start_server(accepted, "127.0.0.1", 0, ssl=context)
        port.append(server.sockets[0].getsockname()[1])
        started.set()
        await server.serve_forever()

    threading.Thread(target=lambda: asyncio.run(serve()), daemon=True).start()
    started.wait()
    return port[0]


def answer_ssm(session, asked):
    """An SSM of one session; answers its URL."""

    class Ssm(BaseHTTPRequestHandler):
        def do_POST(self):
            asked.append((self.headers["x-amz-target"], json.loads(self.rfile.read(int(self.headers["content-length"])))))
            answer = json.dumps(session if self.headers["x-amz-target"].endswith("StartSession") else {}).encode()
            self.send_response(200)
            self.send_header("content-type", "application/x-amz-json-1.1")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Ssm)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


async def converse(region, target):
    import aws_ssm_bridge
    manager = await aws_ssm_bridge.SessionManager.new(region)
    session = await manager.start_session(target)
    output = session.output()
    if SIZE:
        await session.send_terminal_size(*SIZE)
    seen, script = b"", list(SCRIPT)

    async def type_due():
        nonlocal seen
        while script and script[0][0].encode() in seen:
            seen = seen.split(script[0][0].encode(), 1)[1]
            await session.send(script.pop(0)[1].encode())

    await type_due()
    async for chunk in output:
        sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()
        seen += chunk
        await type_due()
    await session.wait_closed()
    print(json.dumps({"closed": session.close_reason, "exit": session.exit_code, "agent": session.agent_version}),
          file=sys.stderr)


def main():
    if len(sys.argv) < 2:
        # AWS: it is asked whether it is there.
        print("The session-manager-plugin stand-in is there.")
        return
    session, region, operation, _profile, parameters = sys.argv[1:6]
    # AWS: ECS begins members with a small letter; Go's JSON, in which the plugin reads them, does not mind.
    session = {name[0].upper() + name[1:]: value for name, value in json.loads(session).items()}
    parameters = json.loads(parameters)
    assert operation == "StartSession", operation
    name = f"ssmmessages.{region}.amazonaws.com"
    if os.environ.get("SESSION_NAMESPACE") is None:
        with tempfile.TemporaryDirectory() as directory:
            hosts = Path(directory) / "hosts"
            hosts.write_text(f"127.0.0.1 localhost {name}\n")
            inside = ["sh", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"', hosts, sys.executable, *sys.argv]
            done = subprocess.run(["unshare", "--mount", *inside], env={**os.environ, "SESSION_NAMESPACE": directory})
        sys.exit(done.returncode)
    key, cert = certificate(name, Path(os.environ["SESSION_NAMESPACE"]))
    url = urlsplit(session["StreamUrl"])
    assert url.scheme == "ws", url
    port = end_tls(key, cert, url)
    session["StreamUrl"] = f"wss://{name}:{port}{url.path}?{url.query}"
    asked = []
    os.environ.update(SSL_CERT_FILE=str(cert), AWS_ENDPOINT_URL=answer_ssm(session, asked), AWS_ACCESS_KEY_ID="x",
                      AWS_SECRET_ACCESS_KEY="x", AWS_EC2_METADATA_DISABLED="true")
    asyncio.run(converse(region, parameters["Target"]))
    assert asked[0][1]["Target"] == parameters["Target"], asked


main()
sys.stdout.flush()
sys.stderr.flush()
# The library's threads may come too late for an interpreter that ends in order.
os._exit(0)
