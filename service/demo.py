"""`make demo`: order images, order them again from the cache, and exceed a limit.

Starts the gateway with the sandbox on a free port and in a temporary directory, and orders with the
official SDK. Exits with 1 if an answer differs from the expected one.
"""

import contextlib
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import openai
from rich.console import Console
from rich.table import Table

OUT = Path("out")
SIZE = "1024x1024"
IMAGES_PER_MIN = 6
START_S = 30.0

_console = Console()


class Unexpected(Exception):
    """An answer of the gateway differs from the expected one."""


@dataclass(frozen=True, slots=True)
class Step:
    """One row of the table."""

    order: str
    took_s: float
    status: str
    cache: str = ""
    images: str = ""
    cost: str = ""


def main() -> int:
    """Run the demo; returns the exit code."""
    steps: list[Step] = []
    try:
        with (
            tempfile.TemporaryDirectory(prefix="image-gateway-demo-") as data_dir,
            _gateway(Path(data_dir)) as url,
        ):
            client = openai.OpenAI(base_url=f"{url}/v1", api_key="demo-user", max_retries=0)
            steps.append(_order_four(client))
            steps.append(_order_again(client))
            steps.append(_exceed_limit(client))
    except Unexpected as error:
        _show(steps)
        _console.print(f"[red]The demo failed:[/red] {error}")
        return 1
    _show(steps)
    _console.print(f"The images are in [bold]{OUT}/[/bold]. Start the gateway with [bold]make run[/bold].")
    return 0


def _order(client: openai.OpenAI) -> tuple[list[str], Mapping[str, str], float]:
    """Return the links of four images, the headers of the answer, and the seconds it took."""
    started_s = time.monotonic()
    raw = client.images.with_raw_response.generate(
        model="dall-e-3", prompt="a lighthouse at dusk", n=4, size=SIZE, quality="hd", response_format="url"
    )
    took_s = time.monotonic() - started_s
    return [image.url or "" for image in raw.parse().data or []], raw.headers, took_s


def _order_four(client: openai.OpenAI) -> Step:
    links, headers, took_s = _order(client)
    images = [_download(link) for link in links]
    _expect(len(set(images)) == 4, f"four different images, got {len(set(images))}")
    OUT.mkdir(exist_ok=True)
    for number, image in enumerate(images, 1):
        _expect(_png_size(image) == SIZE, f"a PNG of {SIZE}, got {_png_size(image)}")
        (OUT / f"lighthouse-{number}.png").write_bytes(image)
    _expect(headers["x-cache"] == "miss", f"x-cache: miss, got {headers['x-cache']}")
    return _step("dall-e-3, n=4, hd: four calls at once", took_s, headers, len(images))


def _order_again(client: openai.OpenAI) -> Step:
    links, headers, took_s = _order(client)
    _expect(headers["x-cache"] == "hit", f"x-cache: hit, got {headers['x-cache']}")
    _expect(headers["x-cost-microusd"] == "0", "a hit that costs nothing")
    return _step("the same order again: from the cache", took_s, headers, len(links))


def _exceed_limit(client: openai.OpenAI) -> Step:
    started_s = time.monotonic()
    try:
        client.images.generate(model="dall-e-3", prompt="one image too many", n=4, size=SIZE)
    except openai.RateLimitError as error:
        took_s = time.monotonic() - started_s
        headers = error.response.headers
        _expect(error.code == "rate_limit_exceeded", f"code rate_limit_exceeded, got {error.code}")
        _expect(1 <= int(headers["retry-after"]) <= 60, "retry-after of 1 to 60 s")
        status = f"429, retry after {headers['retry-after']} s"
        return Step(f"4 more: above {IMAGES_PER_MIN} images a minute", took_s, status, images="0", cost="$0")
    raise Unexpected(f"expected status 429 above {IMAGES_PER_MIN} images a minute, got images")


def _download(link: str) -> bytes:
    response = httpx.get(link)
    _expect(response.status_code == 200, f"a link that works, got {response.status_code}")
    return response.content


def _png_size(image: bytes) -> str:
    """Return width and height from the header (PNG specification, 11.2.2)."""
    if not image.startswith(b"\x89PNG\r\n\x1a\n"):
        return "no PNG"
    width, height = struct.unpack(">II", image[16:24])
    return f"{width}x{height}"


def _expect(holds: bool, expected: str) -> None:
    if not holds:
        raise Unexpected(f"expected {expected}")


def _step(order: str, took_s: float, headers: Mapping[str, str], images: int) -> Step:
    cost = f"${int(headers['x-cost-microusd']) / 1e6:.4f}"
    return Step(order, took_s, "200", headers["x-cache"], str(images), cost)


def _show(steps: list[Step]) -> None:
    table = Table("order", "time", "answer", "cache", "images", "cost")
    for step in steps:
        table.add_row(
            step.order, f"{step.took_s * 1000:.0f} ms", step.status, step.cache, step.images, step.cost
        )
    _console.print(table)


@contextlib.contextmanager
def _gateway(data_dir: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # Without the developer's settings: an exported key must not buy images here.
    environment = {
        name: value
        for name, value in os.environ.items()  # noqa: TID251 - passed on to the gateway
        if not name.upper().startswith(("GATEWAY_", "OPENAI_"))
    }
    environment |= {
        "GATEWAY_PORT": str(port),
        "GATEWAY_DATA_DIR": str(data_dir),
        "GATEWAY_SANDBOX": "true",
        "GATEWAY_DEFAULT_POLICY__IMAGES_PER_MIN": str(IMAGES_PER_MIN),
    }
    log = data_dir / "gateway.log"
    with log.open("wb") as output:
        command = [sys.executable, "-m", "service", "serve"]
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)  # noqa: S603 - our own
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_until_live(url, process, log)
        yield url
        process.send_signal(signal.SIGTERM)
        code = process.wait(timeout=20)
        _expect(code == 0, f"a clean stop, got exit code {code}")
    finally:
        process.kill()
        process.wait()


def _wait_until_live(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline_s = time.monotonic() + START_S
    while time.monotonic() < deadline_s and process.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{url}/livez").status_code == 200:
                return
        time.sleep(0.05)
    raise Unexpected(f"the gateway did not start:\n{log.read_text('utf-8')}")


if __name__ == "__main__":
    sys.exit(main())
