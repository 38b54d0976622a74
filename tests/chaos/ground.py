"""Give a row its servers: gateways in processes of their own, Valkey, a raw provider, and callers.

Owns starting and ending them, and reading what a gateway tells about itself: usage, metrics, memory.
"""

import asyncio
import contextlib
import io
import itertools
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import orjson
import psutil
from redis.asyncio import Redis

from service.adapters.redis.client.client import open_client
from tests.chaos.provider import Provider, Script, paint, run_provider
from tests.processes import Gateway, Valkey, run_gateway, run_valkey

OPERATOR_KEY = "operator-key-of-the-chaos"
OPERATOR = {"authorization": f"Bearer {OPERATOR_KEY}"}
METRICS_KEY = "metrics-key-of-the-chaos"
WITH_KEYS: dict[str, Any] = {"auth": "keys", "admin_key": OPERATOR_KEY, "metrics_key": METRICS_KEY}
"""Settings of a gateway whose callers need keys."""
GENERATIONS, EDITS = "/v1/images/generations", "/v1/images/edits"
_LONGEST_S = 400
_MIB = 2**20
_prompts = itertools.count(1)

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer, or status 0 if there was none; instants are of the monotonic clock."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes = b""
    began_s: float = 0
    ended_s: float = 0

    @property
    def json(self) -> Any:
        try:
            return orjson.loads(self.content)
        except orjson.JSONDecodeError:
            return None

    @property
    def code(self) -> str:
        """Return the error's code, or the status without one."""
        content = self.json
        error = content.get("error") if isinstance(content, dict) else None
        return str(error.get("code")) if isinstance(error, dict) else str(self.status)

    @property
    def took_s(self) -> float:
        return self.ended_s - self.began_s

    @property
    def images(self) -> int:
        return len(self.json["data"]) if self.status == 200 else 0


