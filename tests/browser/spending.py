"""Book spend of past days in the ledger of a gateway, which books only that of today."""

from collections.abc import Iterable, Iterator
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
            label = f"{entry.user}|{entry.model}|@{entry.backend}|{entry.realm}|{entry.outcome}"
            for unit in ("images", "microusd", "unpriced"):
                if amount := getattr(entry, unit):
                    redis.hincrby(key, f"{label}|{unit}", amount)
            redis.expire(key, KEPT_DAYS * _DAY_S)
            redis.sadd(SEEN, entry.team)


def spent(day: str, team: str, images: int, microusd: int, **other: Any) -> LedgerEntry:
    """Return an entry; *other* are its fields where they differ from a live image that was made."""
    known = {
        "user": "a" * 32,
        "model": "gpt-image-2",
        "backend": "openai",
        "realm": "live",
        "outcome": "made",
        "unpriced": 0,
    }
    fields = {**known, "day": day, "team": team, "images": images, "microusd": microusd, **other}
    return LedgerEntry(**cast("Any", fields))


def _november() -> Iterator[LedgerEntry]:
    """Yield a month of four teams that rest on weekends, with the days that need an explanation."""
    teams = {"shop": 140, "marketing": 90, "research": 45, "mobile": 22}
    models = {
        "gpt-image-2.6-flare": (0.6, 41_000),
        "gpt-image-2": (0.25, 53_000),
        "gpt-image-1.5": (0.15, 34_000),
    }
    for day in range(1, 31):
        date_of_day = date(2026, 11, day)
        week = 0.3 if date_of_day.weekday() >= 5 else 1.0
        for place, (team, usual) in enumerate(teams.items()):
            for model, (share, price) in models.items():
                # Neither even nor random.
                images = int(usual * share * week * (1 + day / 40) * (0.75 + (day * 7 + place * 3) % 11 / 20))
                if images:
                    yield spent(date_of_day.isoformat(), team, images, images * price, model=model)
    flare = {"model": "gpt-image-2.6-flare"}
    yield spent("2026-11-17", "shop", 9, 9 * 41_000, outcome="unknown", **flare)
    yield spent("2026-11-18", "shop", 140, 140 * 41_000, outcome="unknown", **flare)
    yield spent("2026-11-19", "research", 12, 0, unpriced=12, model="gpt-image-2.6-sunburst")
    yield spent("2026-11-25", "mobile", 180, 180 * 41_000, realm="sandbox", **flare)


NOVEMBER = tuple(_november())
"""A month of a company, for images."""
