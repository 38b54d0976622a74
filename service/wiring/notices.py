"""Exchange notices between gateways and commands on one Redis: the secrets in use, and declared names.

Failure behaviour: a gateway serves all the same while Redis is away, leaves its notices
once it is back, and warns of the losses that missing secrets cause; a command with
secrets that are not the gateway's is refused.
"""

import asyncio
import logging
from contextlib import suppress
from dataclasses import replace

from service.adapters.identity.secrets import derive_key
from service.adapters.redis.announcements import RedisAnnouncements
from service.adapters.redis.client.errors import translated_errors
from service.adapters.redis.client.troubleshooting import advise
from service.domain.callers import DeclaredNames
from service.domain.errors import StateUnavailable
from service.domain.fingerprint import keyed_hash
from service.ports.telemetry import StateFailed
from service.settings.problems import SettingsError
from service.wiring.process import BackingServices, ProcessContext

_log = logging.getLogger(__name__)
_POST_PAUSE_S = 1.0


async def greet_redis(context: ProcessContext) -> bool:
    """Leave the notices, or report at once that Redis is away; returns False then."""
    try:
        with translated_errors():
            await context.redis.ping()
        await _post_notices(context)
    except StateUnavailable as error:
        context.telemetry.record(StateFailed(operation="start", reason=error.reason))
        advice = advise(error.reason, context.backing.redis_url)
        _log.warning("%s Until then limits fall to a local share, and nothing is cached.", advice)
        return False
    return True


async def post_later(context: ProcessContext, *, is_done: bool) -> None:
    """Leave the notices once Redis is back, unless that is done."""
    while not is_done:
        await asyncio.sleep(_POST_PAUSE_S)
        with suppress(StateUnavailable):
            await _post_notices(context)
            is_done = True


async def with_secrets_in_use(context: ProcessContext) -> ProcessContext:
    """Return *context* with the gateway's newest secret first: during a rotation this process may be ahead.

    Raises:
        SettingsError: the secrets are not the gateway's.
        StateUnavailable: the gateway's secrets are unknown.
    """
    check = await _notices(context).read_secret_check()
    if check is None:
        return context
    newest, _, oldest = check.partition(" ")
    ours = _secret_checks(context.backing)
    if newest in ours and oldest == ours[-1]:
        secrets = context.backing.secrets[ours.index(newest) :]
        return replace(context, backing=replace(context.backing, secrets=secrets))
    raise SettingsError(
        "GATEWAY_SECRETS are not those of the gateway that uses this Redis: its keys and people would not be "
        "recognised. Give this command the gateway's own, old ones too"
    )


async def _post_notices(context: ProcessContext) -> None:
    """Publish the secrets in use and the names in this gateway's file to all processes on the same state."""
    notices = _notices(context)
    check, ours = await notices.read_secret_check(), _secret_checks(context.backing)
    # The newest secret hashes new keys, the oldest one people and orders.
    in_use = f"{ours[0]} {ours[-1]}"
    if check is not None:
        _warn_of_lost_secrets(check, ours)
    # The gateway that started last decides, so that a secret can be given up; it was warned of the cost.
    if check != in_use:
        await notices.put_secret_check(in_use)
    declared = context.settings.file
    names = DeclaredNames(
        policies=frozenset(declared.policies),
        teams=frozenset(declared.teams),
        models=frozenset(declared.models),
    )
    await notices.put_declared(names)


def _warn_of_lost_secrets(check: str, ours: list[str]) -> None:
    """Warn about losses from missing secrets, by the *check* of the gateway that started last."""
    newest, _, oldest = check.partition(" ")
    if oldest not in ours:
        _log.warning(
            "GATEWAY_SECRETS does not list the secret by which people and orders were hashed here until now: "
            "keys and links made with it are refused, people's limits, budgets and cached pictures start anew, "
            "and a purge by name finds nothing of before. List it again, as the last one, to have all that back"
        )
    elif oldest != ours[-1]:
        _log.warning(
            "GATEWAY_SECRETS ends with another secret than the one by which people and orders were hashed here "
            "until now: people's limits, budgets and cached pictures start anew, and a purge by name finds nothing "
            "of before. List that one last to have them back, unless you have just done so with an older one"
        )
    if newest not in (*ours, oldest):
        _log.warning(
            "GATEWAY_SECRETS does not list the newest secret that this Redis was used with: this gateway refuses "
            "keys and links made with it. List it too, in front if it is still the newest"
        )


def _notices(context: ProcessContext) -> RedisAnnouncements:
    return RedisAnnouncements(context.redis, timeout_s=context.settings.redis_timeout_s)


def _secret_checks(backing: BackingServices) -> list[str]:
    """Return for each secret a value that identifies it and reveals nothing else."""
    return [keyed_hash(derive_key(secret, "check"), "image-gateway") for secret in backing.secrets]
