"""Servers of the bench: processes of their own, with the CPU and the memory that each took."""

import asyncio
import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
from redis import Redis

from tests.processes import Gateway, free_port, run_gateway, run_valkey

_ADMIN_KEY = "operator-key-of-the-bench"
_POLICY = {
    "requests_per_min": 10**9,
    "images_per_min": 10**9,
    "images_per_day": 10**9,
    "budget_per_month_microusd": 10**15,
}


@dataclass(frozen=True, slots=True)
class Running:
    """A process that listens at *url*."""

    url: str
    pid: int


@dataclass(frozen=True, slots=True)
class House:
    """Gateways with one Valkey and one provider, and a key whose user, key and team have limits of four kinds."""

    gateways: list[Gateway]
    redis: Redis
    token: str

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
        return sum(cpu_s(gateway.process.pid) for gateway in self.gateways)

    def redis_cpu_s(self) -> float:
        info = self.redis.info("cpu")
        return float(info["used_cpu_user"] + info["used_cpu_sys"])


def open_house(
    stack: ExitStack, picture_bytes: int, *, late_s: float = 0, gateways: int = 1, **settings: object
) -> House:
    """Start it; the provider answers *late_s* after each call with an image of *picture_bytes*."""
    upstream = stack.enter_context(run_process("tests.bench.stub", str(picture_bytes), str(late_s)))
    valkey = stack.enter_context(run_valkey())
    directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    given = {
        "redis_url": valkey.url,
        "store_url": (directory / "store").as_uri(),
        "secrets": "a-secret-of-the-bench",
        "replicas": gateways,
        "auth": "keys",
        "admin_key": _ADMIN_KEY,
        "log_level": "INFO",
        "openai_base_url": f"{upstream.url}/v1",
        "openai_api_key": "bench",
        **settings,
    }
    running = [
        stack.enter_context(run_gateway(directory / f"replica-{number}", **given))
        for number in range(gateways)
    ]
    redis = Redis(unix_socket_path=valkey.url.removeprefix("unix://"), decode_responses=True)
    stack.callback(redis.close)
    house = House(running, redis, "")
    house.administer("PUT", "policies/all", _POLICY)
    return House(running, redis, house.create_key("shop", role="service"))


@contextlib.contextmanager
def run_process(module: str, *arguments: str) -> Iterator[Running]:
    """Run a module that listens on the port in its first argument."""
    port = free_port()
    with subprocess.Popen(
        [sys.executable, "-m", module, str(port), *arguments], stdout=subprocess.DEVNULL
    ) as process:
        try:
            asyncio.run(_wait_for(port))
            yield Running(f"http://127.0.0.1:{port}", process.pid)
        finally:
            process.kill()


async def _wait_for(port: int) -> None:
    async with asyncio.timeout(20):
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return
            await asyncio.sleep(0.05)


def cpu_s(pid: int) -> float:
    """Return the CPU of a process so far, user and system."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)
