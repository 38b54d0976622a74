"""Backends that lie: answers that are no image, or lead into the operator's network; refusals, and images of another size."""

import asyncio
import base64
import contextlib
import gzip
import io
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from PIL import Image

from tests.chaos.finding import Finding
from tests.chaos.forms import file_of, noise
from tests.chaos.ground import Ground
from tests.chaos.provider import USAGE, Call, Script, paint
from tests.chaos.row import Rows
from tests.chaos.rows.attacks import watching
from tests.chaos.several import (
    backend,
    burst,
    count_attempts,
    count_rests,
    expect_all_served,
    expect_books,
    fails_with,
    gateway_with,
)

ROWS = Rows([])
_MIB = 2**20
_BOMB_MIB = 300
_MOST_MB = 400
_PAGE = b"<!doctype html><title>Sign in</title>"


@dataclass(slots=True)
class Canary:
    """A listener in the operator's network; counts its connections, and keeps what they say."""

    url: str
    heard: list[bytes]


@contextlib.asynccontextmanager
async def _canary() -> AsyncIterator[Canary]:
    heard: list[bytes] = []

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(4096))
        writer.close()

    server = await asyncio.start_server(hear, "127.0.0.1", 0)
    try:
        yield Canary(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", heard)
    finally:
        server.close()


def _says(status: int, content: object, kind: str = "application/json", *headers: str) -> Script:
    """Return the script of a provider that gives this answer to everything."""

    async def script(call: Call) -> None:
        await call.answer(status, content, kind, headers=headers)

    return script


def _lies(canary: Canary) -> Mapping[str, Script]:
    """Return scripts that answer nothing that is an image."""
    bomb = gzip.compress(bytes(_BOMB_MIB * _MIB), 1)
    zipped = ["content-encoding: gzip"]
    location = [f"location: {canary.url}/v1/images/generations"]

    return {
        "half a JSON": _says(200, b'{"created": 1, "data": [{"b64_json": "iVBORw0KG'),
        "HTML": _says(200, _PAGE, "text/html"),
        "no image": _says(200, {"created": 1, "data": []}),
        "a gzip bomb": _says(200, bomb, "application/json", *zipped),
        "a redirect": _says(307, b"", "text/html", *location),
        "a redirect by GET": _says(302, b"", "text/html", *location),
        "a private URL": _says(200, {"created": 1, "data": [{"url": f"{canary.url}/image.png"}]}),
        "an internal URL": _says(200, {"created": 1, "data": [{"url": "https://169.254.169.254/image.png"}]}),
        "no base64": _says(200, {"created": 1, "data": [{"b64_json": "%%%"}]}),
    }


@ROWS.add(
    "lying-backend",
    "the first backend answers with half a JSON, HTML, a gzip bomb, redirects and links into the network, then refuses prompts",
)
async def lying_backend(ground: Ground, finding: Finding) -> None:
    canary = await ground.stack.enter_async_context(_canary())
    first, second = await ground.provider(paint), await ground.provider(paint)
    tables = [backend("first", first.url, {"a": {}}), backend("second", second.url, {"b": {}})]
    gateway = await gateway_with(ground, tables)
    unknown = 0
    async with watching(ground, gateway) as watch:
        for name, script in _lies(canary).items():
            # A good answer between them: five in a row are the subject below.
            first.script = paint
            finding.equal("a good one", (await ground.order(gateway.url)).code, "200")
            first.script, before = script, len(first.calls)
            answer = await ground.order(gateway.url)
            finding.equal(f"{name}: {answer.code}", (answer.status, len(first.calls) - before), (502, 1))
            unknown += 1
    watch.judge(finding, most_mb=_MOST_MB)
    finding.equal("connections to the canary", len(canary.heard), 0)
    first.script = fails_with(400, "moderation_blocked", type="image_generation_user_error")
    finding.equal("a refusal", (await ground.order(gateway.url)).status, 400)
    finding.equal("calls to the second", len(second.calls), 0)

    first.script = _lies(canary)["HTML"]
    five = [(await ground.order(gateway.url)).status for _ in range(5)]
    finding.equal("five in a row", five, [502] * 5)
    before = len(first.calls)
    expect_all_served(finding, "then", await burst(ground, [gateway], 10))
    finding.equal("calls to it", len(first.calls) - before, 0)
    finding.at_least("counted rests", await count_rests(ground, [gateway], key="a", reason="unanswered"), 1)
    finding.equal("counted as broken", await count_attempts(ground, [gateway], outcome="broken"), unknown + 5)
    await expect_books(ground, finding, gateway, [first, second], unknown=unknown + 5)


@ROWS.add(
    "lying-size", "a backend makes images of 64x64 pixels, of which 1024x1024 were ordered by the bridge"
)
async def lying_size(ground: Ground, finding: Finding) -> None:
    small = base64.b64encode(file_of(noise(64))).decode()

    async def script(call: Call) -> None:
        call.paid = 1
        await call.answer(200, {"created": 1, "data": [{"b64_json": small}], "usage": USAGE})

    provider = await ground.provider(script)
    gateway = await gateway_with(ground, [backend("only", provider.url, {"a": {}})])
    answer = await ground.order(gateway.url, size="1024x1024", response_format="b64_json")
    finding.equal("an order", answer.code, "200")
    image = Image.open(io.BytesIO(base64.b64decode(answer.json["data"][0]["b64_json"])))
    finding.equal("delivered", image.size, (1024, 1024))
    finding.equal("counted as made", await count_attempts(ground, [gateway], outcome="made"), 1)
    await expect_books(ground, finding, gateway, [provider])
