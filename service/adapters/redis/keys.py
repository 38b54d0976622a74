"""The names of all keys the gateway has in Redis.

All keys of a team carry its hash tag, so that one script may touch them in a
cluster. Names hold hashes and names from the configuration, never a prompt, a key
or any other text of a caller.
"""

from service.ports.ledger import KEPT_DAYS

SCHEMA = "ig:1"
"""Raised when the meaning of a key changes; old keys then expire unread."""

CHANNEL = f"{SCHEMA}:made"
"""The channel on which `finish` announces new images to all processes."""


def team_prefix(team: str) -> str:
    """Return the prefix of every key of *team*."""
    return f"{SCHEMA}:{{{team}}}:"


def pool_key(team: str, scope: str, fingerprint: str) -> str:
    """Name the pool of *fingerprint* in *scope*: the owner of its hits is never optional."""
    return f"{team_prefix(team)}pool:{scope}:{fingerprint}"


def holds_key(team: str) -> str:
    """Name the sorted set of a team's holds by expiry."""
    return f"{team_prefix(team)}holds"


def hold_details_key(team: str) -> str:
    """Name the hash of each hold's content."""
    return f"{team_prefix(team)}hold-details"


LEDGER_DAYS = KEPT_DAYS


def ledger_key(team: str, day: str) -> str:
    """Name the ledger of a UTC *day* (`YYYYMMDD`)."""
    return f"{team_prefix(team)}ledger:{day}"


def limit_key(team: str, scope: str, whose: str) -> str:
    """Name the hash of the limits of one scope, such as one user."""
    return f"{team_prefix(team)}limits:{scope}:{whose}"


def keys_key(team: str) -> str:
    """Name the hash of a team's API keys by id."""
    return f"{team_prefix(team)}keys"


def token_key(token_hash: str) -> str:
    """Name the key under which a token's hash leads to its team and key; outside any team, since the team is not known yet."""
    return f"{SCHEMA}:token:{token_hash}"


def directory_key(part: str) -> str:
    """Name a part of the state that all teams share, such as `policies`, `teams`, `revision` and `audit`."""
    return f"{SCHEMA}:{{directory}}:{part}"


PROCESSES = f"{SCHEMA}:processes"
"""Sorted set of living processes by the time of their last heartbeat."""


def idempotency_key(team: str, key: str) -> str:
    """Name the record of an `Idempotency-Key`, by its keyed hash."""
    return f"{team_prefix(team)}idempotency:{key}"


def images_key(team: str) -> str:
    """Name the hash of a team's references: image name -> its origin."""
    return f"{team_prefix(team)}images"


def ages_key(team: str, kind: str) -> str:
    """Name the sorted set of a team's references by the second they were made; *kind* is `kept` or `brief`."""
    return f"{team_prefix(team)}ages:{kind}"


def totals_key(team: str) -> str:
    """Name the hash of the numbers of `images` and `bytes` a team refers to."""
    return f"{team_prefix(team)}totals"


def marker_key(team: str, kind: str, name: str) -> str:
    """Name the mark that a script has run."""
    return f"{team_prefix(team)}{kind}:{name}"


SEEN = directory_key("seen")
"""Set of the teams that ever ordered, settled or were given a key."""

LEFTOVERS = directory_key("leftovers")
"""Sorted set of images that lost a reference, by the second at which to check their bytes."""

SWEEPER = directory_key("sweeper")
"""The process that sweeps now; and, with `:round` behind it, the progress of the walk through the store."""
