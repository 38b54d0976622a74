"""Servers of the bench: processes of their own, on the core that is measured where the system can."""

import contextlib
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
from redis import Redis

from tests.bench.cores import ANY, CoreSet, on_cores
from tests.bench.trees import read_cpu
from tests.bench.wire import Target
from tests.processes import REPOSITORY, Gateway, Valkey, free_port, run_gateway, run_valkey

_ADMIN_KEY = "operator-key-of-the-bench"
_POLICY = {
    "requests_per_min": 10**9,
    "images_per_min": 10**9,
    "images_per_day": 10**9,
    "budget_per_month_microusd": 10**15,
}
PERSISTENT = {"appendonly": "yes", "appendfsync": "everysec", "save": '""'}
"""As the gateway runs its own Valkey."""
_START_S = 60.0
"""LiteLLM takes 11 s on a quiet core."""


@dataclass(frozen=True, slots=True)
class Running:
    """A process that listens at *url*."""

    url: str
    pid: int


@dataclass(frozen=True, slots=True)
class House:
    """Gateways with one Valkey and one provider, and a key whose user, key and team have limits of four kinds."""

    gateways: list[Gateway]
    valkey: Valkey
    redis: Redis
    provider: Running
    store: Path
    token: str = ""

    @property
    def targets(self) -> list[Target]:
        return [Target(gateway.url, self.token) for gateway in self.gateways]

    @property
    def pids(self) -> tuple[int, ...]:
        """Return the roots of the gateways, and Valkey."""
        return (*self.gateway_pids, self.valkey.process.pid)

    @property
    def gateway_pids(self) -> tuple[int, ...]:
        return tuple(gateway.process.pid for gateway in self.gateways)

    def create_key(self, team: str, **fields: str) -> str:
        """Create a team under the policy `all` and a key of it."""
        self.administer("PUT", f"teams/{team}", {"policy": "all", "user_policy": "all"})
        made = self.administer("POST", "keys", {"team": team, "user": team, "policy": "all", **fields})
        return str(made["key"])

    def administer(self, method: str, path: str, body: Mapping[str, object]) -> Mapping[str, object]:
        """Send a request to `/admin`."""
        headers = {"authorization": f"Bearer {_ADMIN_KEY}"}
        answer = httpx.request(
            method, f"{self.gateways[0].url}/admin/{path}", json=dict(body), headers=headers, trust_env=False
        )
        return dict(answer.raise_for_status().json())

    def cpu_s(self) -> float:
        """Return the CPU of all gateways so far."""
        return read_cpu(*self.gateway_pids).own_s

    def redis_cpu_s(self) -> float:
        info = self.redis.info("cpu")
        return float(info["used_cpu_user"] + info["used_cpu_sys"])

    def count_calls(self) -> dict[str, float]:
        """Return what the provider tells: `calls`, `made` images, and the instant `sent_s` of the last answer."""
        return dict(httpx.get(f"{self.provider.url}/calls", trust_env=False).json())

    def count_stored(self) -> int:
        """Return the number of files in the store."""
        return sum(path.is_file() for path in self.store.rglob("*"))


def open_house(
    stack: ExitStack,
    picture_bytes: int = 5_000,
    *,
    late_s: float = 0,
    gateways: int = 1,
    cores: CoreSet = ANY,
    provider: Running | None = None,
    valkey: Valkey | None = None,
    program: str = "service",
    **settings: object,
) -> House:
    """Start it, on *cores*; a provider of its own answers *late_s* after each call with an image of *picture_bytes*.

    The gateways are new processes, so that nothing of theirs is shared with this one.
    """
    provider = provider or stack.enter_context(
        run_process("tests.bench.stub", str(picture_bytes), str(late_s))
    )
    directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    store = directory / "store"
    with on_cores(cores):
        valkey = valkey or stack.enter_context(run_valkey(config=PERSISTENT))
        given = {
            "redis_url": valkey.url,
            "store_url": store.as_uri(),
            "secrets": "a-secret-of-the-bench",
            "replicas": gateways,
            "auth": "keys",
            "admin_key": _ADMIN_KEY,
            "log_level": "INFO",
            "openai_base_url": f"{provider.url}/v1",
            "openai_api_key": "bench",
            **settings,
        }
        running = [
            stack.enter_context(run_gateway(directory / f"replica-{number}", program=program, **given))
            for number in range(gateways)
        ]
    redis = Redis.from_url(valkey.url, decode_responses=True)
    stack.callback(redis.close)
    house = House(running, valkey, redis, provider, store)
    house.administer("PUT", "policies/all", _POLICY)
    return replace(house, token=house.create_key("shop", role="service"))


def run_process(
    module: str, *arguments: str, cores: CoreSet = ANY, environment: Mapping[str, str] | None = None
) -> contextlib.AbstractContextManager[Running]:
    """Run a module that listens on the port in its first argument."""
    port = free_port()
    return run_command(
        [sys.executable, "-m", module, str(port), *arguments], port, cores=cores, environment=environment
    )


@contextlib.contextmanager
def run_command(
    command: Sequence[str | Path],
    port: int,
    *,
    cores: CoreSet = ANY,
    environment: Mapping[str, str] | None = None,
    log: Path | None = None,
) -> Iterator[Running]:
    """Run a command until it is not needed, once it listens on *port*.

    Raises:
        OSError: it does not start; its last words are those in *log*.
    """
    with contextlib.ExitStack() as stack:
        output = stack.enter_context(log.open("wb")) if log else subprocess.DEVNULL
        with on_cores(cores):
            process = subprocess.Popen(
                command, stdout=output, stderr=output if log else None, env=environment, cwd=REPOSITORY
            )
        try:
            if not _listens(port, process):
                said = log.read_text("utf-8", "replace").strip().splitlines()[-1:] if log else []
                raise OSError(f"it did not start: {''.join(said)}")
            yield Running(f"http://127.0.0.1:{port}", process.pid)
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5)
            process.kill()
            process.wait()


def _listens(port: int, process: subprocess.Popen[bytes]) -> bool:
    """Return True once *port* has a listener; False if the process ended, or there is none in time."""
    deadline_s = time.monotonic() + _START_S
    while time.monotonic() < deadline_s and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return True
        time.sleep(0.05)
    return False
