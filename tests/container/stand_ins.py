"""Stand-ins for the images of docker-compose.yml where no registry is reached, from Debian's packages.

One system of Debian has Python and all servers; each image is that system with the entry point, the account and the
volume of the image it stands for. There is none for Grafana, which Debian does not have.
"""

import shutil
import subprocess
import sysconfig
from pathlib import Path

from tests.container.shell import Failed, attempt, run

SUITE = "trixie"
"""Its Python is a 3.13, as the Dockerfile's, and its HAProxy a 3.0, as that of docker-compose.yml."""
PACKAGES = (
    "ca-certificates", "haproxy", "prometheus", "python3", "python3-venv", "valkey-server", "valkey-tools", "wget",
)  # fmt: skip
_PATH = "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
_BASE = "docker.io/library/python:3.13-slim"
_IMAGES = {
    # As in the official image, protected mode is off.
    "docker.io/valkey/valkey:9-alpine": """
RUN install -d -o 999 -g 1000 /data \\
    && printf '#!/bin/sh\\n[ "$1" != valkey-server ] || set -- "$@" --protected-mode no\\nexec "$@"\\n' >/entrypoint \\
    && chmod 755 /entrypoint
WORKDIR /data
VOLUME /data
ENTRYPOINT ["/entrypoint"]
CMD ["valkey-server"]
""",
    "docker.io/library/haproxy:3.0-alpine": """
USER haproxy
CMD ["haproxy", "-f", "/usr/local/etc/haproxy/haproxy.cfg"]
""",
    "docker.io/prom/prometheus:v3.5.0": """
RUN install -d -o 65534 -g 65534 /prometheus
USER 65534
WORKDIR /prometheus
VOLUME /prometheus
ENTRYPOINT ["prometheus"]
""",
    # From the wheel that the suite uses.
    "docker.io/chrislusf/seaweedfs:4.48": """
COPY weed /usr/bin/weed
VOLUME /data
""",
}


def build(work: Path) -> None:
    """Make the stand-ins in the storage of *work*, unless it has them."""
    names = [_BASE, *_IMAGES]
    if all(attempt(["buildah", "inspect", "--type", "image", name]).returncode == 0 for name in names):
        return
    system = work / "system.tar"
    _bootstrap(system, log=work / "mmdebstrap.log")
    variables = ["--change", f"ENV PATH={_PATH}", "--change", "ENV LANG=C.UTF-8"]
    run(["podman", "import", "--quiet", *variables, str(system), _BASE], timeout_s=300)
    system.unlink()
    context = work / "context"
    context.mkdir(exist_ok=True)
    shutil.copy(Path(sysconfig.get_path("scripts"), "weed"), context)
    for name, steps in _IMAGES.items():
        file = work / "Dockerfile"
        file.write_text(f"FROM {_BASE}\n{steps}", "utf-8")
        command = [
            "buildah",
            "bud",
            "--quiet",
            "--pull-never",
            "--file",
            str(file),
            "--tag",
            name,
            str(context),
        ]
        run(command, timeout_s=300)


def _bootstrap(system: Path, *, log: Path) -> None:
    unused = ("/usr/bin/promtool", *(f"/usr/share/{folder}/*" for folder in ("doc", "locale", "man")))
    without = [f"--dpkgopt=path-exclude={path}" for path in unused]
    hooks = [
        'ln -s /usr/bin/python3 "$1/usr/local/bin/python"',
        # It trusts the authorities that this machine trusts.
        'cp /etc/ssl/certs/ca-certificates.crt "$1/etc/ssl/certs/"',
    ]
    command = ["mmdebstrap", "--variant=essential", f"--include={','.join(PACKAGES)}", *without]
    command += [f"--customize-hook={hook}" for hook in hooks]
    with log.open("wb") as output:
        done = subprocess.run(
            [*command, SUITE, str(system)], stdout=output, stderr=output, check=False, timeout=900
        )
    if done.returncode != 0:
        raise Failed(f"mmdebstrap: {log.read_text('utf-8', 'replace')[-2000:]}")
