"""Hold one run: its results, and the services, each started once and only when a scenario wants it."""

import subprocess
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.bench.cores import Cores, on_cores
from tests.bench.form import Form
from tests.bench.peers import floor
from tests.bench.peers.environments import environment
from tests.bench.peers.litellm import run_litellm
from tests.bench.peers.nginx import run_nginx
from tests.bench.peers.portkey import custom_host, run_portkey
from tests.bench.results import GATEWAY, Results
from tests.bench.servers import PERSISTENT, House, Running, open_house, run_process
from tests.bench.wire import Target
from tests.processes import Valkey, run_valkey


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A server of one lane; *pids* are the roots of the processes whose CPU it takes."""

    name: str
    target: Target
    pids: tuple[int, ...] = ()
    warm: float = 1
    """How much longer than others it takes to be at its best."""
    files: Path | None = None
    """Directory whose files it serves below `/files/`."""


class Bench:
    """One run. What it starts ends with *stack*; *tell* shows progress."""

    def __init__(self, stack: ExitStack, cores: Cores, form: Form, tell: Callable[[str], None]) -> None:
        self._stack = stack
        self.cores = cores
        self.form = form
        self.tell = tell
        self.results = Results()
        self._opened: dict[str, Service | None] = {}

    @cached_property
    def provider(self) -> Running:
        """The provider of all services; prompts say what it makes."""
        return self._stack.enter_context(run_process("tests.bench.stub", "5000"))

    @cached_property
    def house(self) -> House:
        """One gateway as it really runs."""
        return self.open_house(self._stack)

    def open_house(self, stack: ExitStack, **options: Any) -> House:
        """Start other gateways with a Valkey of their own, on the measured core, with the same provider."""
        given: dict[str, Any] = {
            "cores": self.cores.measured,
            "provider": self.provider,
            "fanout_window_ms": 0,
            **options,
        }
        return open_house(stack, **given)

    @property
    def gateway(self) -> Service:
        return of_house(self.house)

    @property
    def direct(self) -> Service:
        """The provider itself."""
        return Service(name="direct", target=Target(self.provider.url, "bench"))

    def peers(self, *names: str) -> list[Service]:
        """Return those of *names* that can be had; the others become notes."""
        return [service for name in names if (service := self._peer(name))]

    def _peer(self, name: str) -> Service | None:
        if name not in self._opened:
            openings: dict[str, Callable[[], Service]] = {
                "floor": self._open_floor,
                "frame": self._open_frame,
                "pass-through": self._open_passthrough,
                "nginx": self._open_nginx,
                "LiteLLM": lambda: self._open_litellm(caches=False),
                "LiteLLM, caching": lambda: self._open_litellm(caches=True),
                "Portkey": self._open_portkey,
            }
            try:
                self._opened[name] = openings[name]()
            except (OSError, subprocess.CalledProcessError) as error:
                self.results.note(f"{name} is not measured: {error}")
                self._opened[name] = None
        return self._opened[name]

    def _open_floor(self) -> Service:
        return self._open_own("floor", environment(**floor.ENVIRONMENT))

    def _open_frame(self) -> Service:
        return self._open_own("frame")

    def _open_own(self, name: str, environment: Mapping[str, str] | None = None) -> Service:
        """Start a service of this bench with a Valkey and a directory of its own."""
        valkey, directory = self._valkey(), self.directory()
        running = self._stack.enter_context(
            run_process(
                f"tests.bench.peers.{name}",
                self.provider.url,
                valkey.url,
                str(directory),
                cores=self.cores.measured,
                environment=environment,
            )
        )
        return Service(
            name=name,
            target=Target(running.url, "bench"),
            pids=(running.pid, valkey.process.pid),
            files=directory,
        )

    def _open_passthrough(self) -> Service:
        running = self._stack.enter_context(
            run_process("tests.bench.peers.passthrough", self.provider.url, cores=self.cores.measured)
        )
        return Service(name="pass-through", target=Target(running.url, "bench"), pids=(running.pid,))

    def _open_nginx(self) -> Service:
        directory = self.directory()
        running = self._stack.enter_context(run_nginx(directory, self.provider, cores=self.cores.measured))
        target = Target(running.url, "bench")
        return Service(name="nginx", target=target, pids=(running.pid,), files=directory / "files")

    def _open_litellm(self, *, caches: bool) -> Service:
        valkey = self._valkey(port=0) if caches else None
        running = self._stack.enter_context(
            run_litellm(self.directory(), self.provider, valkey=valkey, cores=self.cores.measured)
        )
        return Service(
            name="LiteLLM",
            target=Target(running.url, "sk-bench"),
            pids=(running.pid, *((valkey.process.pid,) if valkey else ())),
        )

    def _open_portkey(self) -> Service:
        running = self._stack.enter_context(run_portkey(self.directory(), cores=self.cores.measured))
        # V8 compiles what is hot after some thousands of orders.
        return Service(
            name="Portkey",
            target=Target(running.url, "sk-bench", custom_host(self.provider)),
            pids=(running.pid,),
            warm=4,
        )

    def _valkey(self, port: int | None = None) -> Valkey:
        with on_cores(self.cores.measured):
            return self._stack.enter_context(run_valkey(port=port, config=PERSISTENT))

    def directory(self) -> Path:
        """Make a directory that ends with the run."""
        return Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))


def of_house(house: House, name: str = GATEWAY, *, place: int = 0) -> Service:
    """Return a gateway of *house*, with the CPU of all of it."""
    return Service(name=name, target=house.targets[place], pids=house.pids)
