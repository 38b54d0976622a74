"""Book spend of past days in the ledger of a gateway, which books only that of today."""

from collections.abc import Iterable
from datetime import date
from typing import Any, cast

from redis import Redis

from service.adapters.redis.keys import SEEN, of_team
from service.ports.ledger import KEPT_DAYS, LedgerEntry

_DAY_S = 86_400


def book(redis_url: str, entries: Iterable[LedgerEntry]) -> None:
    """Write *entries* as `finish.lua` does."""
    with Redis.from_url(redis_url) as redis:
        for entry in entries:
            key = of_team(entry.team).ledger(date.fromisoformat(entry.day))
            label = f"{entry.user}|{entry.model}|{entry.realm}|{entry.outcome}"
            for unit in ("images", "microusd", "unpriced"):
                if amount := getattr(entry, unit):
                    redis.hincrby(key, f"{label}|{unit}", amount)
            redis.expire(key, KEPT_DAYS * _DAY_S)
            redis.sadd(SEEN, entry.team)


def spent(day: str, team: str, images: int, microusd: int, **other: Any) -> LedgerEntry:
    """Return an entry; *other* are its fields where they differ from a live image that was made."""
    known = {"user": "a" * 32, "model": "gpt-image-2", "realm": "live", "outcome": "made", "unpriced": 0}
    fields = {**known, "day": day, "team": team, "images": images, "microusd": microusd, **other}
    return LedgerEntry(**cast("Any", fields))
