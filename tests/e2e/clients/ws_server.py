"""A server by somebody else, Python websockets: ws_server.py OPTIONS, which is "none", or the arguments of
ServerPerMessageDeflateFactory in JSON. Prints its port; answers every message with the same one, "goodbye CODE REASON"
with a close frame. Runs until it is killed."""

import asyncio
import json
import re
import sys

from websockets.asyncio.server import serve
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory


async def handle(socket):
    async for message in socket:
        goodbye = isinstance(message, str) and re.fullmatch(r"goodbye (\d+) (.*)", message)
        if goodbye:
            await socket.close(int(goodbye[1]), goodbye[2])
        else:
            await socket.send(message)


async def main(options):
    extensions = None if options == "none" else [ServerPerMessageDeflateFactory(**json.loads(options))]
    async with serve(handle, "127.0.0.1", 0, compression=None, extensions=extensions, max_size=1 << 25) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()


asyncio.run(main(sys.argv[1]))
