"""Who calls: one ASGI layer in front of all routes, deny by default.

Open mode asks for no credentials; a bearer token, if there is one, only tells
users apart, by its keyed hash. Every other route of the list below is open in
any mode.
"""

from dataclasses import dataclass

from starlette.types import ASGIApp, Receive, Scope, Send

from service.domain.fingerprint import keyed_hash
from service.domain.images import Caller
from service.http.services import HttpServices, services_of

OPEN_TEAM = "open"


@dataclass(frozen=True, slots=True)
class Identity:
    """What the credentials say: the team, and the user where they tell one."""

    team: str
    user: str | None


class Access:
    """Puts the `Identity` of each request into `scope["state"]["identity"]`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] == "http":
            scope["state"]["identity"] = _identify(scope, services_of(scope))
        await self._app(scope, receive, send)


def caller_of(scope: Scope, *, named_user: str | None) -> Caller:
    """Return who calls; *named_user* is the request's own `user`, used where credentials tell none."""
    services = services_of(scope)
    identity: Identity = scope["state"]["identity"]
    user = identity.user
    if user is None:
        user = keyed_hash(services.person_key, f"user {named_user}") if named_user else "anonymous"
    return Caller(team=identity.team, user=user, policy=services.default_policy)


def _identify(scope: Scope, services: HttpServices) -> Identity:
    for name, value in scope["headers"]:
        if name == b"authorization":
            scheme, _, token = value.partition(b" ")
            if scheme.lower() == b"bearer" and token.strip():
                return Identity(
                    OPEN_TEAM, keyed_hash(services.person_key, f"token {token.strip().decode('latin-1')}")
                )
    return Identity(OPEN_TEAM, None)
