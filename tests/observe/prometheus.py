"""Run a real Prometheus that scrapes gateways every second, and ask it."""

import contextlib
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from tests.processes import free_port

SCRAPE_S = 1
JOB = "image-gateway"
_START_S = 30.0


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A running Prometheus, and the client that asks it."""

    url: str
    session: aiohttp.ClientSession

    async def ask(self, expression: str, *, at_s: float | None = None) -> list[dict[str, Any]]:
        """Return the series of *expression*, each with one value, now or at a Unix time."""
        when = {} if at_s is None else {"time": f"{at_s:.3f}"}
        result: list[dict[str, Any]] = (await self._get("query", query=expression, **when))["result"]
        return result

    async def ask_range(
        self, expression: str, *, from_s: float, to_s: float, step_s: float
    ) -> list[dict[str, Any]]:
        """Return the series of *expression* between two Unix times, with a value each *step_s*."""
        span = {"start": f"{from_s:.3f}", "end": f"{to_s:.3f}", "step": f"{step_s}"}
        result: list[dict[str, Any]] = (await self._get("query_range", query=expression, **span))["result"]
        return result

    async def now_s(self) -> float:
        """Return its Unix time."""
        async with self.session.get(f"{self.url}/api/v1/query", params={"query": "time()"}) as answer:
            return float(orjson.loads(await answer.read())["data"]["result"][1])

    async def alerts(self) -> dict[str, str]:
        """Return the state, `pending` or `firing`, of each alert whose expression holds."""
        states: dict[str, str] = {}
        for alert in await self.alert_list():
            name = alert["labels"]["alertname"]
            states[name] = "firing" if "firing" in (alert["state"], states.get(name)) else alert["state"]
        return states

    async def alert_list(self) -> list[dict[str, Any]]:
        """Return each alert whose expression holds, with its labels and annotations."""
        alerts: list[dict[str, Any]] = (await self._get("alerts"))["alerts"]
        return alerts

    async def _get(self, what: str, **query: str) -> Any:
        async with self.session.get(f"{self.url}/api/v1/{what}", params=query) as answer:
            content = orjson.loads(await answer.read())
        if content["status"] != "success":
            raise AssertionError(f"{content['error']}: {query.get('query')}")
        return content["data"]


@contextlib.contextmanager
def run_prometheus(
    directory: Path, targets: Sequence[str], *, key: str = "", rules: Sequence[Path] = ()
) -> Iterator[str]:
    """Run a Prometheus in *directory* and yield its URL; *targets* are URLs, *key* opens their metrics."""
    directory.mkdir(parents=True, exist_ok=True)
    job: dict[str, Any] = {
        "job_name": JOB,
        "static_configs": [{"targets": [target.removeprefix("http://") for target in targets]}],
    }
    if key:
        job["authorization"] = {"credentials": key}
    config: Mapping[str, Any] = {
        "global": {"scrape_interval": f"{SCRAPE_S}s", "evaluation_interval": f"{SCRAPE_S}s"},
        "rule_files": [str(rule.resolve()) for rule in rules],
        "scrape_configs": [job],
    }
    # JSON is YAML, too.
    (directory / "prometheus.yml").write_bytes(orjson.dumps(config))
    address = f"127.0.0.1:{free_port()}"
    command = ["prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data"]
    log_path = directory / "prometheus.log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [*command, f"--web.listen-address={address}"], cwd=directory, stdout=log, stderr=log
        )
    try:
        _wait(process, log_path)
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait()


def _wait(process: subprocess.Popen[bytes], log: Path) -> None:
    deadline_s = time.monotonic() + _START_S
    while b"ready to receive web requests" not in log.read_bytes():
        if process.poll() is not None or time.monotonic() > deadline_s:
            raise AssertionError(f"Prometheus did not start:\n{log.read_text('utf-8')}")
        time.sleep(0.05)
