"""Read the current state of a caller's limits.

Failure behaviour: closed, `StateUnavailable`: a local share would be a guess.
"""

from uuid import uuid4

from service.domain.callers import Caller, limits_of
from service.domain.errors import LimitState, StateUnavailable
from service.gateway.admission.shared import SharedState
from service.ports.admission import Ask


async def ask_for_limits(state: SharedState, caller: Caller) -> tuple[LimitState, ...]:
    """Return the state of every limit of *caller*.

    Asks for zero images in a second round, which every limit judges and none charges.

    Raises:
        StateUnavailable: Redis is away; a local share would be a guess.
    """
    grant = await state.begin(
        Ask(
            id=uuid4().hex,
            round=1,
            team=caller.team,
            user=caller.user,
            model="",
            pool=None,
            n=0,
            limits=limits_of(caller),
            scopes=tuple((scope.name, scope.key) for scope in caller.scopes),
            key_id=caller.key_id,
            only_ready=True,
        )
    )
    if grant.degraded:
        raise StateUnavailable("degraded")
    return grant.limits
