"""Exchange notices between gateways and commands on one Redis: the secrets in use, and declared names.

Failure behaviour: a gateway serves without Redis and posts its notices once Redis is back; it warns
about the losses that missing secrets cause. A command with other secrets than the gateway's is refused.
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


async def post_at_start(context: ProcessContext) -> StateUnavailable | None:
    """Post the notices; logs a warning and returns the error if Redis is unavailable."""
    try:
        with translated_errors():
            await context.redis.ping()
        await _post_notices(context)
    except StateUnavailable as error:
        context.telemetry.record(StateFailed(operation="start", reason=error.reason))
        advice = advise(error.reason, context.backing.redis_url)
        _log.warning("%s Until then, limits are local shares, and nothing is cached.", advice)
        return error
    return None


async def post_later(context: ProcessContext, *, is_done: bool) -> None:
    """Post the notices once Redis is back, unless *is_done*."""
    while not is_done:
        await asyncio.sleep(_POST_PAUSE_S)
        with suppress(StateUnavailable):
            await _post_notices(context)
            is_done = True


async def with_secrets_in_use(context: ProcessContext) -> ProcessContext:
    """Return *context* with the gateway's newest secret first: in a rotation, a command may have a newer one.

    Raises:
        SettingsError: the secrets are not the gateway's.
        StateUnavailable: the gateway's secrets are unknown.
    """
    check = await _notices(context).read_secret_check()
    if check is None:
        return context
    newest, _, oldest = check.partition(" ")
    ours = secret_checks(context.backing)
    if newest in ours and oldest == ours[-1]:
        secrets = context.backing.secrets[ours.index(newest) :]
        return replace(context, backing=replace(context.backing, secrets=secrets))
    raise SettingsError(
        "GATEWAY_SECRETS differs from that of the gateway on this Redis, so this command could not recognise its keys "
        "and users. Set it to all secrets of the gateway, including old ones"
    )


async def _post_notices(context: ProcessContext) -> None:
    """Publish the secrets in use and the declared names to all processes on this Redis."""
    notices = _notices(context)
    check, ours = await notices.read_secret_check(), secret_checks(context.backing)
    # The newest secret hashes new keys, the oldest one users and orders.
    in_use = f"{ours[0]} {ours[-1]}"
    if check is not None:
        _warn_of_lost_secrets(check, ours)
    # The gateway that started last decides, so that operators can drop a secret.
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
    """Warn about the losses from missing secrets; *check* is that of the previous gateway."""
    newest, _, oldest = check.partition(" ")
    if oldest not in ours:
        _log.warning(
            "GATEWAY_SECRETS does not list the secret that hashed users and orders until now: its keys and links are "
            "refused, limits, budgets and the cache begin empty, and a purge by name finds no earlier data. "
            "List it again, as the last one, to restore them"
        )
    elif oldest != ours[-1]:
        _log.warning(
            "GATEWAY_SECRETS ends with another secret than the one that hashed users and orders until now: "
            "limits, budgets and the cache begin empty, and a purge by name finds no earlier data. List that secret "
            "last to restore them, unless you have just restored an older one"
        )
    if newest not in (*ours, oldest):
        _log.warning(
            "GATEWAY_SECRETS does not list the newest secret that this Redis was used with: this gateway refuses "
            "its keys and links. Add it, in front if it is still the newest"
        )


def _notices(context: ProcessContext) -> RedisAnnouncements:
    return RedisAnnouncements(context.redis, timeout_s=context.settings.redis_timeout_s)


def secret_checks(backing: BackingServices) -> list[str]:
    """Return a value for each secret that identifies it and reveals nothing else."""
    return [keyed_hash(derive_key(secret, "check"), "image-gateway") for secret in backing.secrets]
