"""Start gateways with unlike secrets on one Redis: the later one refuses, as they would share nothing."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from service.adapters.redis.heartbeats import RedisHeartbeats
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


def beats(redis: Redis, process: str, secret: str) -> RedisHeartbeats:
    return RedisHeartbeats(redis, process=process, secret_check=secret, timeout_s=5, lost_s=1)


async def test_only_living_gateways_count(redis: Redis) -> None:
    first, second = beats(redis, "first", "old"), beats(redis, "second", "new")

    assert [await first.join(), await second.join(), await second.join()] == [0, 1, 1]
    assert await first.beat() == 1, "a gateway that refused to start is not counted"
    time.sleep(2.1)  # noqa: ASYNC251 - the age of a record is the subject
    assert [await second.join(), await first.join()] == [0, 1]
    await second.leave()
    assert [await first.join(), await first.beat()] == [0, 1]


async def test_processes_of_earlier_versions_are_counted_only(redis: Redis) -> None:
    seconds, _ = await redis.time()
    await redis.zadd("ig:1:processes", {"0123456789abcdef": seconds})

    assert await beats(redis, "first", "old").join() == 0
    assert await beats(redis, "first", "old").beat() == 2
