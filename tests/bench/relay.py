"""Relay a TCP port to a server that seems far away: what it answers comes later.

Run as `python -m tests.bench.relay PORT TO_HOST TO_PORT MILLISECONDS`.
"""

import asyncio
import contextlib
import sys


async def _main(port: int, host: str, to_port: int, late_s: float) -> None:
    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection(host, to_port)
        except OSError:
            # The server is gone: so is its place.
            writer.close()
            return
        async with asyncio.TaskGroup() as group:
            group.create_task(_pass(reader, back, 0))
            group.create_task(_pass(there, writer, late_s))

    server = await asyncio.start_server(relay, "127.0.0.1", port)
    await server.serve_forever()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, late_s: float) -> None:
    loop = asyncio.get_running_loop()
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(2**16):
            # In order: what is due at one instant is sent as it was asked for.
            loop.call_later(late_s, writer.write, data)
    loop.call_later(late_s, writer.close)


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4]) / 1000))
