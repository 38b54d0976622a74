"""The sandbox as a process of its own, for any test that needs a provider.

Owns the process and a client for its `/sandbox` routes. Nothing of `service` is imported: what a test learns
here it learns over the wire.
"""

import asyncio
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import orjson

from tests.processes import fork_sandbox, is_check

REPOSITORY = Path(__file__).parents[2]
START_S = 20.0
STOP_S = 5.0

# name of the field, and: name of the file, its bytes, its content type
FormFile = tuple[str, tuple[str, bytes, str]]


class SandboxHandle:
    """Talks to a running sandbox; an async context manager that closes its client, not the sandbox."""

    def __init__(self, url: str, fault_url: str | None) -> None:
        self.url = url
        self._fault_url = fault_url
        self.client = httpx.AsyncClient(
            base_url=url, trust_env=False, timeout=30, headers={"authorization": "Bearer sk-test"}
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.client.aclose()

    @property
    def fault_url(self) -> str:
        """Where the fault proxy listens; only with `fault_proxy=True`."""
        if self._fault_url is None:
            raise LookupError("start the sandbox with fault_proxy=True")
        return self._fault_url

    async def journal(self, *, since: int = 0, settle_s: float = 5) -> list[dict[str, Any]]:
        """Return the entries after *since*, once nothing is in flight or *settle_s* have passed."""
        params = {"since": since, "settle_s": settle_s}
        answer = await self._ask("GET", "/sandbox/journal", params=params)
        return [entry for entry in answer.json()["entries"] if not is_check(entry)]

    async def count_painted(self) -> int:
        """Return how many images it has made."""
        return sum(len(entry["images"]) for entry in await self.journal())

    async def until_asked(self, requests: int) -> None:
        """Wait until it has begun *requests*."""
        async with asyncio.timeout(START_S):
            while len(await self.journal(settle_s=0)) < requests:  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.01)

    async def behave(self, **fields: object) -> None:
        """Replace the behaviour; what is left out is as at the start."""
        await self._ask("PUT", "/sandbox/behaviour", json=fields)

    async def behave_towards(self, key: str, **fields: object) -> None:
        """Replace the behaviour towards one key, its value or hash; what is left out is as towards all."""
        await self._ask("PUT", "/sandbox/behaviour", json=fields, params={"key": key})

    async def fault(self, mode: str, **fields: object) -> None:
        """Set the mode of the fault proxy, e.g. `fault("drip", bytes_per_s=100, times=1)`."""
        await self._ask("PUT", "/sandbox/faults", json={"mode": mode, **fields})

    async def reset(self) -> None:
        """Behave again, pass everything through, forget the journal."""
        await self._ask("DELETE", "/sandbox/behaviour")
        await self._ask("DELETE", "/sandbox/journal")
        if self._fault_url is not None:
            await self._ask("DELETE", "/sandbox/faults")

    async def generate(self, **fields: object) -> httpx.Response:
        """Ask for images: gpt-image-2 and some prompt unless *fields* say otherwise."""
        return await self._generate(self.url, fields)

    async def generate_through_proxy(self, **fields: object) -> httpx.Response:
        return await self._generate(self.fault_url, fields)

    async def edit(self, *images: bytes, mask: bytes | None = None, **fields: object) -> httpx.Response:
        """Ask for an edit of PNG files, by gpt-image-2 and with some prompt unless *fields* say otherwise."""
        files = [("image[]", ("image.png", image, "image/png")) for image in images]
        if mask is not None:
            files.append(("mask", ("mask.png", mask, "image/png")))
        return await self.post_form(
            "/v1/images/edits", files, **{"model": "gpt-image-2", "prompt": "add a red boat", **fields}
        )

    async def post_form(self, path: str, files: Sequence[FormFile], **fields: object) -> httpx.Response:
        """Send a multipart form; a field that is None is left out."""
        data = {name: value for name, value in fields.items() if value is not None}
        return await self.client.post(path, data=data, files=list(files))

    async def _generate(self, base_url: str, fields: Mapping[str, object]) -> httpx.Response:
        body = {"model": "gpt-image-2", "prompt": "a lighthouse in the fog", **fields}
        return await self.client.post(f"{base_url}/v1/images/generations", json=body)

    async def _ask(
        self, method: str, path: str, *, json: object = None, params: Mapping[str, Any] | None = None
    ) -> httpx.Response:
        answer = await self.client.request(method, path, json=json, params=params)
        if answer.is_error:
            raise AssertionError(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer


@asynccontextmanager
async def run_sandbox(**options: object) -> AsyncGenerator[SandboxHandle]:
    """Start a sandbox, stop it at the end; *options* are those of the command line with underscores.

    True stands for a bare flag, a list repeats an option, None and False leave it out: `run_sandbox(fault_proxy=True,
    latency_s=0.2, deployment=["images=gpt-image-2"])`.
    It ends with the process that started it, however that ends.
    """
    with ExitStack() as stack:
        line = await asyncio.to_thread(stack.enter_context, fork_sandbox(*_to_arguments(options)))
        async with SandboxHandle(line["url"], line["fault_url"]) as handle:
            yield handle


@asynccontextmanager
async def open_process(*arguments: str) -> AsyncGenerator[asyncio.subprocess.Process]:
    """Start the bare process, with pipes for stdin and stdout, and make sure that it ends."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "service.sandbox",
        *arguments,
        cwd=REPOSITORY,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        await stop_process(process)


async def read_line(process: asyncio.subprocess.Process) -> dict[str, Any]:
    """Wait until it accepts and return what it printed."""
    if process.stdout is None:
        raise AssertionError("stdout is not a pipe")
    async with asyncio.timeout(START_S):
        line = await process.stdout.readline()
    if not line:
        raise AssertionError("the sandbox ended before it accepted; see its stderr")
    parsed: dict[str, Any] = orjson.loads(line)
    return parsed


async def stop_process(process: asyncio.subprocess.Process) -> bytes:
    """End the process, by force if need be, and return what else it printed."""
    if process.returncode is None:
        process.terminate()
    try:
        async with asyncio.timeout(STOP_S):
            rest, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        rest, _ = await process.communicate()
    return rest


def _to_arguments(options: Mapping[str, object]) -> list[str]:
    arguments = []
    for name, value in options.items():
        if value is None or value is False:
            continue
        for one in value if isinstance(value, list) else [value]:
            arguments.append(f"--{name.replace('_', '-')}")
            if one is not True:
                arguments.append(str(one))
    return arguments
