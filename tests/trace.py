"""Trace one order from its socket to its answer: the modules of the service on its way, and the changes between them.

Run as `python -m tests.trace`; `--steps` prints every step. The order is `dall-e-3` with n=4, two of them
cached. A step is the entry into a function of `service/`; a coroutine that goes on after a wait enters nothing.
Changes are counted within each task and thread, as the order in which they take turns differs from run to run.
Tasks from before the order are background loops and do not count. Their work in threads does, so of five such orders
the one with the fewest changes counts. The takers of facts are not on the way: the recorder stands for all of them.
"""

import asyncio
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import httpx
import uvloop

from service.app import create_app
from service.serve.server import make_server
from service.settings.environment import load_settings
from service.wiring.process import BackingServices
from tests.processes import REPOSITORY, free_port, run_sandbox, run_valkey

_SERVICE = f"{REPOSITORY / 'service'}/"
_TAKERS, _RECORDER = "adapters/telemetry/", "adapters/telemetry/recorder"


@dataclass(slots=True)
class Trace:
    """Functions of the service in the order they were entered, as module and name, with the task or thread."""

    steps: list[tuple[str, str, object]] = field(default_factory=list)
    is_on: bool = False
    earlier: set[object] = field(default_factory=set)
    """Tasks that are no part of the order."""

    def begin(self) -> None:
        """Note the steps of tasks that start from now on."""
        self.earlier = set(asyncio.all_tasks())
        self.is_on = True

    @property
    def modules(self) -> Counter[str]:
        """Every module entered, with its steps."""
        return Counter(module for module, _, _ in self.steps)

    @property
    def changes(self) -> int:
        """Steps into another module than the last of the same task or thread."""
        count, last = 0, dict[object, str]()
        for module, _, runner in self.steps:
            count += last.get(runner, module) != module
            last[runner] = module
        return count

    def note(self, frame: FrameType, event: str, _: Any) -> None:
        """Note a function that begins, if it is the service's."""
        code = frame.f_code
        # A coroutine that goes on is called at a later instruction than its first.
        if self.is_on and event == "call" and code.co_filename.startswith(_SERVICE) and _begins(frame):
            runner = _runner()
            if runner in self.earlier:
                return
            name = code.co_filename.removeprefix(_SERVICE).removesuffix(".py")
            if name == _RECORDER or not name.startswith(_TAKERS):
                self.steps.append((name, code.co_qualname, runner))


def _begins(frame: FrameType) -> bool:
    return frame.f_lasti < 0 or frame.f_lineno == frame.f_code.co_firstlineno


def _runner() -> object:
    """Return the task that runs, or the thread: callbacks of the loop are one runner."""
    try:
        task = asyncio.current_task()
    except RuntimeError:
        task = None
    return task or threading.get_ident()


def trace_order() -> Trace:
    """Trace orders that find two of their four images in the cache; returns the one with the fewest changes."""
    traces = [Trace() for _ in range(5)]
    with tempfile.TemporaryDirectory() as directory, run_valkey() as valkey, run_sandbox() as sandbox:

        def note(frame: FrameType, event: str, argument: Any) -> None:
            for trace in traces:
                trace.note(frame, event, argument)

        # Worker threads of the service start with the first order, before any trace is on.
        threading.setprofile(note)
        uvloop.run(_order_twice_each(traces, Path(directory), valkey.url, sandbox))
    return min(traces, key=lambda trace: trace.changes)


async def _order_twice_each(traces: list[Trace], directory: Path, redis_url: str, sandbox_url: str) -> None:
    async with _gateway(directory, redis_url, sandbox_url) as url, httpx.AsyncClient(base_url=url) as client:
        for number, trace in enumerate(traces):
            await _order_twice(client, trace, f"lighthouse {number}")


async def _order_twice(client: httpx.AsyncClient, trace: Trace, prompt: str) -> None:
    order = {"model": "dall-e-3", "prompt": prompt, "response_format": "b64_json"}
    for n in (2, 4):
        if n == 4:
            sys.setprofile(trace.note)
            trace.begin()
        answer = await client.post("/v1/images/generations", json={**order, "n": n}, timeout=60)
        trace.is_on = False
        sys.setprofile(None)
        made = answer.raise_for_status().headers["x-cache"]
        if made != ("miss" if n == 2 else "partial; hits=2; coalesced=0; misses=2"):
            raise AssertionError(f"traced another order: {made}")


@asynccontextmanager
async def _gateway(directory: Path, redis_url: str, sandbox_url: str) -> AsyncIterator[str]:
    url = f"http://127.0.0.1:{(port := free_port())}"
    settings = load_settings({"GATEWAY_DATA_DIR": str(directory), "GATEWAY_PORT": str(port)})
    backing = BackingServices(
        redis_url=redis_url,
        sandbox_url=sandbox_url,
        public_url=url,
        secrets=("a secret of 32 characters, or more",),
    )
    started = asyncio.Event()
    server = make_server(create_app(settings, backing), settings, started.set)
    server.config.port = port
    async with asyncio.TaskGroup() as group:
        group.create_task(server.serve())
        await started.wait()
        yield url
        server.should_exit = True


def main() -> None:
    """Print what one order passes."""
    trace = trace_order()
    if "--steps" in sys.argv:
        for module, name, _ in trace.steps:
            sys.stdout.write(f"{module:32} {name}\n")
    for module, steps in sorted(trace.modules.items()):
        sys.stdout.write(f"{steps:4}  {module}\n")
    sys.stdout.write(
        f"{len(trace.modules)} modules, {len(trace.steps)} steps, {trace.changes} changes of module\n"
    )


if __name__ == "__main__":
    main()
