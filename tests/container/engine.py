"""Talk to an engine, Docker or podman, and to its compose."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.container.shell import attempt, run

HARDENED = (
    "--rm", "--no-healthcheck", "--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--tmpfs=/tmp",
    "--network=none",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """Commands of an engine and of its compose."""

    program: str
    compose: Sequence[str]
    pulls: bool
    """It pulls images; otherwise stand-ins are present under their names."""

    def inspect(self, name: str, *, kind: str = "container") -> dict[str, Any]:
        """Return the engine's description of a container or image."""
        found: dict[str, Any] = json.loads(run([self.program, kind, "inspect", name]))[0]
        return found

    def run_once(self, image: str, *command: str, options: Sequence[str] = ()) -> str:
        """Return the output of a hardened container without network."""
        return run([self.program, "run", *HARDENED, *options, image, *command])

    def run_in_vain(self, image: str, options: Sequence[str]) -> tuple[int, str]:
        """Return exit code and standard error of a hardened container that may fail."""
        done = attempt([self.program, "run", *HARDENED, *options, image])
        return done.returncode, done.stderr

    def execute(self, container: str, *command: str, timeout_s: float = 30) -> str:
        """Return the output of a command in a running container."""
        return run([self.program, "exec", container, *command], timeout_s=timeout_s)


def find_docker() -> Engine | None:
    """Return the Docker engine of this machine, if it runs and has compose."""
    commands = (["docker", "info"], ["docker", "compose", "version"])
    try:
        works = all(attempt(command).returncode == 0 for command in commands)
    except FileNotFoundError:
        return None
    return Engine(program="docker", compose=["docker", "compose"], pulls=True) if works else None
