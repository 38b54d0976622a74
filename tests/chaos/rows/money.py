"""Calls of unknown outcome, answers that no provider should give, and gateways with unlike secrets."""

import asyncio
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pybase64

from tests.chaos.finding import Finding
from tests.chaos.ground import OPERATOR, WITH_KEYS, Ground
from tests.chaos.provider import USAGE, Call, new_picture, paint, paint_after
from tests.chaos.row import Rows
from tests.processes import REPOSITORY, START_S, free_port, is_live

ROWS = Rows([])
SECRETS = "a-secret-all-replicas-share"
LEASE_S = 30
"""Seconds after which a claim or a hold lapses that no gateway renews."""
_BUDGET_MICROUSD = 500_000


@ROWS.add(
    "unknown-counts",
    "twenty orders with 0.2 s to live at a silent provider, by a caller with two images a day, then with $0.50 a month",
    covers="P5",
)
async def unknown_counts(ground: Ground, finding: Finding) -> None:
    for name, limits, most in (
        ("2 images a day", {"default_policy__images_per_day": 2}, 2),
        ("$0.50 a month", {"default_policy__budget_per_month_microusd": _BUDGET_MICROUSD}, 20),
    ):
        provider = await ground.provider(Call.hang)
        gateway = await ground.gateway(provider, name.replace(" ", "-").replace("$", ""), **limits)
        hasty = {"x-request-timeout-s": "0.2"}
        answers = [await ground.order(gateway.url, headers=hasty) for _ in range(20)]
        finding.note(f"{name}: {dict(Counter(one.code for one in answers))}")
        finding.at_most("calls", len(provider.calls), most)
        booked = await ground.until_booked(gateway.url, unknown=len(provider.calls))
        finding.equal("booked unknown", booked["unknown"], len(provider.calls))
        if "budget" in str(limits):
            spent = (await ground.booked(gateway.url, "microusd"))["unknown"]
            finding.at_most("microdollars", spent, _BUDGET_MICROUSD)


@ROWS.add(
    "unknown-after-kill",
    "SIGKILL with the day's only image in flight; once the hold is swept, the caller orders another",
    covers="P5",
    waits=True,
)
async def unknown_after_kill(ground: Ground, finding: Finding) -> None:
    provider = await ground.provider(paint_after(300))
    valkey = await ground.valkey()
    given: dict[str, Any] = {
        "redis_url": valkey.url,
        "secrets": SECRETS,
        "default_policy__images_per_day": 1,
    }
    gateway = await ground.gateway(provider, **given)
    async with asyncio.TaskGroup() as group:
        group.create_task(ground.order(gateway.url))
        await provider.until_called(1)
        gateway.kill()
    provider.script = paint
    ground.tell("waiting until the hold lapses")
    again = await ground.gateway(provider, "other", **given)
    refused = [await ground.order(again.url) for _ in range(3)]
    await asyncio.sleep(LEASE_S + 2)
    refused += [await ground.order(again.url) for _ in range(3)]
    finding.equal("answers", Counter(one.code for one in refused), {"insufficient_quota": 6})
    finding.equal("calls", len(provider.calls), 1)
    finding.equal("booked", +await ground.until_booked(again.url, unknown=1), {"unknown": 1})


@ROWS.add(
    "odd-answers",
    "images wrapped in MIME lines, as data URLs, in the URL-safe alphabet; errors nested 300 deep; a size of 2 MB",
    covers="P15",
)
async def odd_answers(ground: Ground, finding: Finding) -> None:
    provider = await ground.provider()
    gateway = await ground.gateway(provider)
    image = pybase64.b64encode_as_string(new_picture())
    lines = "\r\n".join(image[start : start + 76] for start in range(0, len(image), 76))
    url_safe = image.replace("+", "-").replace("/", "_").rstrip("=")
    spellings = {"MIME lines": lines, "data URL": f"data:image/png;base64,{image}", "URL-safe": url_safe}
    for name, spelling in spellings.items():
        provider.script = _answering({"data": [{"b64_json": spelling}], "usage": USAGE})
        finding.equal(name, (await ground.order(gateway.url)).code, "200")
    provider.script = _answering({"data": [{"b64_json": image}], "usage": USAGE, "size": "9" * 2_000_000})
    huge = await ground.order(gateway.url)
    finding.equal("a size of 2 MB", huge.code, "200")
    finding.at_most("bytes of its answer", len(huge.content), 10_000)
    nested = b'{"error":{"code":"x","message":"m","details":' + b"[" * 300 + b"]" * 300 + b"}}"
    for status in (400, 500):
        provider.script = _answering(nested, status)
        answer = await ground.order(gateway.url)
        finding.is_true(f"nested {status}: {answer.code}", is_so=answer.status in (400, 502, 503))
    finding.equal("booked", +await ground.until_booked(gateway.url, made=4), {"made": 4})


def _answering(content: object, status: int = 200) -> Any:
    async def script(call: Call) -> None:
        await call.answer(
            status, content if isinstance(content, bytes) else {"created": 1, **_mapping(content)}
        )

    return script


def _mapping(content: object) -> Mapping[str, Any]:
    return content if isinstance(content, dict) else {}


