"""The limits an order is judged by: every limit of every policy of its caller, with whose it is.

Pure values; the counting is `adapters/redis` and, without it, `gateway/degraded.py`.
"""

from dataclasses import dataclass

from service.domain.callers import Caller, Resource


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """One limit to judge by: *scope* names whose it is (`user`), *key* which one's.

    *resource* says what is counted, *amount* how much of it there is, in its unit
    (see `domain.callers`).
    """

    resource: Resource
    scope: str
    key: str
    amount: int


def limits_of(caller: Caller) -> tuple[Limit, ...]:
    """Return every limit of every policy that an order of *caller* counts against."""
    return tuple(
        Limit(resource=resource, scope=scope.name, key=scope.key, amount=amount)
        for scope in caller.scopes
        for resource, amount in scope.policy.amounts()
    )
