"""Check the names, amounts and sizes that admins enter; use cases check if a name is taken or in use."""

import re
from collections.abc import Collection
from typing import get_args

from service.domain.callers import RESERVED_POLICIES, RESERVED_TEAMS, EqualOrders, Policy, is_name
from service.domain.errors import InvalidOrder
from service.domain.images import MAX_N
from service.domain.limits import LIMITS

MOST_N = MAX_N
LATEST_S = 4_102_444_800
"""2100-01-01; a later expiry is probably in milliseconds."""

_PERSON_HASH = re.compile(r"[0-9a-f]{32}")
SIZE_PATTERN = "[1-9][0-9]{1,4}x[1-9][0-9]{1,4}"
_SIZE = re.compile(SIZE_PATTERN)
_LONGEST_TEXT = 100


def check_name(name: str, *, param: str) -> None:
    """Check the name of a team or a policy."""
    if not is_name(name):
        raise InvalidOrder(
            f"Invalid '{param}': a name is 1 to 40 of a-z, 0-9 and '-', and does not begin with '-'.",
            param=param,
        )


def check_team(name: str, *, param: str) -> None:
    """Check the name of a team to create, change or give keys."""
    check_name(name, param=param)
    if name in RESERVED_TEAMS:
        raise InvalidOrder(
            f"Invalid '{param}': '{name}' is a team of the gateway itself: 'open' is for callers without credentials, "
            "'admin' for GATEWAY_ADMIN_KEY. Choose another name.",
            param=param,
        )


def check_user(user: str) -> None:
    """Check the name of a person or a service, in the form of any identity provider."""
    if not _is_text(user) or is_person_hash(user):
        raise InvalidOrder(
            f"Invalid 'user': a user is 1 to {_LONGEST_TEXT} printable characters without spaces around them, "
            "such as anna or anna@example.com.",
            param="user",
        )


def is_person_hash(text: str) -> bool:
    """Tell if *text* is a person's hash, as in the ledger, rather than a name."""
    return _PERSON_HASH.fullmatch(text) is not None


def is_size(text: str) -> bool:
    """Tell if *text* has the form of a size, such as 1536x1024."""
    return _SIZE.fullmatch(text) is not None


def check_expiry(expires_s: int, now_s: float) -> None:
    """Check the expiry of a key; 0 means never."""
    if expires_s != 0 and not now_s < expires_s <= LATEST_S:
        raise InvalidOrder(
            "Invalid 'expires_at': it must be a time in the future, in seconds since 1970, and before 2100.",
            param="expires_at",
        )


def check_policy(policy: Policy, models: Collection[str]) -> None:
    """Check all values of a policy; *models* are all known models."""
    check_name(policy.name, param="name")
    if policy.name in RESERVED_POLICIES:
        raise InvalidOrder(
            f"Invalid 'name': '{policy.name}' means something else in usage; choose another name.",
            param="name",
        )
    for kind in LIMITS:
        _check_amount(kind.name, policy.amount_of(kind), kind.most)
    _check_amount("max_n", policy.max_n, MOST_N)
    if policy.max_size and not is_size(policy.max_size):
        raise InvalidOrder("Invalid 'max_size': it is a size such as 1536x1024.", param="max_size")
    if policy.cache_scope not in (None, "user", "team"):
        raise InvalidOrder("Invalid 'cache_scope': supported values are user and team.", param="cache_scope")
    if policy.equal_orders not in get_args(EqualOrders):
        raise InvalidOrder(
            "Invalid 'equal_orders': supported values are differ and share.", param="equal_orders"
        )
    if not all(_is_text(model) for model in policy.models):
        raise InvalidOrder("Invalid 'models': each is the name of a model.", param="models")
    unknown = [model for model in policy.models if model not in models]
    if unknown:
        raise InvalidOrder(
            f"Invalid 'models': there is no model '{unknown[0]}'. GET /v1/models lists them.", param="models"
        )


def _check_amount(name: str, amount: int, most: int) -> None:
    if not 0 <= amount <= most:
        raise InvalidOrder(f"Invalid '{name}': it is 0 (no such limit) to {most}.", param=name)


def _is_text(text: str) -> bool:
    return 0 < len(text) <= _LONGEST_TEXT and text.isprintable() and text == text.strip()
