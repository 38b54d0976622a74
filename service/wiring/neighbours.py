"""Join the gateways on one Redis, whose last secrets and forms of holds must be alike.

With unlike secrets they would multiply limits and share neither cache nor claims (ADR 0014); with unlike holds they would
multiply limits on what is in flight.
Failure behaviour: a gateway starts without Redis; once Redis is back, it only warns.
"""

from contextlib import AsyncExitStack, suppress

from redis.asyncio import Redis

from service.adapters.redis.heartbeats import RedisHeartbeats, Unlike
from service.domain.errors import StateUnavailable
from service.settings.problems import SettingsError
from service.settings.variables import Settings
from service.wiring.notices import secret_checks
from service.wiring.process import BackingServices, ProcessContext, open_redis


async def join_gateways(settings: Settings, backing: BackingServices) -> None:
    """Report this process alive before it serves.

    Raises:
        SettingsError: live gateways on this Redis have another last secret, or are of a version with other holds.
    """
    async with AsyncExitStack() as stack:
        redis = open_redis(settings, backing, stack, connections=1)
        heartbeats = _make(settings, backing, redis)
        unlike = Unlike()
        with suppress(StateUnavailable):
            unlike = await heartbeats.join()
    if unlike.secrets:
        raise SettingsError(
            f"GATEWAY_SECRETS ends with another secret than that of {_count(unlike.secrets)} running on this "
            "Redis, so they would not share limits, images and users. List their last secret as the last one here, too (a generated one "
            "is in the file 'secret' of their GATEWAY_DATA_DIR), or stop them and start again. A gateway that was killed "
            "counts for 15 seconds"
        )
    if unlike.forms:
        raise SettingsError(
            f"GATEWAY_REDIS_URL has {_count(unlike.forms)} of a version that counts running orders in another way, so limits and "
            "budgets would be exceeded beside it. Stop all gateways of that version, then start this one: all but running orders is "
            "carried over. A gateway that was killed counts for 15 seconds"
        )


def _count(gateways: int) -> str:
    return f"{gateways} gateway{'s' * (gateways > 1)}"


def open_heartbeats(context: ProcessContext, stack: AsyncExitStack) -> RedisHeartbeats:
    """Return the heartbeats of this process, which is reported gone when *stack* closes."""
    heartbeats = _make(context.settings, context.backing, context.redis)

    async def leave() -> None:
        with suppress(StateUnavailable):
            await heartbeats.leave()

    stack.push_async_callback(leave)
    return heartbeats


def _make(settings: Settings, backing: BackingServices, redis: Redis) -> RedisHeartbeats:
    return RedisHeartbeats(
        redis,
        process=backing.process,
        secret_check=secret_checks(backing)[-1],
        timeout_s=settings.redis_timeout_s,
    )
