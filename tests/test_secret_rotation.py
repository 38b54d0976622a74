"""Rotate secrets: the keys and links accepted at each step, and the warnings about losses."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from itertools import pairwise
from typing import Any

import pytest
from redis.asyncio import Redis

from service.domain.errors import Unauthenticated
from service.gateway.accounts.administration import Administration
from service.gateway.accounts.keys import NewKey
from service.settings.environment import load_settings
from service.settings.problems import SettingsError
from service.wiring.accounts import make_callers
from service.wiring.administration import make_administration
from service.wiring.commands import open_administration
from service.wiring.images import make_links
from service.wiring.neighbours import join_gateways
from service.wiring.notices import post_at_start
from service.wiring.process import BackingServices, ProcessContext, open_context, open_redis
from tests.fakes.telemetry import FakeTelemetry
from tests.processes import Valkey

OLD, NEW, OTHER = "the-old-secret-of-all", "the-new-secret-of-all", "a-secret-of-another-gateway"
ROLLOUT = (OLD, f"{OLD},{NEW},{OLD}", f"{NEW},{OLD}")
"""The lists in README, in their order."""
HASHED = "that hashed users and orders until now"
NEWEST = "the newest secret that this Redis was used with"
NAME = f"{'0' * 64}.png"

SETTINGS = load_settings({"GATEWAY_AUTH": "keys", "GATEWAY_REDIS_TIMEOUT_S": "5", "GATEWAY_SANDBOX": "true"})


def backing(valkey: Valkey, secrets: str) -> BackingServices:
    return BackingServices(
        redis_url=valkey.url, sandbox_url=None, public_url="http://here", secrets=tuple(secrets.split(","))
    )


class Replica:
    """What of a gateway depends on its secrets."""

    def __init__(self, ground: ProcessContext) -> None:
        self.ground = ground
        self.callers = make_callers(ground)
        self.administration = make_administration(ground, self.callers, models=frozenset())
        self.links = make_links(ground)


class Replicas:
    """Starts replicas on one Valkey, each with its secrets."""

    def __init__(self, valkey: Valkey, log: pytest.LogCaptureFixture, stack: AsyncExitStack) -> None:
        self._valkey = valkey
        self._log = log
        self._stack = stack

    async def start(self, secrets: str) -> tuple[Replica, str]:
        """Return a replica that has started, and what it said."""
        self._log.clear()
        services = backing(self._valkey, secrets)
        redis = open_redis(SETTINGS, services, self._stack, connections=2)
        ground = open_context(SETTINGS, services, redis, telemetry=FakeTelemetry())
        assert await post_at_start(ground) is None
        return Replica(ground), self._log.text


@pytest.fixture
async def replicas(valkey: Valkey, redis: Redis, caplog: pytest.LogCaptureFixture) -> AsyncIterator[Replicas]:
    async with AsyncExitStack() as stack:
        yield Replicas(valkey, caplog, stack)


async def test_replicas_accept_each_others_keys_and_links_during_a_rollout(
    replicas: Replicas,
) -> None:
    for before, after in pairwise(ROLLOUT):
        first, second = [(await replicas.start(secrets))[0] for secrets in (before, after)]
        for here, there in ((first, second), (second, first)):
            _, token = await here.administration.keys.create("boss", NewKey(team="shop", user="anna"))
            identity = await there.callers.identify(token)
            assert identity.user == here.callers.person("anna") == there.callers.person("anna")
            link = here.links.sign("shop", NAME)
            assert there.links.check(NAME, link.partition("?")[2]) == "shop"


async def test_only_replicas_of_a_rollout_run_together(valkey: Valkey, redis: Redis) -> None:
    for secrets in (*ROLLOUT, f"{OTHER},{OLD}"):
        await join_gateways(SETTINGS, backing(valkey, secrets))

    for secrets in (OTHER, f"{OLD},{NEW}"):
        with pytest.raises(SettingsError, match="another secret than that of 4 gateways"):
            await join_gateways(SETTINGS, backing(valkey, secrets))


async def test_secrets_without_losses_cause_no_warning(replicas: Replicas) -> None:
    # The last one drops a secret between newest and oldest, which is no longer needed.
    for secrets in (*ROLLOUT, f"{OTHER},{NEW},{OLD}", f"{OTHER},{OLD}"):
        _, said = await replicas.start(secrets)
        assert said == ""


@pytest.mark.parametrize(
    ("secrets", "said", "not_said"),
    [
        (NEW, f"does not list the secret {HASHED}", NEWEST),
        (f"{NEW},{OTHER}", f"does not list the secret {HASHED}", NEWEST),
        (OTHER, f"does not list the secret {HASHED}", "another secret"),
        (f"{OLD},{NEW}", f"another secret than the one {HASHED}", NEWEST),
        (OLD, f"does not list {NEWEST}", HASHED),
    ],
)
async def test_losses_from_missing_secrets_are_warned_of(
    replicas: Replicas, secrets: str, said: str, not_said: str
) -> None:
    await replicas.start(f"{NEW},{OLD}")

    _, text = await replicas.start(secrets)

    assert said in text
    assert not_said not in text
    assert "-secret-of-" not in text


async def test_keys_of_a_dropped_secret_are_marked(replicas: Replicas, valkey: Valkey) -> None:
    before, _ = await replicas.start(OLD)
    _, token = await before.administration.keys.create("boss", NewKey(team="shop", user="anna"))
    between, _ = await replicas.start(f"{NEW},{OLD}")
    await between.administration.keys.create("boss", NewKey(team="art", user="bob"))

    after, _ = await replicas.start(NEW)

    assert await marks_of(between.administration) == {"anna": True, "bob": True}
    assert await marks_of(after.administration) == {"anna": False, "bob": True}
    with pytest.raises(Unauthenticated):
        await after.callers.identify(token)
    async with open_administration(SETTINGS, backing(valkey, NEW)) as (administration, _):
        assert await marks_of(administration) == {"anna": False, "bob": True}


async def test_keys_from_earlier_versions_have_no_secret_hint(replicas: Replicas, redis: Redis) -> None:
    replica, _ = await replicas.start(OLD)
    key, _ = await replica.administration.keys.create("boss", NewKey(team="shop", user="anna"))
    await forget_mark(redis, key.secret_mark)

    assert await marks_of(replica.administration) == {"anna": None}


async def marks_of(administration: Administration) -> dict[str, bool | None]:
    return {key.user: administration.keys.has_its_secret(key) for key in await administration.keys.list()}


async def forget_mark(redis: Redis, mark: str) -> None:
    """Write the key as earlier versions did."""
    for name in await redis.keys("*"):
        if await redis.type(name) == b"hash":
            entries: dict[Any, Any] = await redis.hgetall(name)
            for field, text in entries.items():
                if mark.encode() in text:
                    await redis.hset(name, field, text.replace(f',"secret_mark":"{mark}"'.encode(), b""))
