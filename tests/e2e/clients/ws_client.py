"""A client by somebody else, Python websockets: ws_client.py URL [deflate]. The server under test answers every message
with the same bytes: a binary message, or, with deflate, one of the same kind, over permessage-deflate if it is asked for
that. Prints "N checks passed", or what failed and exits 1."""

import asyncio
import os
import sys

from websockets.asyncio.client import ClientConnection, connect
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

OPTIONS = {"max_size": 1 << 25, "open_timeout": 30, "close_timeout": 30}

url, deflate = sys.argv[1], "deflate" in sys.argv[2:]
checks = 0


def equal(got, want, what):
    global checks
    if got != want:
        raise AssertionError(f"{what}: got {got!r:.80}, want {want!r:.80}")
    checks += 1


async def echo(socket, message):
    await socket.send(message)
    want = message.encode() if isinstance(message, str) and not deflate else message
    equal(await socket.recv(), want, f"echo of {len(message)}")


async def closes(socket, code):
    await socket.close(code, "bye")
    equal(socket.close_code, code, "status code after close")


async def sizes(socket):
    for size in (0, 1, 125, 126, 127, 65535, 65536, 300_000 if deflate else 10_000_000):
        await echo(socket, ("ein wenig Text, " * (size // 16 + 1))[:size])
        await echo(socket, (b"\xff\x00\x80" * (size // 3 + 1))[:size])


async def order(socket):
    for i in range(50):
        await socket.send(f"message {i}")
    for i in range(50):
        equal(await socket.recv(decode=True), f"message {i}", "order")


async def fragments(socket):
    await socket.send(["frag", "ment", "ed: \N{SNOWMAN}"])  # one message in as many frames
    equal(await socket.recv(decode=True), "fragmented: \N{SNOWMAN}", "fragmented message")
    latency = await (await socket.ping(b"are you there?"))  # completes with the matching pong
    equal(latency >= 0, True, "pong")


async def plain():
    for compression in (None, "deflate"):  # an extension offered and not taken up
        async with connect(url, compression=compression, **OPTIONS) as socket:
            equal("Sec-WebSocket-Extensions" in socket.response.headers, False, "extensions")
            await sizes(socket)
            await closes(socket, 1000)

    async with connect(url, **OPTIONS) as socket:
        await order(socket)
        await fragments(socket)
        await closes(socket, 4321)

    many = await asyncio.gather(*(connect(url, **OPTIONS) for _ in range(100)))
    await asyncio.gather(*(echo(socket, f"connection {i}") for i, socket in enumerate(many)))
    await asyncio.gather(*(closes(socket, 1001) for socket in many))


class Counted(ClientConnection):
    """Counts the bytes that go over the wire."""

    sent = came = 0

    def connection_made(self, transport):
        write = transport.write

        def counted(data):
            self.sent += len(data)
            write(data)

        transport.write = counted
        super().connection_made(transport)

    def data_received(self, data):
        self.came += len(data)
        super().data_received(data)


async def cost(socket, message):
    """How many bytes an echo takes on the wire: what was sent, and what came."""
    sent, came = socket.sent, socket.came
    await echo(socket, message)
    return socket.sent - sent, socket.came - came


async def compressed():
    for asked in (
        {},
        {"server_no_context_takeover": True},
        {"client_no_context_takeover": True},
        {"server_no_context_takeover": True, "client_no_context_takeover": True},
        {"server_max_window_bits": 10, "client_max_window_bits": 11},
    ):
        extensions = [ClientPerMessageDeflateFactory(**asked)]
        options = {"compression": None, "extensions": extensions, "create_connection": Counted, **OPTIONS}
        async with connect(url, **options) as socket:
            name, *parameters = socket.response.headers["Sec-WebSocket-Extensions"].split("; ")
            equal(name, "permessage-deflate", "extension")
            for parameter in ("server_no_context_takeover", "client_no_context_takeover", "server_max_window_bits"):
                got = parameter in (p.split("=")[0] for p in parameters)
                equal(got, parameter in asked, f"{parameter} in {parameters}")

            for count in await cost(socket, "ein wenig Text, " * 6000):
                equal(count < 2000, True, f"96000 bytes of text take {count}, which is less than 2000")
            # Noise can't be compressed, but the second time it is known, if the first is remembered.
            noise = os.urandom(600)
            await echo(socket, noise)
            sent, came = await cost(socket, noise)
            equal(sent < 100, "client_no_context_takeover" not in asked, f"client's takeover ({sent} bytes sent)")
            equal(came < 100, "server_no_context_takeover" not in asked, f"server's takeover ({came} bytes came)")

            await sizes(socket)
            await order(socket)
            await fragments(socket)
            await closes(socket, 1000)


asyncio.run(compressed() if deflate else plain())
print(f"{checks} checks passed")
