"""Check the image: its labels, account, contents and command line."""

import json
import tomllib
from typing import Any

from service import malloc
from tests.container.engine import Engine
from tests.container.proofs import Proofs
from tests.processes import REPOSITORY

MOST_BYTES = 150_000_000
"""Beyond the base image."""
SECRET = "of-the-trial"
_SETTINGS = (
    "--env=GATEWAY_ALLOW_OPEN=true",
    "--env=GATEWAY_PUBLIC_URL=https://images.example.com",
    f"--env=GATEWAY_REDIS_URL=redis://:pass-{SECRET}@valkey/0",
    f"--env=GATEWAY_SECRETS=a-secret-{SECRET}",
)
_FACTS = """
import importlib.metadata as m, importlib.util as u, json, os, pathlib
home = pathlib.Path("/opt/image-gateway")
print(json.dumps({
    "account": [os.getuid(), os.getgid()],
    "writes": os.access(home, os.W_OK),
    "bytes": sum(path.lstat().st_size for path in home.rglob("*") if not path.is_dir()),
    "pth": [str(path) for path in home.rglob("*.pth")],
    "tools": [name for name in ("pip", "setuptools", "pytest") if u.find_spec(name)],
    "installed": sorted(f"{one.name.lower()} {one.version}" for one in m.distributions()),
    "listed": json.loads((home / "sbom.cdx.json").read_text()),
    "malloc": {name: value for name, value in os.environ.items() if name.startswith("MALLOC_")},
}))
"""


def check_image(engine: Engine, image: str, proofs: Proofs, *, revision: str) -> None:
    """Check what can be seen without a server."""
    _check_description(engine.inspect(image, kind="image"), proofs, revision=revision)
    facts = json.loads(engine.run_once(image, "-c", _FACTS, options=["--entrypoint=python"]))
    _check_facts(facts, proofs)
    _check_commands(engine, image, proofs)


def _check_description(described: dict[str, Any], proofs: Proofs, *, revision: str) -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
    config = described["Config"]
    labels = {
        name.removeprefix("org.opencontainers.image."): value for name, value in config["Labels"].items()
    }
    expected = {"revision": revision, "version": project["version"], "licenses": project["license"]}
    seen = {name: labels.get(name) for name in expected}
    proofs.hold(
        seen == expected and {"source", "created", "base.name"} <= labels.keys(),
        f"labels: version {labels['version']}, revision {labels['revision'][:9]}, source, created, base.name",
        labels,
    )
    health = config.get("Healthcheck") or described.get("Healthcheck") or {}
    ending = (
        config["User"],
        config["StopSignal"],
        config["ExposedPorts"],
        "/livez" in str(health.get("Test")),
    )
    proofs.hold(
        ending == ("10001:10001", "SIGTERM", {"8080/tcp": {}}, True),
        "account, stop signal, port, health check",
        ending,
    )


def _check_facts(facts: dict[str, Any], proofs: Proofs) -> None:
    proofs.hold(
        facts["bytes"] < MOST_BYTES,
        f"{facts['bytes'] / 1e6:.0f} MB beyond its base, of at most {MOST_BYTES / 1e6:.0f} MB",
    )
    proofs.hold(
        facts["account"] == [10001, 10001] and not facts["writes"],
        "runs as 10001:10001 and owns no code",
        facts["account"],
    )
    # A .pth file runs code at every start of Python; malicious packages use it.
    proofs.hold(
        facts["pth"] == [] and facts["tools"] == [], "no .pth file, pip, setuptools or pytest", facts["tools"]
    )
    listed = facts["listed"]
    names = {
        f"{one['name'].lower()} {one['version']}"
        for one in (*listed["components"], listed["metadata"]["component"])
    }
    proofs.hold(
        listed["bomFormat"] == "CycloneDX" and names == set(facts["installed"]),
        f"its SBOM (CycloneDX {listed['specVersion']}) lists the {len(names)} packages that are installed, and no other",
        names ^ set(facts["installed"]),
    )
    proofs.hold(
        facts["malloc"]
        == {
            "MALLOC_MMAP_THRESHOLD_": str(malloc.MAPPED_BYTES),
            "MALLOC_TRIM_THRESHOLD_": str(malloc.KEPT_BYTES),
            "MALLOC_ARENA_MAX": str(malloc.ARENAS),
        },
        "the malloc settings of service/malloc.py",
        facts["malloc"],
    )


def _check_commands(engine: Engine, image: str, proofs: Proofs) -> None:
    proofs.hold("serve" in engine.run_once(image, "--help"), "image-gateway --help")
    shown = engine.run_once(image, "config", options=[*_SETTINGS, "--env=GATEWAY_SANDBOX=true"])
    proofs.hold(
        '"public_url": "https://images.example.com"' in shown and SECRET not in shown,
        "image-gateway config shows what is set, without secrets",
        shown,
    )
    for missing, variable, options in (
        ("settings", "GATEWAY_ALLOW_OPEN", ()),
        ("a public URL", "GATEWAY_PUBLIC_URL", ("--env=GATEWAY_ALLOW_OPEN=true",)),
        ("a provider", "OPENAI_API_KEY", _SETTINGS),
    ):
        code, error = engine.run_in_vain(image, options)
        lines = error.splitlines()
        is_refused = code == 1 and len(lines) == 1 and lines[0].startswith("error: ") and variable in lines[0]
        proofs.hold(is_refused, f"without {missing}: exit code 1, one line that names {variable}", error)
