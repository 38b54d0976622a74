"""Run the sandbox, a provider of test images, as a child process.

Failure behaviour: a failed start raises `ChildFailed`; orders during a restart fail as with
any provider.
"""

import asyncio
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson

from service.serve.children import ChildFailed, kept_alive


@asynccontextmanager
async def run_sandbox() -> AsyncIterator[str]:
    """Run the sandbox on a free port; yields its URL, which stays the same across restarts."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # Any process of the machine reaches it, and none may read the prompts of callers.
    options = ["--port", str(port), "--exit-with-parent", "--without-controls"]
    command = [sys.executable, "-m", "service.sandbox", *options]
    async with kept_alive("sandbox", command, _wait_for_listening):
        yield f"http://127.0.0.1:{port}"


async def _wait_for_listening(process: asyncio.subprocess.Process) -> None:
    line = await process.stdout.readline() if process.stdout else b""
    if not line or orjson.loads(line).get("event") != "listening":
        raise ChildFailed
