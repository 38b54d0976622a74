"""Name every key that the gateway has in Redis.

All keys of a team carry its hash tag, so that one script may use them in a cluster. Key names hold
hashes and configured names, never a prompt, an API key or other text of a caller.
"""

from collections.abc import Iterable
from datetime import date
from functools import lru_cache

from service.domain.callers import Scope
from service.domain.rests import RestName

SCHEMA = "ig:1"
"""Incremented when the meaning of a key changes; old keys then expire unread."""

HOLDS = 2
"""The same for holds alone: all else is carried over. Gateways with another form cannot count each other's running
orders, so they refuse to start beside each other (`heartbeats.py`)."""

MADE_AT = "|@"
"""Precedes the backend behind a model in the ledger and in references: earlier versions take both for the name of a model,
while a field more would be a fault to them."""

CHANNEL = f"{SCHEMA}:made"
"""The channel on which `finish` announces new images to all processes."""

RESTS = f"{SCHEMA}:rests"
"""The channel on which processes announce rests of backend keys."""


class TeamKeys:
    """The keys of one team, all with its hash tag."""

    def __init__(self, team: str) -> None:
        self.prefix = f"{SCHEMA}:{{{team}}}:"
        self.holds = f"{self.prefix}holds:{HOLDS}"
        """Sorted set of the team's holds by expiry."""
        self.hold_details = f"{self.prefix}hold-details:{HOLDS}"
        """Hash of each hold's content."""
        self.outdated = (f"{self.prefix}holds", f"{self.prefix}hold-details")
        """Holds of an earlier version."""
        self.pulse = f"{self.prefix}pulse"
        """Hash of the time since when the team's leases are renewed without a long pause."""
        self.ledgers = f"{self.prefix}ledger:"
        """Prefix of the ledgers, for scripts: the day follows."""
        self.api_keys = f"{self.prefix}keys"
        """Hash of the team's API keys by id."""
        self.images = f"{self.prefix}images"
        """Hash of the team's references: image name -> its origin."""
        self.kept_ages = f"{self.prefix}ages:kept"
        """Sorted set of the references to keep, by the second they were made."""
        self.brief_ages = f"{self.prefix}ages:brief"
        """The same for brief references."""
        self.totals = f"{self.prefix}totals"
        """Hash of the numbers of `images` and `bytes` the team refers to."""
        self.no_pool = f"{self.prefix}no-pool:-"
        """Placeholder for the pool of an order without one; nothing is stored there."""

    def ledger(self, day: date) -> str:
        """Name the ledger of a UTC day."""
        return f"{self.ledgers}{day:%Y%m%d}"

    def limits(self, scopes: Iterable[Scope]) -> list[str]:
        """Name the hash of each scope's limits."""
        return [f"{self.prefix}limits:{scope.name}:{scope.key}" for scope in scopes]

    def limits_of_user(self, user: str) -> str:
        """Name the hash of the limits of one user."""
        return f"{self.prefix}limits:user:{user}"

    def idempotency(self, key: str) -> str:
        """Name the record of an `Idempotency-Key` by its keyed hash; `-` stands for none."""
        return f"{self.prefix}idempotency:{key}"

    def fanout(self, user: str, pool: str) -> str:
        """Name the window of equal orders of *user*, a keyed hash, for the images of *pool*."""
        return f"{self.prefix}fanout:{user}:{pool.removeprefix(self.prefix)}"

    def marker(self, kind: str, name: str) -> str:
        """Name the marker of a script that has run."""
        return f"{self.prefix}{kind}:{name}"


@lru_cache(4096)
def of_team(team: str) -> TeamKeys:
    """Return the keys of *team*, cached."""
    return TeamKeys(team)


def pool_key(team: str, scope: str, fingerprint: str) -> str:
    """Name the pool of *fingerprint* in *scope*."""
    return f"{of_team(team).prefix}pool:{scope}:{fingerprint}"


def token_key(token_hash: str) -> str:
    """Name the key that leads from a token's hash to its team and key; outside the team, which is not known yet."""
    return f"{SCHEMA}:token:{token_hash}"


def directory_key(part: str) -> str:
    """Name a part of the state that all teams share, such as `policies` or `audit`."""
    return f"{SCHEMA}:{{directory}}:{part}"


def rest_key(name: RestName) -> str:
    """Name the rest of a backend's key, for one model or for all; its parts are configured names."""
    return f"{SCHEMA}:{{backends}}:rest:{name.key}:{name.model}"


PROCESSES = f"{SCHEMA}:processes"
"""Sorted set of live processes by the time of their last heartbeat."""

FORMS = f"{SCHEMA}:forms:{{{PROCESSES}}}"
"""Hash of the form of the holds of each live process; its tag puts it beside those. Earlier versions write none."""

SEEN = directory_key("seen")
"""Set of the known teams: those that ever ordered, settled or got a key."""

DELETIONS = directory_key("leftovers")
"""Sorted set of images that lost a reference, by the time at which to check their bytes."""

SWEEPER = directory_key("sweeper")
"""The process that sweeps now; with the suffix `:round`, the progress of the walk through the store."""