@dataclass(slots=True)
class Ground:
    """The place of one trial: all that it starts ends with it."""

    directory: Path
    is_short: bool
    tell: Callable[[str], None]
    stack: AsyncExitStack
    session: aiohttp.ClientSession

    async def provider(self, script: Script = paint, *, port: int = 0) -> Provider:
        return await self.stack.enter_async_context(run_provider(script, port=port))

    async def valkey(self, **options: Any) -> Valkey:
        """Start a Valkey on a port, with an empty directory of its own."""
        return await self.enter(lambda: run_valkey(port=0, **options))

    async def gateway(self, provider: Provider, name: str = "gateway", **settings: object) -> Gateway:
        """Start a gateway in the directory *name*, without limits unless *settings* say so."""
        self.tell(f"starting {name}")
        limits = {"default_policy__requests_per_min": 0, "default_policy__images_per_min": 0}
        given = {"openai_base_url": provider.url, "openai_api_key": "sk-chaos", "drain_s": 1, **limits}
        return await self.enter(lambda: run_gateway(self.directory / name, **(given | settings)))

    async def enter(self, opening: Callable[[], contextlib.AbstractContextManager[T]]) -> T:
        """Open what blocks; it is closed with the ground, in a thread, too."""
        stack = ExitStack()
        self.stack.push_async_callback(asyncio.to_thread, stack.close)
        return await asyncio.to_thread(lambda: stack.enter_context(opening()))

    async def redis(self, valkey: Valkey) -> Redis:
        client = open_client(valkey.url, timeout_s=5, connections=4)
        self.stack.push_async_callback(client.aclose)
        return client

    async def caller(self, gateway: Gateway, name: str) -> "Ground":
        """Return this ground for a caller with a key of its own; the gateway has the settings `WITH_KEYS`."""
        body = {"team": name, "user": name}
        made = (await self.post(f"{gateway.url}/admin/keys", json=body, headers=OPERATOR)).json
        session = open_session({"authorization": f"Bearer {made['key']}"})
        return replace(self, session=await self.stack.enter_async_context(session))

    async def order(
        self, url: str, prompt: str = "", *, headers: Mapping[str, str] | None = None, **fields: object
    ) -> Answer:
        """Order by JSON: one image of a prompt of its own unless told."""
        body = {"model": "dall-e-3", "prompt": prompt or new_prompt(), **fields}
        return await self.post(f"{url}{GENERATIONS}", json=body, headers=headers)

    async def post(self, url: str, **request: Any) -> Answer:
        return await self.ask("POST", url, **request)

    async def ask(self, method: str, url: str, **request: Any) -> Answer:
        """Send a request and read its answer; no answer is status 0."""
        if isinstance(request.get("data"), bytes):
            # aiohttp warns of large bytes.
            request["data"] = io.BytesIO(request["data"])
        began_s = time.monotonic()
        try:
            async with self.session.request(method, url, **request) as answer:
                content = await answer.read()
                return Answer(
                    status=answer.status,
                    headers=answer.headers,
                    content=content,
                    began_s=began_s,
                    ended_s=time.monotonic(),
                )
        except (aiohttp.ClientError, TimeoutError, OSError):
            return Answer(status=0, began_s=began_s, ended_s=time.monotonic())

    async def booked(self, url: str, unit: str = "images", **headers: str) -> Counter[str]:
        """Return the ledger of a gateway's callers by outcome."""
        usage = (await self.ask("GET", f"{url}/v1/usage", headers=headers)).json
        booked: Counter[str] = Counter()
        for total in usage["totals"]:
            booked[total["outcome"]] += total[unit]
        return booked

    async def until_booked(
        self, url: str, *, headers: Mapping[str, str] | None = None, **outcomes: int
    ) -> Counter[str]:
        """Return the ledger of a caller once it has *outcomes*, or as it is after a while."""
        booked: Counter[str] = Counter()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(15):
                while Counter(outcomes) - (booked := await self.booked(url, **(headers or {}))):  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
        return booked

    async def metric(self, url: str, name: str, **labels: str) -> float:
        """Return the sum of a metric's series that have *labels*."""
        headers = {"authorization": f"Bearer {METRICS_KEY}"}
        text = (await self.ask("GET", f"{url}/metrics", headers=headers)).content.decode()
        found = 0.0
        for line in text.splitlines():
            series, _, value = line.rpartition(" ")
            if series.partition("{")[0] == name and all(f'{k}="{v}"' in series for k, v in labels.items()):
                found += float(value)
        return found

    async def until_ready(self, url: str) -> None:
        """Wait until what listens at *url* passes `/readyz` on."""
        async with asyncio.timeout(30):
            while (await self.ask("GET", f"{url}/readyz")).status != 200:  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.1)

    async def until(self, is_so: Callable[[], Any], seconds: float = 30) -> bool:
        """Wait for what another process does; returns False if it did not come about."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not is_so():  # noqa: ASYNC110 - another process
                    await asyncio.sleep(0.01)
        return bool(is_so())


def open_session(headers: Mapping[str, str]) -> aiohttp.ClientSession:
    """Return a client with as many connections as it needs, whose requests have *headers*."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        timeout=aiohttp.ClientTimeout(total=_LONGEST_S),
        read_bufsize=2**18,
        headers=headers,
    )


@contextlib.asynccontextmanager
async def open_ground(
    directory: Path, *, is_short: bool, tell: Callable[[str], None]
) -> AsyncIterator[Ground]:
    """Give a ground in *directory*."""
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(open_session({}))
        yield Ground(directory, is_short, tell, stack, session)


def new_prompt() -> str:
    """Return a prompt that no other order has."""
    return f"boat {next(_prompts)}"


def memory_mb(gateway: Gateway) -> float:
    """Return the resident memory of the gateway's own process."""
    return float(psutil.Process(gateway.process.pid).memory_info().rss / _MIB)


def log_of(gateway: Gateway) -> str:
    return gateway.log.read_text("utf-8", "replace")
