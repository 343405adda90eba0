"""A client by somebody else, Python websockets: ws_client.py URL. The server under test answers every message with a
binary one of the same bytes. Prints "N checks passed", or what failed and exits 1."""

import asyncio
import sys

from websockets.asyncio.client import connect

checks = 0


def equal(got, want, what):
    global checks
    if got != want:
        raise AssertionError(f"{what}: got {got!r:.80}, want {want!r:.80}")
    checks += 1


async def echo(socket, message):
    await socket.send(message)
    equal(await socket.recv(), message.encode() if isinstance(message, str) else message, f"echo of {len(message)}")


async def closes(socket, code):
    await socket.close(code, "bye")
    equal(socket.close_code, code, "status code after close")


async def main(url):
    options = {"max_size": 1 << 25, "open_timeout": 30, "close_timeout": 30}

    for compression in (None, "deflate"):  # an extension offered and not taken up
        async with connect(url, compression=compression, **options) as socket:
            equal("Sec-WebSocket-Extensions" in socket.response.headers, False, "extensions")
            for size in (0, 1, 125, 126, 127, 65535, 65536, 10_000_000):
                await echo(socket, ("ein wenig Text, " * (size // 16 + 1))[:size])
                await echo(socket, (b"\xff\x00\x80" * (size // 3 + 1))[:size])
            await closes(socket, 1000)

    async with connect(url, **options) as socket:
        for i in range(50):
            await socket.send(f"message {i}")
        for i in range(50):
            equal(await socket.recv(), f"message {i}".encode(), "order")
        await socket.send(["frag", "ment", "ed: \N{SNOWMAN}"])  # one message in as many frames
        equal(await socket.recv(), "fragmented: \N{SNOWMAN}".encode(), "fragmented message")
        latency = await (await socket.ping(b"are you there?"))  # completes with the matching pong
        equal(latency >= 0, True, "pong")
        await closes(socket, 4321)

    many = await asyncio.gather(*(connect(url, **options) for _ in range(100)))
    await asyncio.gather(*(echo(socket, f"connection {i}") for i, socket in enumerate(many)))
    await asyncio.gather(*(closes(socket, 1001) for socket in many))


asyncio.run(main(sys.argv[1]))
print(f"{checks} checks passed")
