"""Clients and targets that misbehave, for as long as they are let: `hostile.py KIND PORT`, until its input ends.

As a target it prints its port first; as clients it prints `ready` once they are at it.
"""

import asyncio
import socket
import struct
import sys

IDLE = 8_000
REQUEST = b"GET /hostile HTTP/1.1\r\nHost: a\r\n\r\n"


asked = 0


def reset(writer):
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def again(work, count, pause):
    """So many at a time, each again and again, whatever becomes of it."""
    async def one():
        while True:
            try:
                await asyncio.wait_for(work(), None if work.__name__ == "idle" else 30)
            except (OSError, asyncio.TimeoutError, asyncio.IncompleteReadError):
                pass
            await asyncio.sleep(pause)
    return [asyncio.create_task(one()) for _ in range(count)]


def clients(kind, port):
    connect = lambda: asyncio.open_connection("127.0.0.1", port)

    async def slow():
        _, writer = await connect()
        for byte in REQUEST[:-1]:
            writer.write(bytes([byte]))
            await asyncio.sleep(1)
        writer.close()

    async def bomb():
        _, writer = await connect()
        writer.write(REQUEST[:-2] + b"".join(b"x-%d: %s\r\n" % (at, b"y" * 1000) for at in range(100)) + b"\r\n")
        await writer.drain()
        await asyncio.sleep(0.02)
        writer.close()

    async def half():
        reader, writer = await connect()
        writer.write(REQUEST.replace(b"/hostile", b"/"))
        writer.write_eof()
        await reader.read()
        writer.close()

    async def cut():
        _, writer = await connect()
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 50_000)
        await writer.drain()
        reset(writer)

    async def idle():
        reader, writer = await connect()
        writer.write(REQUEST.replace(b"/hostile", b"/"))
        await reader.read(4096)
        global asked
        asked += 1
        await asyncio.sleep(3600)

    async def asking():
        reader, writer = await connect()
        writer.write(REQUEST)
        await reader.read()
        writer.close()

    work, count, pause = {"slow": (slow, 500, 0.1), "bomb": (bomb, 8, 0.05), "half": (half, 8, 0.05), "cut": (cut, 8, 0.05),
                          "idle": (idle, IDLE, 1), "asking": (asking, 16, 0.1)}[kind]
    return again(work, count, pause)


async def target(kind):
    async def serve(reader, writer):
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                if kind == "hang":
                    await asyncio.sleep(3600)
                if kind == "garbage":
                    writer.write(b"\0\xff nothing\r\n\r\n")
                if kind == "short":
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nnot so much")
                if kind == "headers":
                    writer.write(b"HTTP/1.1 200 OK\r\n")
                    for _ in range(1_000_000):
                        writer.write(b"x: " + b"y" * 1000 + b"\r\n")
                        await writer.drain()
                break
        except (OSError, asyncio.IncompleteReadError):
            pass
        writer.close()
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    return server


async def main(kind, port):
    kept = await target(kind) if port == "target" else await clients(kind, int(port))
    if port != "target":
        await asyncio.sleep(3)
        while kind == "idle" and asked < IDLE:
            await asyncio.sleep(0.1)
        print("ready", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    del kept


asyncio.run(main(*sys.argv[1:]))
