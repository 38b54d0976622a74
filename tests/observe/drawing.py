"""Draw a dashboard with Grafana's own components: a page made of `draw/`, in a Chromium without a window."""

import contextlib
import functools
import http.server
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
from PIL import Image

WIDTH_PX = 1440
"""Of a laptop's screen."""
_SOURCES = Path(__file__).parent / "draw"
_PATIENCE_S = 120
_PAGE = b"""<!doctype html><meta charset="utf-8"><title>Dashboard</title>
<script>window.__grafana_public_path__ = "/public/"</script>
<link rel="stylesheet" href="/page.css"><div id="root"></div><script src="/page.js"></script>"""


class Studio:
    """A place with the page and its server; *packages* is what `npm ci` installed for `draw/package.json`."""

    def __init__(self, directory: Path, packages: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory, self._packages = directory, packages
        found = filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome")))
        self._chromium = next(found)
        _bundle(directory, packages)
        (directory / "index.html").write_bytes(_PAGE)
        _give_public_files(directory / "public", packages)

    def draw(
        self, dashboard: dict[str, Any], answers: dict[int, Any], *, from_s: float, to_s: float, to: Path
    ) -> None:
        """Draw the answers to the queries of each panel, by its id, and write the image; raises if a panel fails."""
        page = {
            "dashboard": dashboard,
            "answers": answers,
            "fromMs": from_s * 1000,
            "toMs": to_s * 1000,
            "width": WIDTH_PX,
        }
        (self._directory / "dashboard.json").write_bytes(orjson.dumps(page, option=orjson.OPT_NON_STR_KEYS))
        with _serve(self._directory) as url:
            command = ["node", str(_SOURCES / "shoot.cjs"), self._chromium, url, f"{WIDTH_PX}", str(to)]
            shot = subprocess.run(
                command,
                check=False,
                capture_output=True,
                encoding="utf-8",
                env=_environment(self._packages),
                timeout=_PATIENCE_S,
            )
        if shot.returncode != 0:
            raise AssertionError(f"{dashboard['title']} could not be drawn:\n{shot.stderr}")
        _reduce_colours(to)


def _bundle(directory: Path, packages: Path) -> None:
    command = [
        str(packages / ".bin" / "esbuild"),
        str(_SOURCES / "page.jsx"),
        "--bundle",
        "--jsx=automatic",
        f"--outdir={directory}",
        "--loader:.svg=text",
        "--loader:.woff2=dataurl",
        "--loader:.ttf=dataurl",
        '--define:process.env.NODE_ENV="production"',
        "--log-level=warning",
    ]
    subprocess.run(command, check=True, env=_environment(packages))


def _reduce_colours(path: Path) -> None:
    """Reduce an image to a palette, a third of the bytes; colours of few points may change a little."""
    with Image.open(path) as image:
        reduced = image.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    reduced.save(path, optimize=True)


def _environment(packages: Path) -> dict[str, str]:
    return {**os.environ, "NODE_PATH": str(packages)}  # noqa: TID251 - a child needs PATH


def _give_public_files(public: Path, packages: Path) -> None:
    """Put icons and fonts where Grafana's server has them."""
    (public / "fonts" / "inter").mkdir(parents=True)
    (public / "build").symlink_to(packages / "@grafana" / "ui" / "dist" / "public")
    font = packages / "@fontsource-variable" / "inter" / "files" / "inter-latin-wght-normal.woff2"
    for weight in ("Regular", "Medium"):
        (public / "fonts" / "inter" / f"Inter-{weight}.woff2").symlink_to(font)


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as the base class names it
        """Say nothing."""


@contextlib.contextmanager
def _serve(directory: Path) -> Iterator[str]:
    handler = functools.partial(_Quiet, directory=str(directory))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()
