"""How a client script is spoken to: tasks on stdin, what it observed on stdout, one JSON object a line.

Runs inside the client's own venv, so it uses nothing but the standard library. Files to upload lie in the
working directory; pictures that arrive are saved in the task's `outputs`, and their paths are told.
"""

import base64
import json
import sys
import traceback
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

Observation = dict[str, Any]
PICTURE_S = 30


@dataclass(frozen=True, slots=True)
class Task:
    """One thing to do against the gateway at *base_url* (with `/v1`); *prompt* is new each time."""

    base_url: str
    key: str
    prompt: str
    outputs: Path

    @property
    def root_url(self) -> str:
        """The gateway's URL without `/v1`."""
        return self.base_url.removesuffix("/v1")


def serve(about: Observation, operations: Mapping[str, Callable[[Task], Observation]]) -> None:
    """Say who this is, then do what is asked until stdin ends."""
    _tell(about)
    for line in sys.stdin:
        wanted = json.loads(line)
        task = Task(wanted["base_url"], wanted["key"], wanted["prompt"], Path(wanted["outputs"]))
        try:
            observed = operations[wanted["operation"]](task)
        except Exception:  # noqa: BLE001 - what no operation foresaw is told, and fails the test
            observed = {"crash": traceback.format_exc()}
        _tell(observed)


def save_picture(task: Task, entry: Mapping[str, Any]) -> Observation:
    """Save what an entry of `data` carries, fetching its link as an application would."""
    if entry.get("url"):
        # The link is the gateway's own, as is everything here.
        with urllib.request.urlopen(entry["url"], timeout=PICTURE_S) as answer:  # noqa: S310
            return {"came_as": "url", "path": save_bytes(task, answer.read())}
    data = base64.b64decode(entry["b64_json"], validate=True)
    return {"came_as": "b64_json", "path": save_bytes(task, data)}


def save_bytes(task: Task, data: bytes) -> str:
    """Write *data* to a new file and return its path."""
    path = task.outputs / uuid4().hex
    path.write_bytes(data)
    return str(path)


def shorten(value: Any) -> Any:
    """Return *value* with base64 replaced by its length: pictures are told by path."""
    if isinstance(value, Mapping):
        return {
            name: f"{len(item)} characters" if name == "b64_json" else shorten(item)
            for name, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [shorten(item) for item in value]
    return value


def _tell(observation: Observation) -> None:
    # default=str: an observation may hold what a test wants to see and JSON cannot say.
    sys.stdout.write(json.dumps(observation, default=str) + "\n")
    sys.stdout.flush()
