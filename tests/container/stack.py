"""Start docker-compose.yml as an operator does, from a copy of the files that it names."""

import json
import re
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.container.engine import Engine
from tests.container.shell import run
from tests.processes import REPOSITORY, free_port

GATEWAYS = ("gateway-1", "gateway-2")
PROVIDER = "http://provider:9000"
_PROJECT = "image-gateway-try"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """A composed project in *directory*, reached at *url*."""

    engine: Engine
    directory: Path
    url: str

    def compose(self, *arguments: str, timeout_s: float = 240) -> str:
        return run([*self._command(), *arguments], cwd=self.directory, timeout_s=timeout_s)

    def up(self, *services: str, recreate: bool = False) -> None:
        """Start *services*, or all, and wait until they are healthy."""
        options = ["--detach", "--no-build", "--wait", "--wait-timeout", "180"]
        options += ["--pull", "missing" if self.engine.pulls else "never"]
        options += ["--no-deps", "--force-recreate"] if recreate else []
        options += [] if self.engine.pulls or services else ["--scale", "grafana=0"]
        self.compose("up", *options, *services)

    def identity(self, service: str) -> str:
        """Return the id of the container of *service*."""
        return self.compose("ps", "--all", "--quiet", service).strip()

    def container(self, service: str) -> dict[str, Any]:
        return self.engine.inspect(self.identity(service))

    def execute(self, service: str, *command: str) -> str:
        return self.engine.execute(self.identity(service), *command)

    def services(self) -> list[str]:
        """Return the services that have a container."""
        return self.compose("ps", "--all", "--services").split()

    def described(self) -> dict[str, Any]:
        """Return the composition as compose understands it."""
        found: dict[str, Any] = json.loads(self.compose("config", "--format", "json"))
        return found

    def fetch_inside(self, url: str, *, method: str = "GET", body: str = "") -> Any:
        """Return the JSON at *url*, asked from the container of a gateway."""
        asked = (
            "import json, sys, urllib.request as r; method, url, body = sys.argv[1:]; "
            "request = r.Request(url, body.encode() or None, {'content-type': 'application/json'}, method=method); "
            "print(r.urlopen(request, timeout=10).read().decode())"
        )
        return json.loads(self.execute(GATEWAYS[0], "python", "-c", asked, method, url, body))

    def set_latency(self, seconds: float) -> None:
        """Let the provider take *seconds* longer for each order."""
        behaviour = json.dumps({"latency_s": seconds, "paint": "flat"})
        self.fetch_inside(f"{PROVIDER}/sandbox/behaviour", method="PUT", body=behaviour)

    def order(self, prompt: str, **members: object) -> httpx.Response:
        body = {"model": "dall-e-3", "prompt": prompt, "response_format": "url", **members}
        return httpx.post(f"{self.url}/v1/images/generations", json=body, timeout=90, trust_env=False)

    def use_bucket(self) -> None:
        """Take the profile `s3`, as the example of variables says."""
        file = self.directory / ".env"
        file.write_text(re.sub(r"(?m)^#([A-Z_]+=)", r"\1", file.read_text("utf-8")), "utf-8")

    def _command(self) -> Sequence[str]:
        files = ["docker-compose.yml", "provider.yml", *([] if self.engine.pulls else ["without_limits.yml"])]
        named = [part for file in files for part in ("--file", file)]
        return [*self.engine.compose, "--project-name", _PROJECT, *named]


def lay_out(engine: Engine, directory: Path) -> Stack:
    """Copy the files of the composition to *directory*, and fill in its variables; secrets are still missing."""
    directory.mkdir()
    shutil.copy(REPOSITORY / "docker-compose.yml", directory)
    shutil.copytree(REPOSITORY / "deploy", directory / "deploy", ignore=shutil.ignore_patterns("secrets"))
    for name in ("provider.yml", "without_limits.yml"):
        shutil.copy(Path(__file__).with_name(name), directory)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    values = {
        "GATEWAY_PORT": port,
        "GATEWAY_PUBLIC_URL": url,
        "PROMETHEUS_PORT": free_port(),
        "GRAFANA_PORT": free_port(),
        "OPENAI_BASE_URL": f"{PROVIDER}/v1",
    }
    example = (directory / "deploy/compose.env.example").read_text("utf-8")
    for name, value in values.items():
        example, count = re.subn(rf"(?m)^{name}=.*", f"{name}={value}", example)
        assert count == 1, name
    (directory / ".env").write_text(example, "utf-8")
    return Stack(engine=engine, directory=directory, url=url)


def wait_until_ready(stack: Stack, *, timeout_s: float = 60) -> None:
    """Wait until a gateway takes orders through HAProxy."""
    deadline_s = time.monotonic() + timeout_s
    while time.monotonic() < deadline_s:
        try:
            if httpx.get(f"{stack.url}/readyz", timeout=2, trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
