"""Build the callers: credentials, keys in Redis, and declarations of the configuration file.

Failure behaviour: without Redis, a process starts with the declared names only; the watcher of
the callers keeps trying.
"""

from contextlib import suppress

from service.adapters.identity.secrets import derive_key
from service.adapters.redis.accounts import RedisCallers
from service.domain.callers import Directory, Policy, Team
from service.domain.errors import StateUnavailable
from service.gateway.accounts.credentials import Credentials
from service.gateway.accounts.identify import Callers
from service.ports.accounts import TokenVerifier
from service.settings.variables import Settings
from service.wiring.process import ProcessContext


async def open_callers(context: ProcessContext, verifier: TokenVerifier | None) -> Callers:
    """Return callers with all teams loaded, if Redis is available."""
    callers = make_callers(context, verifier)
    with suppress(StateUnavailable):
        declared = [name for name, team in context.settings.file.teams.items() if not team.closed]
        await make_registry(context).reopen(declared)
        await callers.look_again()
    return callers


def make_callers(context: ProcessContext, verifier: TokenVerifier | None = None) -> Callers:
    """Return callers without loaded teams."""
    settings, secrets = context.settings, context.backing.secrets
    credentials = Credentials(
        takes_keys="keys" in settings.auth,
        takes_jwt="jwt" in settings.auth,
        token_keys=tuple(derive_key(each, "token") for each in secrets),
        person_key=derive_key(context.lasting_secret, "person"),
        admin_key=settings.admin_key.get_secret_value() if settings.admin_key else None,
    )
    return Callers(
        credentials=credentials,
        book=make_registry(context),
        verifier=verifier,
        declared=declared_directory(settings),
        default_policy=Policy(**settings.default_policy.model_dump()),
        clock=context.clock,
    )


def make_registry(context: ProcessContext) -> RedisCallers:
    return RedisCallers(context.redis, timeout_s=context.settings.redis_timeout_s)


def declared_directory(settings: Settings) -> Directory:
    policies = {
        name: Policy(
            name=name,
            caches=entry.cache == "on",
            models=tuple(entry.models),
            **entry.model_dump(exclude={"cache", "models"}),
        )
        for name, entry in settings.file.policies.items()
    }
    teams = {
        name: Team(name=name, policy=entry.policy, user_policy=entry.user_policy, is_closed=entry.closed)
        for name, entry in settings.file.teams.items()
    }
    return Directory(policies=policies, teams=teams)
