"""Join the gateways on one Redis, whose last secrets must be alike.

With unlike ones they would multiply limits and share neither cache nor claims (ADR 0014).
Failure behaviour: a gateway starts without Redis; once Redis is back, it only warns.
"""

from contextlib import AsyncExitStack, suppress

from redis.asyncio import Redis

from service.adapters.redis.heartbeats import RedisHeartbeats
from service.domain.errors import StateUnavailable
from service.settings.problems import SettingsError
from service.settings.variables import Settings
from service.wiring.notices import secret_checks
from service.wiring.process import BackingServices, ProcessContext, open_redis


async def join_gateways(settings: Settings, backing: BackingServices) -> None:
    """Report this process alive before it serves.

    Raises:
        SettingsError: live gateways on this Redis have another last secret.
    """
    async with AsyncExitStack() as stack:
        redis = open_redis(settings, backing, stack, connections=1)
        heartbeats = _make(settings, backing, redis)
        unlike = 0
        with suppress(StateUnavailable):
            unlike = await heartbeats.join()
    if unlike:
        raise SettingsError(
            f"GATEWAY_SECRETS ends with another secret than that of {unlike} gateway{'s' * (unlike > 1)} running on this "
            "Redis, so they would not share limits, images and users. List their last secret as the last one here, too (a generated one "
            "is in the file 'secret' of their GATEWAY_DATA_DIR), or stop them and start again. A gateway that was killed "
            "counts for 15 seconds"
        )


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
