"""Build the verifier of an identity provider's tokens; the first token fetches the keys."""

from contextlib import AsyncExitStack

import httpx

from service.adapters.clock import SystemClock
from service.adapters.identity.jwks import JwksSource
from service.adapters.identity.jwt import AlgorithmsRefused, JwtVerifier, TokenRules
from service.adapters.transport import open_transport
from service.ports.accounts import TokenVerifier
from service.settings.problems import SettingsError
from service.settings.variables import Settings
from service.wiring.process import ProcessContext


async def open_verifier(context: ProcessContext, stack: AsyncExitStack) -> TokenVerifier:
    settings = context.settings
    transport = open_transport(settings.jwt.jwks, connections=2) if "://" in settings.jwt.jwks else None
    client = await stack.enter_async_context(httpx.AsyncClient(transport=transport))
    keys = JwksSource(settings.jwt.jwks, client=client, clock=context.clock)
    return JwtVerifier(rules=_token_rules(settings), keys=keys, clock=context.clock)


def check_tokens(settings: Settings) -> None:
    """Check the settings of tokens; reads the file of keys, if any.

    Raises:
        SettingsError: a setting is wrong; the message names it and a correct value.
    """
    try:
        _token_rules(settings)
    except AlgorithmsRefused as error:
        raise SettingsError(f"GATEWAY_JWT__ALGORITHMS: {error}") from error
    except ValueError as error:
        raise SettingsError(f"GATEWAY_JWT: {error}") from error
    try:
        JwksSource(settings.jwt.jwks, client=httpx.AsyncClient(), clock=SystemClock()).check_file()
    except OSError as error:
        raise SettingsError(f"GATEWAY_JWT__JWKS: cannot read the file it names: {error.strerror}") from error
    except ValueError as error:
        raise SettingsError(f"GATEWAY_JWT__JWKS: {error}") from error


def _token_rules(settings: Settings) -> TokenRules:
    """Return the rules of accepted tokens; raises `ValueError`."""
    jwt = settings.jwt
    return TokenRules(
        issuer=jwt.issuer,
        audience=tuple(part.strip() for part in jwt.audience.split(",")),
        algorithms=tuple(part.strip() for part in jwt.algorithms.split(",")),
        user_claim=jwt.user_claim,
        team_claim=jwt.team_claim,
        policy_claim=jwt.policy_claim,
    )
