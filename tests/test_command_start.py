"""How a command starts: what it loads, and what its help says."""

import subprocess
import sys
from importlib.metadata import version
from importlib.util import find_spec
from inspect import cleandoc
from pathlib import Path

import pytest
from typer.testing import CliRunner

from service.commands.root import HELPS, cli, load
from tests.processes import REPOSITORY, Valkey
from tests.shell import Shell

TIMED = (sys.executable, "-X", "importtime", "-m", "service")
"""Tells on standard error, line by line, every module that has been loaded."""
OF_HELP = {
    "annotated_doc",
    "attr",
    "markdown_it",
    "mdurl",
    "pygments",
    "rich",
    "service",
    "shellingham",
    "typer",
}
OF_SERVING = {
    "PIL",
    "aiohttp",
    "fastapi",
    "httpx",
    "joserfc",
    "obstore",
    "openai",
    "prometheus_client",
    "starlette",
    "structlog",
    "uvicorn",
    "uvloop",
}
ADMINISTRATION = [
    ("keys", "create", "--team", "shop", "--user", "anna"),
    ("keys", "list"),
    ("teams", "list"),
    ("policies", "list"),
    ("policies", "set", "careful", "--models", "dall-e-3"),
    ("usage", "show"),
    ("usage", "export"),
    ("cache", "stats"),
    ("cache", "purge", "--older-than", "0d", "--yes"),
    ("audit",),
    ("purge", "--user", "anna", "--yes"),
]


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Without a gateway, in a directory that is not there yet."""
    return Shell(tmp_path / "data", (("GATEWAY_PORT", "0"),))


@pytest.fixture
def beside(tmp_path: Path, valkey: Valkey) -> Shell:
    """Beside gateways that share a Valkey."""
    given = {"GATEWAY_REDIS_URL": valkey.url, "GATEWAY_SECRETS": "a-secret-of-these-tests"}
    return Shell(tmp_path, tuple(given.items()))


def start(shell: Shell, *words: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [*TIMED, *words],
        env=shell.environment(),
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def module_of(line: str) -> str:
    return line.rpartition("|")[2].strip() if line.startswith("import time:") else ""


def loaded_by(shell: Shell, *words: str) -> set[str]:
    """Return all modules that a command that succeeds loads."""
    with start(shell, *words) as process:
        _, said = process.communicate(timeout=30)
    assert process.returncode == 0, said
    modules = [module_of(line) for line in said.splitlines()]
    # Up to here Python starts by itself.
    return set(modules[modules.index("site") + 1 :]) - {""}


def packages_of(modules: set[str]) -> set[str]:
    """Return the packages among *modules* that are not Python's own; some are tried and not there."""
    packages = {name.partition(".")[0] for name in modules} - sys.stdlib_module_names
    return {name for name in packages if find_spec(name)}


def test_help_loads_no_command_and_nothing_that_serves(shell: Shell) -> None:
    modules = loaded_by(shell, "--help")

    assert packages_of(modules) <= OF_HELP
    assert {name for name in modules if name.startswith("service")} <= {
        "service",
        "service.commands",
        "service.commands.root",
    }


@pytest.mark.parametrize("words", ADMINISTRATION, ids=" ".join)
def test_administration_loads_nothing_that_serves(beside: Shell, words: tuple[str, ...]) -> None:
    if words[0] == "purge":
        beside.ask("keys", "create", "--team", "shop", "--user", "anna")

    packages = packages_of(loaded_by(beside, *words))

    assert {"typer", "redis", "pydantic_settings"} <= packages
    assert packages & OF_SERVING == set()


@pytest.mark.parametrize("name", HELPS)
def test_the_list_of_commands_says_what_each_says_of_itself(name: str) -> None:
    first = cleandoc(load(name).help).split("\n\n")[0]

    assert HELPS[name] == " ".join(first.splitlines())


def test_every_command_is_in_the_list() -> None:
    text = CliRunner().invoke(cli, ["--help"]).stdout

    assert [name for name in HELPS if f" {name} " not in text] == []
    assert CliRunner().invoke(cli, ["kesy"]).exit_code == 2
    assert "'keys'" in CliRunner().invoke(cli, ["kesy"]).stderr


def test_the_version_is_that_of_the_package() -> None:
    assert CliRunner().invoke(cli, ["--version"]).stdout == f"image-gateway {version('image-gateway')}\n"
