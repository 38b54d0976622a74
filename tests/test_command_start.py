"""Start commands: the modules they load, their help, and Ctrl-C at any moment."""

import asyncio
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version
from importlib.util import find_spec
from inspect import cleandoc
from pathlib import Path
from types import FrameType

import pytest
from typer.testing import CliRunner

from service.commands.root import HELPS, cli, load
from service.serve.interrupts import run_interruptible
from tests.oracles import numbers
from tests.processes import REPOSITORY, Valkey, run_valkey
from tests.shell import Shell

TIMED = (sys.executable, "-X", "importtime")
"""Tells on standard error, line by line, every module that has been loaded."""
MODULE = ("-m", "service")
SCRIPT = (str(Path(sys.executable).with_name("image-gateway")),)
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


@pytest.fixture(scope="module")
def unused_valkey() -> Iterator[Valkey]:
    """A Valkey that no gateway has left a check of its secrets in."""
    with run_valkey() as server:
        yield server


@pytest.fixture
def beside(tmp_path: Path, unused_valkey: Valkey) -> Shell:
    """Beside gateways that share a Valkey."""
    given = {"GATEWAY_REDIS_URL": unused_valkey.url, "GATEWAY_SECRETS": "a-secret-of-these-tests"}
    return Shell(tmp_path, tuple(given.items()))


def start(shell: Shell, *words: str, entry: tuple[str, ...] = MODULE) -> "subprocess.Popen[str]":
    return shell.start(*words, program=(*TIMED, *entry))


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


def interrupt(process: "subprocess.Popen[str]") -> tuple[int, str]:
    """Press Ctrl-C; return the exit code and the output without the loaded modules."""
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    return process.returncode, "\n".join(line for line in said.splitlines() if not module_of(line))


def wait_for(process: "subprocess.Popen[str]", module: str) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        if module_of(line) == module:
            return
    raise AssertionError(f"{module} was not loaded")


def test_help_loads_no_command_and_nothing_that_serves(shell: Shell) -> None:
    modules = loaded_by(shell, "--help")

    assert packages_of(modules) <= OF_HELP
    assert {name for name in modules if name.startswith("service")} <= {
        "service",
        "service.commands",
        "service.commands.root",
    }


def test_the_help_of_serve_loads_nothing_that_serves(shell: Shell) -> None:
    assert packages_of(loaded_by(shell, "serve", "--help")) & OF_SERVING == set()


@pytest.mark.parametrize("words", ADMINISTRATION, ids=" ".join)
def test_administration_loads_nothing_that_serves(beside: Shell, words: tuple[str, ...]) -> None:
    if words[0] == "purge":
        beside.ask("keys", "create", "--team", "shop", "--user", "anna")

    packages = packages_of(loaded_by(beside, *words))

    assert {"typer", "redis", "pydantic_settings"} <= packages
    assert packages & OF_SERVING == set()


@pytest.mark.parametrize("name", ["generate", "edit", "vary"])
def test_an_order_loads_no_part_of_the_gateway(shell: Shell, name: str) -> None:
    modules = loaded_by(shell, name, "--help")

    ours = {module for module in modules if module.startswith("service.")}
    assert {module for module in ours if not module.startswith("service.commands")} == {
        "service.serve",
        "service.serve.interrupts",
    }
    assert packages_of(modules) & OF_SERVING == {"httpx"}
    assert "redis" not in packages_of(modules)


def test_a_gateway_loads_no_part_that_few_gateways_need() -> None:
    command = [sys.executable, "-c", "import sys, service.commands.serving; print(*sys.modules)"]
    modules = subprocess.run(
        command, cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout.split()

    assert "service.wiring.services" in modules
    # For tokens, pixels and the sandbox.
    assert {"joserfc", "PIL", "service.sandbox"} & set(modules) == set()


@pytest.mark.parametrize("name", HELPS)
def test_the_list_has_the_summary_of_each_command(name: str) -> None:
    first = cleandoc(load(name).help).split("\n\n")[0]

    assert HELPS[name] == " ".join(first.splitlines())


def test_every_module_of_a_command_is_in_the_list() -> None:
    modules = (REPOSITORY / "service/commands").glob("*.py")

    assert {path.stem for path in modules if "\napp = " in path.read_text("utf-8")} == set(HELPS)


def test_every_command_is_in_the_list() -> None:
    text = CliRunner().invoke(cli, ["--help"]).stdout

    assert [name for name in HELPS if f" {name} " not in text] == []
    assert CliRunner().invoke(cli, ["kesy"]).exit_code == 2
    assert "'keys'" in CliRunner().invoke(cli, ["kesy"]).stderr


def test_the_version_is_that_of_the_package() -> None:
    assert CliRunner().invoke(cli, ["--version"]).stdout == f"image-gateway {version('image-gateway')}\n"


@pytest.mark.parametrize("entry", [MODULE, SCRIPT], ids=["module", "script"])
@pytest.mark.parametrize("module", ["typer", "redis", "service.commands.state"])
def test_ctrl_c_ends_a_command_that_is_being_loaded(
    shell: Shell, module: str, entry: tuple[str, ...]
) -> None:
    with start(shell, "keys", "list", entry=entry) as process:
        wait_for(process, module)
        code, said = interrupt(process)

    assert said == ""
    assert code == 130


@pytest.mark.parametrize("module", ["typer", "fastapi", "service.wiring.services"])
def test_ctrl_c_ends_a_gateway_that_is_being_loaded(shell: Shell, module: str) -> None:
    with start(shell, "serve") as process:
        wait_for(process, module)
        code, said = interrupt(process)

    assert said == ""
    assert code == 130


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2])
def test_a_signal_for_the_log_level_does_not_end_a_gateway_that_is_being_loaded(
    shell: Shell, number: signal.Signals
) -> None:
    with start(shell, "serve") as process:
        wait_for(process, "typer")
        process.send_signal(number)
        wait_for(process, "fastapi")
        code, _ = interrupt(process)

    assert code == 130


