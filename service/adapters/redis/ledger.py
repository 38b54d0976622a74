"""Read the ledger that `finish` and `renew` book in Redis, and erase a person from it.

A day of a team is one hash with a field for each sum. Fields are read by the page, those of one
sum at once, so a huge day never blocks the server.
Failure behaviour: closed. Anything but a clear answer is `StateUnavailable`.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from datetime import date, timedelta
from typing import Any

import orjson
from redis.asyncio import Redis

from service.adapters.redis import keys
from service.adapters.redis.client.commands import PAGE, BoundedCommands, batches
from service.adapters.redis.client.script import read_script
from service.domain.errors import StateUnavailable
from service.domain.images import Realm
from service.ports.clock import Calendar
from service.ports.ledger import KEPT_DAYS, LedgerEntry

_COMPACT_S = 10.0
_COMPACT_PAUSE_S = 0.05
_UNITS = ("images", "microusd", "unpriced")
_REALMS = frozenset(Realm)
_LEAST_PARTS = 4
"""Of a label: user, model, realm and outcome."""


class RedisLedger:
    """Implements `ports.ledger.Ledger`, `ports.ledger.LedgerEraser` and `ports.accounts.KnownTeams`."""

    def __init__(self, client: Redis, *, clock: Calendar, timeout_s: float) -> None:
        self._client = client
        self._clock = clock
        self._ask = BoundedCommands(client, timeout_s=timeout_s)
        self._scripts = {name: read_script(name) for name in ("erase", "find", "existing")}

    async def read(
        self, team: str, days: Sequence[date], user: str | None = None
    ) -> AsyncIterator[LedgerEntry]:
        for day in await self._booked(team, days):
            async for entry in self._read_day(team, day, user):
                yield entry

    async def teams(self) -> list[str]:
        return sorted(await self._ask.members(keys.SEEN))

    async def erase(self, team: str, user: str) -> int:
        """Erase a person; sums move last, so that they show the next attempt that data is left."""
        today = self._clock.today()
        # Redis tells the day of a booking, and its clock may be ahead.
        days = await self._booked(team, [today - timedelta(days=i) for i in range(-1, KEPT_DAYS + 1)])
        fields = {
            day: [name async for page in self._pages(_ledger_key(team, day), user) for name in page]
            for day in days
        }
        fences = [fence async for fence in self._held_by(team, user)]
        limits = keys.of_team(team).limits_of_user(user)
        is_known = await self._ask(self._client.exists(limits))
        if not (any(fields.values()) or fences or is_known):
            return 0
        changed: int = await self._drop_pools(team, user)
        changed += await self._rename(team, today, user, fences=fences)
        changed += await self._ask(self._client.delete(limits))
        for day, names in fields.items():
            for batch in batches(names):
                changed += await self._rename(team, day, user, fields=batch)
        return changed

    async def compact(self) -> None:
        """Rewrite the append-only file, which holds erased data until then, if there is one.

        Waits for the end: a server that stops too soon would keep the old file.
        """
        with suppress(StateUnavailable, TimeoutError):
            if not (await self._persistence())["aof_enabled"]:
                return
            await self._ask(self._client.bgrewriteaof())
            async with asyncio.timeout(_COMPACT_S):
                while await self._is_compacting():  # noqa: ASYNC110 - the server tells no event
                    await asyncio.sleep(_COMPACT_PAUSE_S)

    async def _is_compacting(self) -> bool:
        state = await self._persistence()
        return bool(state["aof_rewrite_in_progress"] or state["aof_rewrite_scheduled"])

    async def _persistence(self) -> defaultdict[str, int]:
        return defaultdict(int, await self._ask(self._client.info("persistence")))

    async def _booked(self, team: str, days: Sequence[date]) -> list[date]:
        """Return those of *days* that have a booking."""
        found = await self._eval("existing", [_ledger_key(team, day) for day in days])
        return [days[position - 1] for position in found]

    async def _read_day(self, team: str, day: date, user: str | None) -> AsyncIterator[LedgerEntry]:
        key = _ledger_key(team, day)
        # A hash that is growing may show a field twice.
        seen: set[str] = set()
        async for page in self._pages(key, user):
            labels = {name.rpartition("|")[0] for name in page} - seen
            seen |= labels
            for batch in batches(sorted(labels)):
                names = [f"{label}|{unit}" for label in batch for unit in _UNITS]
                values = iter(await self._ask(self._client.hmget(key, names)))
                for label in batch:
                    sums = {unit: int(next(values) or 0) for unit in _UNITS}
                    entry = _decode(team, day, label, sums)
                    if entry is not None:
                        yield entry

    async def _pages(self, key: str, user: str | None) -> AsyncIterator[list[str]]:
        async for page in self._ask.pages(key, None if user is None else f"{user}|*"):
            yield [name.decode() for name in page]

    async def _held_by(self, team: str, user: str) -> AsyncIterator[str]:
        async for page in self._ask.pages(keys.of_team(team).hold_details):
            for fence, text in page.items():
                if orjson.loads(text)["ledger"].startswith(f"{user}|"):
                    yield fence.decode()

    async def _drop_pools(self, team: str, user: str) -> int:
        """Remove the pools of this user alone."""
        pattern, cursor, dropped = keys.pool_key(team, _own_pools(user), "*"), "0", 0
        while True:
            page = await self._eval("find", [keys.of_team(team).api_keys], cursor, pattern, PAGE)
            cursor = page[0].decode()
            if page[1]:
                dropped += await self._ask(self._client.unlink(*page[1]))
            if cursor == "0":
                return dropped

    async def _rename(
        self, team: str, day: date, user: str, *, fields: Sequence[str] = (), fences: Sequence[str] = ()
    ) -> int:
        own = keys.of_team(team)
        names = [_ledger_key(team, day), own.hold_details, own.limits_of_user(user)]
        pools = keys.pool_key(team, _own_pools(user), "")
        arguments = orjson.dumps(
            {"user": user, "pools": pools, "fields": list(fields), "fences": list(fences)}
        )
        return int(await self._eval("erase", names, arguments))

    async def _eval(self, script: str, names: Sequence[str], *arguments: bytes | str | int) -> Any:
        # By its text: these scripts run so rarely that no server needs to cache them.
        return await self._ask(self._client.eval(self._scripts[script], len(names), *names, *arguments))


def _own_pools(user: str) -> str:
    return f"user-{user}"


def _ledger_key(team: str, day: date) -> str:
    return keys.of_team(team).ledger(day)


def _decode(team: str, day: date, label: str, sums: Mapping[str, int]) -> LedgerEntry | None:
    """Return the entry of *label*; None if it is empty or of an older schema."""
    parts = label.split("|")
    if len(parts) < _LEAST_PARTS or parts[-2] not in _REALMS or not any(sums.values()):
        return None
    user, *made_by, realm, outcome = parts
    # The name of a model may have bars.
    model, _, backend = "|".join(made_by).partition(keys.MADE_AT)
    return LedgerEntry(
        day=day.isoformat(),
        team=team,
        user=user,
        model=model,
        backend=backend,
        realm=realm,
        outcome=outcome,
        **sums,
    )
