"""Start gateways with unlike secrets, or of unlike versions, on one Redis: the later one refuses, as they would count apart."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis as blocking
from redis.asyncio import Redis

from service.adapters.redis.heartbeats import RedisHeartbeats, Unlike
from service.adapters.redis.keys import FORMS, HOLDS, PROCESSES
from tests.processes import Gateway, Valkey, free_port, run_gateway, run_valkey
from tests.shell import Done, Shell

OLD, OTHER = "the-old-secret-of-all", "a-secret-of-another-gateway"


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Gateway, Valkey]]:
    """A running gateway, and its Redis."""
    with (
        run_valkey() as valkey,
        run_gateway(tmp_path_factory.mktemp("first"), redis_url=valkey.url, secrets=OLD) as gateway,
    ):
        yield gateway, valkey


def start(directory: Path, valkey: Valkey, secrets: str | None) -> Done:
    """Run a gateway that is expected to end by itself."""
    given = {
        "GATEWAY_PORT": str(free_port()),
        "GATEWAY_REDIS_URL": valkey.url,
        **({} if secrets is None else {"GATEWAY_SECRETS": secrets}),
    }
    return Shell(directory, tuple(given.items())).run_apart("serve")


@pytest.mark.parametrize(
    "secrets", [OTHER, f"{OLD},{OTHER}", None], ids=["another", "only first", "generated"]
)
def test_a_gateway_with_another_last_secret_refuses_to_start(
    first: tuple[Gateway, Valkey], tmp_path: Path, secrets: str | None
) -> None:
    gateway, valkey = first
    refused = start(tmp_path, valkey, secrets)

    assert refused.returncode == 1
    said = refused.stderr
    assert "error: GATEWAY_SECRETS ends with another secret than that of 1 gateway" in said
    assert "as the last" in said
    assert "stop them" in said
    assert "Traceback" not in said
    assert "secret-of" not in said + gateway.log.read_text("utf-8")


def test_a_gateway_that_has_stopped_is_no_hindrance(tmp_path: Path) -> None:
    with run_valkey() as valkey:
        with run_gateway(tmp_path, redis_url=valkey.url, secrets=OLD) as before:
            assert before.stop() == 0

        with run_gateway(tmp_path, redis_url=valkey.url, secrets=OTHER) as after:
            assert "does not list the secret that hashed users" in after.log.read_text("utf-8")


def beats(redis: Redis, process: str, check: str = "same", *, form: int = HOLDS) -> RedisHeartbeats:
    return RedisHeartbeats(redis, process=process, secret_check=check, timeout_s=5, lost_s=1, form=form)


ALIKE, OTHER_SECRET, OTHER_FORM = Unlike(), Unlike(secrets=1), Unlike(forms=1)


async def test_only_living_gateways_count(redis: Redis) -> None:
    first, second = beats(redis, "first", "old"), beats(redis, "second", "new")

    assert [await first.join(), await second.join(), await second.join()] == [
        ALIKE,
        OTHER_SECRET,
        OTHER_SECRET,
    ]
    assert await first.beat() == 1, "a gateway that refused to start is not counted"
    time.sleep(2.1)  # noqa: ASYNC251 - the age of a record is the subject
    assert [await second.join(), await first.join()] == [ALIKE, OTHER_SECRET]
    await second.leave()
    assert [await first.join(), await first.beat()] == [ALIKE, 1]


async def test_gateways_that_hold_orders_in_another_form_refuse_each_other(redis: Redis) -> None:
    running, newer = beats(redis, "running"), beats(redis, "newer", form=HOLDS + 1)

    assert [await running.join(), await newer.join()] == [ALIKE, OTHER_FORM]
    await running.leave()
    assert [await newer.join(), await running.join()] == [ALIKE, OTHER_FORM], "back to the earlier version"
    await newer.leave()
    assert await redis.hgetall(FORMS) == {}


async def test_what_a_killed_gateway_said_does_not_count_for_its_name(redis: Redis) -> None:
    await beats(redis, "killed", form=HOLDS + 1).join()
    other = beats(redis, "other")
    for _ in range(4):
        time.sleep(0.6)  # noqa: ASYNC251 - so is it here
        await other.beat()
    assert await other.join() == ALIKE
    # An earlier version in the same directory, which says nothing of holds.
    seconds, _ = await redis.time()
    await redis.zadd(PROCESSES, {"killed same": seconds})

    assert await beats(redis, "third").join() == ALIKE


async def test_gateways_of_the_first_versions_are_counted_and_refused(redis: Redis) -> None:
    seconds, _ = await redis.time()
    await redis.zadd(PROCESSES, {"0123456789abcdef": seconds})

    assert await beats(redis, "first").join() == OTHER_FORM
    assert await beats(redis, "first").beat() == 2


def test_a_gateway_refuses_to_start_beside_one_that_counts_otherwise(tmp_path: Path) -> None:
    with run_valkey() as valkey:
        with blocking.Redis(unix_socket_path=valkey.url.removeprefix("unix://")) as client:
            client.zadd(PROCESSES, {"0123456789abcdef": 4 * 10**9})
        refused = start(tmp_path, valkey, OLD)

    assert refused.returncode == 1
    assert (
        "error: GATEWAY_REDIS_URL has 1 gateway of a version that counts running orders in another way"
        in refused.stderr
    )
    assert "Stop all gateways of that version" in refused.stderr
    assert "Traceback" not in refused.stderr