@ROWS.add(
    "odd-bills",
    "usage of zeros, one dead link of four, text among the output: the ledger beside the provider's bill",
    covers="P11",
)
async def odd_bills(ground: Ground, finding: Finding) -> None:
    provider = await ground.provider()
    gateway = await ground.gateway(provider, download_hosts="127.0.0.1")
    before = await ground.booked(gateway.url, "microusd")

    async def cost(content: Mapping[str, Any], n: int = 1) -> Counter[str]:
        nonlocal before
        provider.script = _answering(content)
        finding.note((await ground.order(gateway.url, model="gpt-image-2", n=n)).code)
        await asyncio.sleep(0.3)
        booked = await ground.booked(gateway.url, "microusd")
        added, before = booked - before, booked
        return added

    def data(images: int = 1) -> list[dict[str, str]]:
        return [{"b64_json": pybase64.b64encode_as_string(new_picture())} for _ in range(images)]

    plain = await cost({"data": data(), "usage": USAGE})
    zeros = await cost({"data": data(), "usage": {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}})
    finding.is_true(f"zeros are an estimate: {dict(zeros)} microdollars", is_so=sum(zeros.values()) > 0)
    four = {**USAGE, "output_tokens": 4 * USAGE_OUTPUT, "total_tokens": 10 + 4 * USAGE_OUTPUT}
    dead = await cost({"data": [*data(3), {"url": "http://127.0.0.1:9/dead.png"}], "usage": four}, n=4)
    finding.note(f"one image {dict(plain)}, four with a dead one {dict(dead)}")
    finding.at_most("four with a dead one, times one image", sum(dead.values()) / sum(plain.values()), 4.0)
    finding.equal("booked as", set(dead), {"made"})


USAGE_OUTPUT = 1756


@ROWS.add(
    "unlike-secrets", "a second gateway with other secrets starts on the Redis of the first", covers="P16"
)
async def unlike_secrets(ground: Ground, finding: Finding) -> None:
    provider = await ground.provider()
    valkey = await ground.valkey()
    first = await ground.gateway(provider, "first", redis_url=valkey.url, secrets="the-first-long-secret")
    code, log = await asyncio.to_thread(_serve, ground, provider.url, valkey.url, "an-unlike-long-secret")
    finding.is_true(f"the second refuses to start (exit code {code})", is_so=code not in (None, 0))
    finding.is_true("and names the setting", is_so="GATEWAY_SECRETS" in log)
    rotated = "a-newer-long-secret,the-first-long-secret"
    code, _ = await asyncio.to_thread(_serve, ground, provider.url, valkey.url, rotated)
    finding.is_true("one that lists the first's secret starts", is_so=code is None)
    finding.equal("the first still answers", (await ground.order(first.url)).code, "200")


def _serve(ground: Ground, provider_url: str, redis_url: str, secrets: str) -> tuple[int | None, str]:
    """Start a gateway, and stop it once it answers; returns its exit code, None if it answered, and its log."""
    url, directory = f"http://127.0.0.1:{(port := free_port())}", ground.directory / secrets[:10]
    directory.mkdir()
    environment = {"PATH": os.environ.get("PATH", ""), "PYTHONPATH": str(REPOSITORY)}  # noqa: TID251 - a child's
    environment |= {"GATEWAY_PORT": str(port), "GATEWAY_DATA_DIR": str(directory)}
    environment |= {
        "GATEWAY_REDIS_URL": redis_url,
        "GATEWAY_SECRETS": secrets,
        "GATEWAY_REDIS_TIMEOUT_S": "3",
    }
    environment |= {"OPENAI_BASE_URL": provider_url, "OPENAI_API_KEY": "sk-chaos", "GATEWAY_DRAIN_S": "1"}
    command, log = [sys.executable, "-m", "service", "serve"], directory / "log"
    with (
        log.open("wb") as output,
        subprocess.Popen(command, cwd=REPOSITORY, env=environment, stdout=output, stderr=output) as process,
    ):
        end_s = time.monotonic() + START_S
        while (code := process.poll()) is None and time.monotonic() < end_s:
            if is_live(url):
                break
            time.sleep(0.1)
        process.terminate()
    return code, log.read_text("utf-8", "replace")


@ROWS.add(
    "closed-team",
    "an admin's key of a team that is closed makes keys, lists them and orders",
    covers="P15",
)
async def closed_team(ground: Ground, finding: Finding) -> None:
    provider = await ground.provider()
    gateway = await ground.gateway(provider, **WITH_KEYS)
    keys, body = f"{gateway.url}/admin/keys", {"team": "closing", "user": "boss", "role": "admin"}
    boss = (await ground.post(keys, json=body, headers=OPERATOR)).json
    held = {"authorization": f"Bearer {boss['key']}"}
    finding.equal("its key before", (await ground.ask("GET", keys, headers=held)).status, 200)
    closing = await ground.ask(
        "PUT", f"{gateway.url}/admin/teams/closing", json={"closed": True}, headers=OPERATOR
    )
    finding.equal("closing", closing.status, 200)
    tries = {
        "makes a key": await ground.post(keys, json={"team": "elsewhere", "user": "x"}, headers=held),
        "lists keys": await ground.ask("GET", keys, headers=held),
        "orders": await ground.order(gateway.url, headers=held),
    }
    for name, answer in tries.items():
        finding.is_true(f"{name}: {answer.status}", is_so=answer.status in (401, 403))
    finding.equal("calls", len(provider.calls), 0)
