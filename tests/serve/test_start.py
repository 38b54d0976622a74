"""Start a gateway as a new user: the terminal, the log, and commands to paste."""

import contextlib
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import orjson
import pytest

from tests.http.house import until
from tests.processes import REPOSITORY, START_S, Gateway, free_port, run_gateway

CLEAN = {
    name: value
    for name, value in os.environ.items()  # noqa: TID251 - the child needs PATH and the like
    if not name.upper().startswith(("GATEWAY_", "OPENAI_", "AWS_", "AZURE_", "GOOGLE_"))
}
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway with keys, started as `make run` does but for its port and directory, logging into a file."""
    directory = tmp_path_factory.mktemp("a new comer")
    with run_gateway(directory, auth="keys", sandbox="true") as running:
        yield running


def greeting_of(gateway: Gateway) -> str:
    [line] = gateway.log_lines("ready")
    return str(line["greeting"])


def commands_of(greeting: str) -> str:
    """Return all that *greeting* has to be pasted, in its order."""
    return re.sub(r"^  (?:key|try) +", "", greeting[greeting.index("  key") :], flags=re.MULTILINE)


def test_the_greeting_is_one_line_of_a_file(keyed: Gateway) -> None:
    lines = [orjson.loads(line) for line in keyed.log.read_text("utf-8").splitlines()]

    assert [line["event"] for line in lines].count("ready") == 1
    assert greeting_of(keyed).startswith(f"Image Gateway is ready at {keyed.url}\n")


def test_a_secret_with_two_names_is_a_warning(tmp_path: Path) -> None:
    config = tmp_path / "gateway.toml"
    config.write_text(
        '[[backends]]\nname = "own"\nurl = "http://127.0.0.1:1/v1"\n'
        'keys = [{ name = "main", key = "sk-canary" }, { name = "again", key = "sk-canary" }]\n'
    )
    with run_gateway(tmp_path / "data", config=config) as gateway:
        lines = [orjson.loads(line) for line in gateway.log.read_text("utf-8").splitlines()]

    [warning] = [line for line in lines if "have the same secret" in line["event"]]
    assert (warning["level"], warning["event"].partition(" have")[0]) == ("warning", "own/main and own/again")
    assert "sk-canary" not in gateway.log.read_text("utf-8")


def test_lines_in_a_file_are_json(keyed: Gateway) -> None:
    httpx.get(f"{keyed.url}/nowhere", trust_env=False)
    until(lambda: keyed.log_lines("request"))

    line = keyed.log_lines("request")[0]

    assert (line["level"], line["route"], line["status"]) == ("info", "other", 401)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", line["timestamp"])


def test_commands_of_the_greeting_can_be_pasted_in_the_checkout(keyed: Gateway) -> None:
    commands = commands_of(greeting_of(keyed))

    pasted = subprocess.run(
        ["sh", "-e"],
        input=commands,
        cwd=REPOSITORY,
        env={**CLEAN, "PATH": "/usr/local/bin:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )

    assert pasted.returncode == 0, pasted.stderr
    assert len(orjson.loads(pasted.stdout)["data"]) == 2
    assert "warning" not in pasted.stderr


@contextlib.contextmanager
def terminal(directory: Path) -> Iterator[tuple[int, subprocess.Popen[bytes], str]]:
    """Run a gateway on a terminal of its own; yields our side of it."""
    ours, theirs = pty.openpty()
    port = free_port()
    settings = {"GATEWAY_PORT": str(port), "GATEWAY_DATA_DIR": str(directory), "TERM": "xterm"}
    process = subprocess.Popen(
        [sys.executable, "-m", "service", "serve"],
        cwd=REPOSITORY,
        env={**CLEAN, **settings},
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    try:
        yield ours, process, f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def read_until(ours: int, text: str) -> str:
    """Return what the terminal shows, without colours, once *text* is in it."""
    shown, deadline_s = "", time.monotonic() + START_S
    while text not in shown:
        assert time.monotonic() < deadline_s, shown
        if select.select([ours], [], [], 0.1)[0]:
            shown += COLOUR.sub("", os.read(ours, 65536).decode())
    return shown


def test_lines_on_a_terminal_are_readable_and_follow_the_greeting(tmp_path: Path) -> None:
    with terminal(tmp_path) as (ours, process, url):
        shown = read_until(ours, '"n": 2}\'')
        httpx.get(f"{url}/nowhere", trust_env=False)
        shown += read_until(ours, "duration_ms")
        process.send_signal(signal.SIGTERM)
        end = read_until(ours, "Shutting down")

    assert shown.startswith("Image Gateway is ready at ")
    assert '{"' not in shown.replace('{"model"', "")
    [line] = [line for line in shown.splitlines() if "/nowhere" in line or "route=other" in line]
    assert re.match(r"\d\d:\d\d:\d\d \[info +\] request +.*method=GET.* status=404", line)
    assert "Shutting down" in end
