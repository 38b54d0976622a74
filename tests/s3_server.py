"""A real S3 server for tests: SeaweedFS, in processes of its own.

Owns starting and stopping it; it listens on loopback and keeps everything in a
temporary directory. What answers S3 requests is a process beside those that hold
the data, so that it can hang and come back within a second.
"""

import contextlib
import json
import re
import signal
import subprocess
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from tests.processes import free_port, send_signal

BUCKET = "pictures"
REGION = "us-east-1"
READER = ("reader", "reader-secret-7f3a")
"""Key and secret of who may do anything with objects, and nothing with buckets."""
_OWNER = ("owner", "owner-secret-91bc")
_START_S = 40.0


class S3Server:
    """A running server at *endpoint*, with the bucket `BUCKET`; its log is in *directory*."""

    def __init__(self, directory: Path, *, port: int, filer: int, filer_grpc: int) -> None:
        self.endpoint = f"http://127.0.0.1:{port}"
        self.grpc_port = free_port()
        self._directory = directory
        self._arguments = [
            "s3",
            f"-filer=127.0.0.1:{filer}.{filer_grpc}",
            "-ip.bind=127.0.0.1",
            f"-port={port}",
            f"-port.grpc={self.grpc_port}",
            "-port.iceberg=0",
            "-port.lance=0",
            "-iam=false",
            "-config=identities.json",
        ]
        self._front: subprocess.Popen[bytes] | None = None

    def settings(self, prefix: str) -> dict[str, object]:
        """Return what a gateway is told whose pictures are under *prefix*."""
        return {
            "store_url": f"s3://{BUCKET}/{prefix}",
            "store_endpoint": self.endpoint,
            "store_region": REGION,
            "store_access_key_id": READER[0],
            "store_secret_access_key": READER[1],
        }

    def open_bucket(self, prefix: str) -> S3Store:
        """Open what is under *prefix*, past any store of ours."""
        return _open_bucket(self.endpoint, *READER, prefix=prefix)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to what answers requests, such as SIGSTOP for a hung server."""
        if self._front is not None:
            send_signal(self._front, number)

    def start(self) -> None:
        """Answer requests."""
        self._front = _start(self._directory, self._arguments)
        _wait_until(self._is_answering, self._directory)

    def stop(self) -> None:
        """Answer none any more, as after a crash; what was kept stays."""
        if self._front is not None:
            self._front.kill()
            self._front.wait()
            self._front = None

    def _is_answering(self) -> bool:
        bucket = _open_bucket(self.endpoint, *_OWNER, timeout="5s", max_retries=0)
        try:
            obstore.put(bucket, "first", b"makes the bucket")
        except (BaseError, OSError):
            return False
        return True


def _open_bucket(
    endpoint: str,
    key: str,
    secret: str,
    *,
    prefix: str | None = None,
    timeout: str = "30s",
    max_retries: int = 10,
) -> S3Store:
    return S3Store(
        BUCKET,
        prefix=prefix,
        endpoint=endpoint,
        region=REGION,
        access_key_id=key,
        secret_access_key=secret,
        client_options={"allow_http": True, "timeout": timeout},
        retry_config={"max_retries": max_retries},
    )


@contextlib.contextmanager
def run_s3() -> Iterator[S3Server]:
    """Run a server until the block ends."""
    names = ("master", "master_grpc", "volume", "volume_grpc", "filer", "filer_grpc", "s3")
    ports = {name: free_port() for name in names}
    with tempfile.TemporaryDirectory(prefix="ig-s3-") as temporary, contextlib.ExitStack() as stack:
        directory = Path(temporary)
        (directory / "data").mkdir()
        _write_identities(directory / "identities.json")
        master = _start(directory, _master_arguments(ports))
        stack.callback(_end, master)
        # A volume server that finds no leader looks again only after five seconds.
        _wait_until(lambda: _is_leading(ports["master"]), directory)
        stack.callback(_end, _start(directory, _data_arguments(ports)))
        server = S3Server(directory, port=ports["s3"], filer=ports["filer"], filer_grpc=ports["filer_grpc"])
        stack.callback(_remove_sockets, {*ports.values(), server.grpc_port})
        stack.callback(server.stop)
        _wait_until(lambda: _is_up(ports["filer"]), directory)
        server.start()
        yield server


def _master_arguments(ports: dict[str, int]) -> list[str]:
    return [
        "master",
        "-mdir=data",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        f"-port={ports['master']}",
        f"-port.grpc={ports['master_grpc']}",
        # It would send statistics to its makers.
        "-telemetry=false",
        "-electionTimeout=1s",
        "-volumeSizeLimitMB=64",
    ]


def _data_arguments(ports: dict[str, int]) -> list[str]:
    return [
        "server",
        "-master=false",
        f"-master.peers=127.0.0.1:{ports['master']}.{ports['master_grpc']}",
        "-dir=data",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        f"-volume.port={ports['volume']}",
        f"-volume.port.grpc={ports['volume_grpc']}",
        "-volume.max=50",
        "-filer",
        f"-filer.port={ports['filer']}",
        f"-filer.port.grpc={ports['filer_grpc']}",
    ]


def _write_identities(path: Path) -> None:
    rights = {_OWNER: ["Admin"], READER: ["Read", "Write", "List", "Tagging"]}
    identities = [
        {"name": key, "credentials": [{"accessKey": key, "secretKey": secret}], "actions": actions}
        for (key, secret), actions in rights.items()
    ]
    path.write_text(json.dumps({"identities": identities}), "utf-8")


def _start(directory: Path, arguments: list[str]) -> subprocess.Popen[bytes]:
    weed = Path(sysconfig.get_path("scripts")) / "weed"
    with (directory / "log").open("ab") as log:
        return subprocess.Popen(
            [weed, "-logtostderr=true", *arguments], cwd=directory, stdout=log, stderr=log
        )


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def _remove_sockets(ports: set[int]) -> None:
    """Remove what a killed server leaves; it knows no other place for them."""
    for port in ports:
        for path in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):  # noqa: S108
            path.unlink(missing_ok=True)


def _is_leading(port: int) -> bool:
    status = _get(f"http://127.0.0.1:{port}/cluster/status")
    return status is not None and bool(re.search(r'"IsLeader":\s*true', status))


def _is_up(port: int) -> bool:
    return _get(f"http://127.0.0.1:{port}/") is not None


def _get(url: str) -> str | None:
    try:
        return httpx.get(url, trust_env=False, timeout=5).text
    except httpx.TransportError:
        return None


def _wait_until(is_so: Callable[[], bool], directory: Path) -> None:
    deadline_s = time.monotonic() + _START_S
    while time.monotonic() < deadline_s:
        if is_so():
            return
        time.sleep(0.03)
    raise AssertionError(f"SeaweedFS did not start:\n{(directory / 'log').read_text('utf-8')[-4000:]}")
