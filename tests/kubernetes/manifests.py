"""Render `deploy/kubernetes` with kubectl, and look things up in the objects.

kubectl is in `.venv-deploy`, an environment that `make lint-deploy` makes.
"""

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.processes import REPOSITORY

DIRECTORY = REPOSITORY / "deploy" / "kubernetes"
TOOLS = REPOSITORY / ".venv-deploy" / "bin"
_UNITS = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30}
_TOOL_S = 60

Object = dict[str, Any]


@dataclass(frozen=True)
class Manifests:
    """The objects of one rendered directory."""

    objects: list[Object]

    def of_kind(self, kind: str) -> list[Object]:
        return [each for each in self.objects if each["kind"] == kind]

    def the(self, kind: str) -> Object:
        """Return the one object of *kind*."""
        [one] = self.of_kind(kind)
        return one

    @property
    def gateways(self) -> Object:
        return dict(self.the("StatefulSet")["spec"])

    @property
    def template(self) -> Object:
        return dict(self.gateways["template"])

    @property
    def pod(self) -> Object:
        return dict(self.template["spec"])

    @property
    def container(self) -> Object:
        [one] = self.pod["containers"]
        return dict(one)

    @property
    def settings(self) -> dict[str, str]:
        """The variables of the container: those of its ConfigMaps and its own."""
        maps = {each["metadata"]["name"]: each.get("data", {}) for each in self.of_kind("ConfigMap")}
        given: dict[str, str] = {}
        for source in self.container["envFrom"]:
            given |= maps[source["configMapRef"]["name"]]
        return given | {each["name"]: each["value"] for each in self.container["env"]}


def render(directory: Path) -> Manifests:
    """Return the objects that kustomize makes of *directory*."""
    return Manifests(list(yaml.safe_load_all(run_tool("kubectl", "kustomize", str(directory)))))


def run_tool(name: str, *arguments: str, given: str = "") -> str:
    """Run a program of `.venv-deploy` and return its output; fails with both outputs."""
    command = [str(TOOLS / name), *arguments]
    done = subprocess.run(
        command, input=given, capture_output=True, text=True, timeout=_TOOL_S, check=False, cwd=REPOSITORY
    )
    assert done.returncode == 0, f"{name}: {done.stdout}\n{done.stderr}"
    return done.stdout


def to_bytes(quantity: str) -> int:
    """Return the bytes of a quantity such as `4Gi`."""
    return int(quantity[:-2]) * _UNITS[quantity[-2:]]


def selects(selector: Object, labels: dict[str, str]) -> bool:
    """Tell if a selector of labels, with or without `matchLabels`, finds *labels*; an empty one finds nothing here."""
    wanted = selector.get("matchLabels", selector)
    return bool(wanted) and wanted.items() <= labels.items()
