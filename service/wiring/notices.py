"""What gateways and commands on one Redis tell each other: which secrets count, which names a file has taken.

Failure behaviour: a gateway serves all the same while Redis is away, and leaves its
notices once it is back; a command with secrets that are not the gateway's is refused.
"""

import asyncio
import logging
from contextlib import suppress
from dataclasses import replace

from service.adapters.redis.advice import advise
from service.adapters.redis.client import translated_errors
from service.adapters.redis.notices import RedisNotices
from service.adapters.secrets import derive_key
from service.domain.callers import DeclaredNames
from service.domain.errors import StateUnavailable
from service.domain.fingerprint import keyed_hash
from service.ports.telemetry import StateFailed
from service.settings.problems import SettingsError
from service.wiring.ground import Ground, Surroundings

_log = logging.getLogger(__name__)
_POST_PAUSE_S = 1.0


async def greet_redis(ground: Ground) -> bool:
    """Leave the notices, or say at once that Redis is away; whether it was there."""
    try:
        with translated_errors():
            await ground.redis.ping()
        await _post_notices(ground)
    except StateUnavailable as error:
        ground.telemetry.record(StateFailed(operation="start", reason=error.reason))
        advice = advise(error.reason, ground.surroundings.redis_url)
        _log.warning("%s Until then limits fall to a local share, and nothing is cached.", advice)
        return False
    return True


async def post_later(ground: Ground, *, is_done: bool) -> None:
    """Leave the notices once Redis is back, unless they are left."""
    while not is_done:
        await asyncio.sleep(_POST_PAUSE_S)
        with suppress(StateUnavailable):
            await _post_notices(ground)
            is_done = True


async def with_secrets_in_use(ground: Ground) -> Ground:
    """Return *ground* with the gateway's newest secret as ours: in the middle of a rotation we may be ahead.

    Raises:
        SettingsError: the secrets are not the gateway's.
        StateUnavailable: nobody can tell.
    """
    check = await _notices(ground).read_secret_check()
    if check is None:
        return ground
    newest, _, oldest = check.partition(" ")
    ours = _secret_checks(ground.surroundings)
    if newest in ours and oldest == ours[-1]:
        secrets = ground.surroundings.secrets[ours.index(newest) :]
        return replace(ground, surroundings=replace(ground.surroundings, secrets=secrets))
    raise SettingsError(
        "GATEWAY_SECRETS are not those of the gateway that uses this Redis: its keys and people would not be "
        "recognised. Give this command the gateway's own, old ones too"
    )


async def _post_notices(ground: Ground) -> None:
    """Tell whoever works on the same state which secrets count and which names our file has taken."""
    notices = _notices(ground)
    check, ours = await notices.read_secret_check(), _secret_checks(ground.surroundings)
    # By the newest what is made from now on is hashed, by the oldest people and orders are.
    in_use = f"{ours[0]} {ours[-1]}"
    if check is not None and not set(check.split()) & set(ours):
        _log.warning(
            "GATEWAY_SECRETS are not those that this Redis was used with: keys, links and the hashes of people "
            "made with the old ones mean nothing now. List the old secret behind the new one to keep them"
        )
    if check != in_use:
        await notices.put_secret_check(in_use)
    declared = ground.settings.file
    names = DeclaredNames(
        policies=frozenset(declared.policies),
        teams=frozenset(declared.teams),
        models=frozenset(declared.models),
    )
    await notices.put_declared(names)


def _notices(ground: Ground) -> RedisNotices:
    return RedisNotices(ground.redis, timeout_s=ground.settings.redis_timeout_s)


def _secret_checks(surroundings: Surroundings) -> list[str]:
    """Return for each secret what tells it from others and tells nothing else."""
    return [keyed_hash(derive_key(secret, "check"), "image-gateway") for secret in surroundings.secrets]