def test_ctrl_c_closes_resources_before_a_command_ends() -> None:
    closed = []

    async def work() -> None:
        try:
            signal.raise_signal(signal.SIGINT)
            await asyncio.Event().wait()
        finally:
            closed.append("connection")

    def leave(number: int, frame: FrameType | None) -> None:
        raise AssertionError("ended at once")

    before = signal.signal(signal.SIGINT, leave)
    try:
        with pytest.raises(KeyboardInterrupt), asyncio.Runner() as runner:
            run_interruptible(runner, work())

        assert closed == ["connection"]
        assert signal.getsignal(signal.SIGINT) is leave
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("step", numbers(2, all_=6))
def test_ctrl_c_during_a_command_leaves_no_traceback_and_no_server(shell: Shell, step: int) -> None:
    with start(shell, "keys", "create", "--team", "shop", "--user", "anna") as process:
        wait_for(process, "service.commands.state")
        time.sleep(step * 0.04)
        code, said = interrupt(process)

    assert "Traceback" not in said
    assert code in (0, 130)
    # A server that was left behind would keep the lock of its directory.
    assert shell.run("keys", "list").returncode == 0


@pytest.mark.parametrize("step", numbers(1, all_=4))
def test_ctrl_c_during_the_start_of_a_gateway_leaves_no_traceback(shell: Shell, step: int) -> None:
    with start(shell, "serve") as process:
        wait_for(process, "service.app")
        time.sleep(step * 0.12)
        code, said = interrupt(process)

    assert "Traceback" not in said
    assert code in (0, 130)


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """A server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


def test_ctrl_c_ends_a_command_that_waits_for_redis(tmp_path: Path, silent: socket.socket) -> None:
    port = silent.getsockname()[1]
    given = {
        "REDIS_URL": f"redis://127.0.0.1:{port}",
        "REDIS_TIMEOUT_S": "5",
        "SECRETS": "a-secret-of-these-tests",
    }
    shell = Shell(tmp_path, tuple((f"GATEWAY_{name}", value) for name, value in given.items()))

    with shell.start("keys", "list") as process, silent.accept()[0]:
        code, said = interrupt(process)

    assert (code, said) == (130, "")


def test_ctrl_c_ends_a_command_that_waits_for_a_gateway(tmp_path: Path, silent: socket.socket) -> None:
    url = f"http://127.0.0.1:{silent.getsockname()[1]}"
    shell = Shell(tmp_path, (("GATEWAY_URL", url), ("NO_PROXY", "*")))

    with shell.start("generate", "a lighthouse", "--out", str(tmp_path)) as process, silent.accept()[0]:
        code, said = interrupt(process)

    assert code == 130
    assert said.startswith("error: Interrupted after 0 of 1 image.")
    assert len(said.splitlines()) == 1


def test_help_and_errors_of_the_sandbox_name_the_command_that_was_typed(shell: Shell) -> None:
    shown = []
    for words in (("--help",), ("--prot", "1")):
        with shell.start("sandbox", *words, program=SCRIPT) as process:
            output, errors = process.communicate(timeout=30)
        shown.append((process.returncode, (output + errors).split("[OPTIONS]")[0].strip()))

    assert shown == [(0, "Usage: image-gateway sandbox"), (2, "Usage: image-gateway sandbox")]


def test_ctrl_c_ends_a_confirmation(shell: Shell) -> None:
    with shell.start("purge", "--user", "anna") as process:
        assert process.stderr is not None
        asked = process.stderr.read(len("Erase 'anna'"))
        code, _ = interrupt(process)

    assert asked == "Erase 'anna'"
    assert code == 130
