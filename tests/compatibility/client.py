"""A client script as a process that tests speak to.

Owns starting and ending it, and the conversation; what the client can do is the script's.
"""

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from tests.compatibility.environments import CACHE, REPOSITORY, python_of
from tests.compatibility.pictures import draw_inputs
from tests.compatibility.pins import Pin

SCRIPTS = Path(__file__).parent / "clients"
Observation = dict[str, Any]


@dataclass(slots=True)
class Client:
    """A running client; *label* names it with the version that it imported."""

    pin: Pin
    label: str
    inputs: Path
    outputs: Path
    process: subprocess.Popen[str]

    def observe(
        self, operation: str, base_url: str, prompt: str | None = None, *, key: str | None = None
    ) -> Observation:
        """Have the client do something and return what it saw; *prompt* is a new one unless given."""
        task = {
            "operation": operation,
            "base_url": f"{base_url}/v1",
            "key": key or f"sk-{self.pin.name}",
            "prompt": prompt or f"a lighthouse in the fog, take {uuid4().hex[:8]}",
            "outputs": str(self.outputs),
        }
        if self.process.stdin is None:
            raise AssertionError("stdin is not a pipe")
        self.process.stdin.write(json.dumps(task) + "\n")
        self.process.stdin.flush()
        observed = read_line(self.process)
        assert "crash" not in observed, observed["crash"]
        return observed


@contextlib.contextmanager
def run_client(pin: Pin, directory: Path) -> Iterator[Client]:
    """Start the client of *pin* in *directory*, beside pictures to upload."""
    inputs, outputs = directory / "inputs", directory / "outputs"
    inputs.mkdir(parents=True)
    outputs.mkdir()
    draw_inputs(inputs)
    command = _command(pin)
    with (directory / "stderr.txt").open("w+") as complaints:
        process = subprocess.Popen(
            command,
            cwd=inputs,
            env=client_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            text=True,
        )
        with process:
            try:
                about = read_line(process)
                assert about["version"] == pin.version
                yield Client(
                    pin, f"{about['name']} {about['version']}, {about['on']}", inputs, outputs, process
                )
            finally:
                process.kill()


def read_line(process: subprocess.Popen[str]) -> Observation:
    """Return the next thing a client tells."""
    if process.stdout is None:
        raise AssertionError("stdout is not a pipe")
    line = process.stdout.readline()
    if not line:
        raise AssertionError("the client ended; see its stderr.txt")
    observed: Observation = json.loads(line)
    return observed


def _command(pin: Pin) -> list[str]:
    script = str(SCRIPTS / pin.script)
    if pin.is_node:
        return ["node", script, str(CACHE / pin.name)]
    return [str(python_of(pin)), script]


def client_environment() -> dict[str, str]:
    """Return ours without proxies, which loopback does without, and with the way to `tests`."""
    environment = {
        name: value
        for name, value in os.environ.items()  # noqa: TID251 - the child needs PATH and the like
        if not name.upper().endswith("_PROXY") and not name.upper().startswith(("GATEWAY_", "OPENAI_"))
    }
    return environment | {
        "PYTHONPATH": str(REPOSITORY),
        # Frameworks that would ask the network for prices, or tell it of their use, and wait.
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "HAYSTACK_TELEMETRY_ENABLED": "False",
    }
