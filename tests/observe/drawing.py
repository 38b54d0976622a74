"""Draw a dashboard with Grafana's own components: a page that `draw/` makes, in a Chromium without a window."""

import contextlib
import functools
import http.server
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

WIDTH_PX = 1440
"""Of a laptop's screen."""
_SOURCES = Path(__file__).parent / "draw"
_HEAD_PX, _UNITS_PX, _EDGE_PX = 48, 38, 8
_PATIENCE_S = 60
_PAGE = b"""<!doctype html><meta charset="utf-8"><title>Dashboard</title>
<script>window.__grafana_public_path__ = "/public/"</script>
<link rel="stylesheet" href="/page.css"><div id="root"></div><script src="/page.js"></script>"""


class Studio:
    """A place with the page and its server; *packages* is what `npm ci` installed for `draw/package.json`."""

    def __init__(self, directory: Path, packages: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
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
        height = _HEAD_PX + _EDGE_PX + _UNITS_PX * _last_unit(dashboard)
        with _serve(self._directory) as url:
            shown = self._browse("--dump-dom", f"--window-size={WIDTH_PX},{height}", url)
            if b"data-drawn=" not in shown or b"data-failed=" in shown:
                raise AssertionError(f"{dashboard['title']} could not be drawn:\n{_failure(shown)}")
            self._browse(f"--screenshot={to}", f"--window-size={WIDTH_PX},{height}", url)

    def _browse(self, *arguments: str) -> bytes:
        with tempfile.TemporaryDirectory(prefix="ig-browser-") as profile:
            command = [
                self._chromium,
                "--headless=new",
                "--disable-gpu",
                "--hide-scrollbars",
                "--virtual-time-budget=10000",
                f"--user-data-dir={profile}",
                *(["--no-sandbox"] if os.geteuid() == 0 else []),
                *arguments,
            ]
            return subprocess.run(command, check=True, capture_output=True, timeout=_PATIENCE_S).stdout


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
    environment = {**os.environ, "NODE_PATH": str(packages)}  # noqa: TID251 - the child needs PATH
    subprocess.run(command, check=True, env=environment)


def _give_public_files(public: Path, packages: Path) -> None:
    """Put icons and fonts where Grafana's server has them."""
    (public / "fonts" / "inter").mkdir(parents=True)
    (public / "build").symlink_to(packages / "@grafana" / "ui" / "dist" / "public")
    font = packages / "@fontsource-variable" / "inter" / "files" / "inter-latin-wght-normal.woff2"
    for weight in ("Regular", "Medium"):
        (public / "fonts" / "inter" / f"Inter-{weight}.woff2").symlink_to(font)


def _last_unit(dashboard: dict[str, Any]) -> int:
    """Return the height of a dashboard in units of Grafana's grid."""
    boxes = [panel["gridPos"] for panel in dashboard["panels"]]
    return max(int(box["y"] + box["h"]) for box in boxes)


def _failure(shown: bytes) -> str:
    text = shown.decode("utf-8", "replace")
    return text.partition("data-failed=")[2][:1000] or text[-1000:]


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
