"""Wrong clocks: gateways and a Redis whose wall clock is minutes, an hour or a day off.

Limits go by the clock of Redis alone, so a gateway may be as wrong as it likes; tokens
and links that run out go by the clock of the gateway that is asked. The clocks are set by
libfaketime, which lies about the wall clock only: nobody's monotonic clock ever jumps.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from redis.asyncio import Redis

from service.adapters.redis.client.client import open_client
from service.adapters.redis.orders import RedisOrders
from service.domain.errors import RateLimited
from service.domain.limits import Limit, Resource
from tests.adapters.redis.orders import make_ask, open_book
from tests.issuer import key_set, rsa_key
from tests.processes import Gateway, free_port, run_gateway, run_valkey
from tests.sandbox.process import SandboxHandle, run_sandbox

ISSUER = "https://id.example.com"
SECRETS = "a-secret-all-replicas-share"
CONFIG = "[policies.minute]\nimages_per_min = 20\n[policies.day]\nimages_per_day = 20\n"
AMOUNT = 20
ORDERS = 60
LINK_TTL_S = 300
MINUTE_S = 60
CLOCKS = {"right": "", "early": "+10m", "late": "-10m", "tomorrow": "+24h"}
"""What each gateway takes the time to be."""

IMAGES = Limit(resource=Resource.IMAGES, scope="user", key="u1", amount=60)
WINDOW_S = 60.0

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]


@contextmanager
def wall_clock(offset: str) -> Iterator[None]:
    """Give what is started meanwhile a wall clock that is *offset* off."""
    with pytest.MonkeyPatch.context() as environment:
        if offset:
            _preload(environment)
            environment.setenv("FAKETIME", offset)
        yield


@contextmanager
def wall_clock_by(file: Path) -> Iterator[None]:
    """Give what is started meanwhile a wall clock that is off by what *file* says, whenever it is asked."""
    with pytest.MonkeyPatch.context() as environment:
        _preload(environment)
        environment.setenv("FAKETIME_TIMESTAMP_FILE", f"{file}")
        environment.setenv("FAKETIME_NO_CACHE", "1")
        yield


def _preload(environment: pytest.MonkeyPatch) -> None:
    libraries = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    if not libraries:
        pytest.skip("libfaketime is not installed")
    environment.setenv("LD_PRELOAD", f"{libraries[0]}")
    environment.setenv("FAKETIME_DONT_FAKE_MONOTONIC", "1")
    environment.setenv("NO_FAKE_STAT", "1")


@dataclass(frozen=True, slots=True)
class Replicas:
    """Gateways with one Redis, one store and the same secrets, each by its name in `CLOCKS`."""

    gateways: dict[str, Gateway]
    client: httpx.AsyncClient
    sandbox: SandboxHandle

    async def order(self, name: str, token: str, **fields: object) -> httpx.Response:
        return await self.client.post(
            f"{self.gateways[name].url}/v1/images/generations",
            json={"model": "dall-e-3", "prompt": next(_prompts), **fields},
            headers={"authorization": f"Bearer {token}"},
        )

    async def order_many(self, names: tuple[str, ...], token: str) -> list[httpx.Response]:
        """Order one image each in turn among *names*."""
        return [await self.order(names[number % len(names)], token) for number in range(ORDERS)]

    async def follow(self, name: str, link: str) -> int:
        """Follow a *link*, whoever made it, to the gateway *name*."""
        url = httpx.URL(link)
        answer = await self.client.get(f"{self.gateways[name].url}{url.raw_path.decode()}")
        return answer.status_code


_prompts = (f"boat {number}" for number in count())


def make_token(subject: str, *, exp_in_s: int = 3 * 86400, **claims: Any) -> str:
    """Return a token by a right clock."""
    given = {"iss": ISSUER, "aud": "images", "sub": subject, "exp": now_s() + exp_in_s, **claims}
    return rsa_key().token(given)


def now_s() -> int:
    return int(datetime.now(UTC).timestamp())


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def replicas(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Replicas]:
    root = tmp_path_factory.mktemp("clocks")
    (root / "config.toml").write_text(CONFIG, "utf-8")
    (root / "jwks.json").write_bytes(key_set(rsa_key()))
    async with AsyncExitStack() as stack:
        valkey = stack.enter_context(run_valkey())
        sandbox = await stack.enter_async_context(run_sandbox())
        await sandbox.behave(paint="flat")
        settings = {
            "auth": "jwt",
            "jwt__issuer": ISSUER,
            "jwt__audience": "images",
            "jwt__jwks": root / "jwks.json",
            "config": root / "config.toml",
            "redis_url": valkey.url,
            "replicas": len(CLOCKS),
            "secrets": SECRETS,
            "store_url": (root / "files").as_uri(),
            "openai_base_url": f"{sandbox.url}/v1",
            "openai_api_key": "x",
            "url_ttl_s": LINK_TTL_S,
        }
        gateways = {}
        for name, offset in CLOCKS.items():
            with wall_clock(offset):
                gateways[name] = stack.enter_context(run_gateway(root / name, **settings))
        client = await stack.enter_async_context(httpx.AsyncClient(trust_env=False, timeout=30))
        yield Replicas(gateways, client, sandbox)


async def test_the_clocks_differ_as_configured(replicas: Replicas) -> None:
    """The premise of all others: what a gateway says of the time is its own opinion."""
    minutes = {}
    for name in CLOCKS:
        answer = await replicas.order(name, make_token("premise"))
        minutes[name] = round((answer.json()["created"] - now_s()) / MINUTE_S)

    assert minutes == {"right": 0, "early": 10, "late": -10, "tomorrow": 24 * 60}


async def test_gateways_with_other_clocks_admit_no_more_in_a_minute(replicas: Replicas) -> None:
    started_s = time.monotonic()
    answers = await replicas.order_many(
        ("right", "early", "late", "tomorrow"), make_token("m", policy="minute")
    )
    elapsed_s = time.monotonic() - started_s

    statuses = Counter(answer.status_code for answer in answers)
    assert set(statuses) == {200, 429}
    assert AMOUNT <= statuses[200] <= AMOUNT + elapsed_s * AMOUNT / MINUTE_S


async def test_a_day_is_the_day_of_redis(replicas: Replicas) -> None:
    """For a gateway whose calendar is a day ahead it is today too."""
    first = datetime.now(UTC).date()
    answers = await replicas.order_many(("right", "tomorrow"), make_token("d", policy="day"))
    days = (datetime.now(UTC).date() - first).days + 1

    statuses = Counter(answer.status_code for answer in answers)
    assert set(statuses) == {200, 429}
    assert AMOUNT <= statuses[200] <= days * AMOUNT


async def test_a_token_expires_by_the_clock_of_its_gateway(replicas: Replicas) -> None:
    soon, lately = make_token("soon", exp_in_s=300), make_token("lately", exp_in_s=-300)
    just_issued = make_token("issued", iat=now_s())

    good = {
        (token, name)
        for token, text in {"soon": soon, "lately": lately, "just issued": just_issued}.items()
        for name in ("right", "early", "late")
        if (await replicas.order(name, text)).status_code == 200
    }

    assert good == {
        ("soon", "right"),
        ("soon", "late"),
        ("lately", "late"),
        ("just issued", "right"),
        ("just issued", "early"),
    }


async def test_a_link_expires_by_the_clocks_of_both_gateways(replicas: Replicas) -> None:
    token = make_token("links")
    links = {
        name: (await replicas.order(name, token)).json()["data"][0]["url"]
        for name in ("right", "early", "late")
    }

    good = {
        (maker, asked)
        for maker, link in links.items()
        for asked in ("right", "early", "late")
        if await replicas.follow(asked, link) == 200
    }

    # Five minutes by the clock of its maker are over for everybody who is further ahead than that.
    assert good == {
        ("right", "right"),
        ("right", "late"),
        ("early", "right"),
        ("early", "early"),
        ("early", "late"),
        ("late", "late"),
    }


@dataclass(frozen=True, slots=True)
class JumpingRedis:
    """An order book over a Redis whose clock a test may set."""

    book: RedisOrders
    client: Redis
    offset: Path

    async def set_clock(self, offset_s: int) -> None:
        self.offset.write_text(f"{offset_s:+}\n", "utf-8")
        async with asyncio.timeout(30):
            while abs(int((await self.client.time())[0]) - now_s() - offset_s) > 1:  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.01)

    async def take(self, n: int) -> float:
        """Take *n* images at once; returns how long to wait instead, 0 for not at all."""
        try:
            await self.book.begin(make_ask(pool=None, n=n, limits=(IMAGES,)))
        except RateLimited as refusal:
            return refusal.retry_after_s
        return 0.0

    async def count_free(self) -> int:
        """Return how many images are admitted one after the other."""
        admitted = 0
        while admitted <= IMAGES.amount and not await self.take(1):
            admitted += 1
        return admitted


@pytest_asyncio.fixture(loop_scope="module")
async def jumping(tmp_path: Path) -> AsyncGenerator[JumpingRedis]:
    offset = tmp_path / "offset"
    offset.write_text("+0\n", "utf-8")
    async with AsyncExitStack() as stack:
        with wall_clock_by(offset):
            valkey = stack.enter_context(run_valkey(port=free_port()))
        client = open_client(valkey.url, timeout_s=5, connections=2)
        stack.push_async_callback(client.aclose)
        yield JumpingRedis(open_book(client), client, offset)


@pytest.mark.parametrize("offset_s", [-5, -3600, -86400])
async def test_a_redis_clock_that_jumps_back_blocks_no_caller(jumping: JumpingRedis, offset_s: int) -> None:
    """As after a fail-over to a server that is behind: nobody waits longer than a window, nor gets a second burst."""
    assert await jumping.take(IMAGES.amount) == 0
    await jumping.set_clock(offset_s)

    wait_s = await jumping.take(1)
    freed = await jumping.count_free()

    assert 0 < wait_s <= WINDOW_S
    assert freed <= 1


async def test_a_redis_clock_that_jumps_to_and_fro_admits_one_burst_at_most(jumping: JumpingRedis) -> None:
    assert await jumping.take(IMAGES.amount) == 0

    admitted = 0
    for offset_s in (-5, 0, -3600, 0):
        await jumping.set_clock(offset_s)
        admitted += await jumping.count_free()

    assert admitted <= IMAGES.amount
