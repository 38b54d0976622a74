"""Run nginx with one worker: it sends orders on to the provider, and serves the files of a directory."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench.cores import CoreSet
from tests.bench.servers import Running, run_command
from tests.processes import free_port

_CONFIGURATION = """
daemon off;
worker_processes 1;
{user}
pid {directory}/nginx.pid;
error_log {directory}/error.log;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    client_max_body_size 64m;
    client_body_temp_path {directory}/client;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    types {{ image/png png; }}
    upstream provider {{ server {provider}; keepalive 1024; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://provider;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_max_temp_file_size 0;
        }}
        location /files/ {{ alias {directory}/files/; }}
    }}
}}
"""


@contextmanager
def run_nginx(directory: Path, provider: Running, *, cores: CoreSet) -> Iterator[Running]:
    """Run it; `/files/` are those of *directory*`/files`.

    Raises:
        OSError: it is not installed, or does not start.
    """
    # Where Debian has it, which is not always on the path.
    program = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
    if program is None:
        raise OSError("it is not installed (sudo apt-get install nginx-light)")
    port, file = free_port(), directory / "nginx.conf"
    (directory / "files").mkdir(exist_ok=True)
    file.write_text(
        _CONFIGURATION.format(
            # Its worker would otherwise be a user that may not read the directory.
            user="user root;" if os.getuid() == 0 else "",
            directory=directory,
            provider=provider.url.removeprefix("http://"),
            port=port,
        ),
        "utf-8",
    )
    log = directory / "nginx.log"
    command: list[str | Path] = [program, "-p", directory, "-c", file, "-e", directory / "error.log"]
    with run_command(command, port, cores=cores, log=log) as running:
        yield running
