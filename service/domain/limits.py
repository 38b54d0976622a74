"""List the limits that judge an order: every limit of every policy of its caller, with its scope.

Pure values; the counting is `adapters/redis` and, without it, `gateway/admission/local.py`.
"""

from dataclasses import dataclass

from service.domain.callers import Caller, Resource


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """One limit to judge by: *scope* is the kind of its owner (`user`), *key* identifies the owner.

    *resource* is the counted quantity, *amount* its bound, in its unit
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
