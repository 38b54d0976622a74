"""Run nginx with the configuration of `deploy/nginx` before one gateway, whose stored images it sends itself."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from tests.bench.cores import ANY, CoreSet
from tests.bench.servers import Running, run_command
from tests.processes import REPOSITORY, free_port

NGINX = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
"""Where Debian has it, which is not always on the path."""
_SHIPPED = REPOSITORY / "deploy/nginx"


@contextlib.contextmanager
def run_front(
    directory: Path, *, gateway: str, store: Path, key: str, cores: CoreSet = ANY
) -> Iterator[Running]:
    """Run it before the gateway at the URL *gateway*; *store* is the directory of its images, *key* what the gateway asks for.

    Raises:
        OSError: it is not installed, or does not start.
    """
    if NGINX is None:
        raise OSError("nginx is not installed (sudo apt-get install nginx-light)")
    port = free_port()
    text = (_SHIPPED / "nginx.conf").read_text("utf-8")
    for shipped, here in {
        "worker_processes auto;": f"daemon off; worker_processes 1; pid {directory}/nginx.pid;{_user()}",
        "http {": f"http {{ {_places(directory)}",
        "/dev/stderr": f"{directory}/error.log",
        "/dev/stdout": f"{directory}/access.log",
        "server gateway-1:8080;": f"server {gateway.removeprefix('http://')};",
        "server gateway-2:8080;": "",
        "listen 8080;": f"listen 127.0.0.1:{port};",
        "alias /store/;": f"alias {store}/;",
    }.items():
        assert text.count(shipped) == 1, f"deploy/nginx/nginx.conf has no {shipped}"
        text = text.replace(shipped, here)
    (directory / "nginx.conf").write_text(text, "utf-8")
    shutil.copy(_SHIPPED / "proxy.conf", directory)
    (directory / "store-front-key.conf").write_text(f'proxy_set_header X-Store-Front "{key}";\n', "utf-8")
    command: list[str | Path] = [NGINX, "-p", directory, "-c", directory / "nginx.conf"]
    with run_command(
        [*command, "-e", directory / "error.log"], port, cores=cores, log=directory / "log"
    ) as running:
        yield running


def _user() -> str:
    # Its worker would otherwise be a user that may not read the directory.
    return " user root;" if os.getuid() == 0 else ""


def _places(directory: Path) -> str:
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    return " ".join(f"{kind}_temp_path {directory}/{kind};" for kind in kinds)
