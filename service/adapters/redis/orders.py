"""The order book in Redis: `begin`, `finish` and `renew`, one script and one round trip each.

Failure behaviour: closed, at once. Anything but a clear answer within the time-out
is `StateUnavailable`; the use case decides how to go on. An answer that names
another order than the asked one (a connection mixed up after a cancellation) is
treated the same and never handed on.
"""

import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import orjson
from pydantic import TypeAdapter
from redis.asyncio import Redis

from service.adapters.redis import keys
from service.adapters.redis.client.asking import Asking
from service.adapters.redis.client.script import Script, read_script
from service.domain.callers import RATES
from service.domain.errors import (
    GatewayError,
    IdempotencyMismatch,
    LimitState,
    PermissionDenied,
    RateLimited,
    StateUnavailable,
    Unauthenticated,
)
from service.domain.gcra import emission_us
from service.domain.images import ContentCredentials, Idempotency, Image, Operation
from service.ports.admission import Ask, Conclusion, Grant, Lease, Origin, Settlement, Variant
from service.ports.clock import Calendar

_LEDGER_TTL_S = keys.LEDGER_DAYS * 86400
_SETTLED_MARKER_S = 86400
"""Longest wait of a settlement in an outbox after which it is still not booked twice."""
_FOREVER_US = 4 * 10**15
_GRACE_US = 10 * 60 * 1_000_000
_SWEEP = 100
_IDEMPOTENCY_MS = 24 * 3600 * 1000
_CONCLUSION = TypeAdapter(Conclusion)
_NOTHING = Grant(ready=(), mine=(), awaited=(), limits=())
_MOST_VARIANTS = 200
"""Variants kept for one fingerprint; `begin` reads them all."""


class RedisOrderBook:
    """Implements `ports.admission.OrderBook` over one client; the scripts are package data."""

    def __init__(
        self, client: Redis, *, clock: Calendar, timeout_s: float, lease_s: float, ttl_s: float, process: str
    ) -> None:
        self._client = client
        self._clock = clock
        self._ask = Asking(client, timeout_s=timeout_s)
        self._lease_us = int(lease_s * 1e6)
        self._ttl_s = ttl_s
        self._process = process
        self._begin, self._finish, self._renew = (
            Script(client, read_script("scopes", name), timeout_s=timeout_s)
            for name in ("begin", "finish", "renew")
        )
        self._teams: set[str] = set()

    async def begin(self, ask: Ask) -> Grant:
        """Implement `OrderBook.begin`."""
        names = _Names(
            ask.pool or keys.marker_key(ask.team, "no-pool", "-"),
            keys.holds_key(ask.team),
            keys.hold_details_key(ask.team),
            keys.marker_key(ask.team, "asked", ask.fence),
            keys.keys_key(ask.team),
            _record_key(ask.team, ask.idempotency),
        )
        arguments = self._begin_arguments(ask, names)
        reply = orjson.loads(await self._run(self._begin, names.names, arguments))
        if reply.get("id") != ask.id:
            raise StateUnavailable("mixed_up")
        if ask.team not in self._teams:
            with contextlib.suppress(StateUnavailable):
                await self._note_team(ask.team)
        if "denied" in reply:
            raise _denied(reply["denied"])
        if "result" in reply:
            return replace(_NOTHING, conclusion=_CONCLUSION.validate_json(reply["result"]))
        if "under_way" in reply:
            return replace(_NOTHING, is_under_way=True)
        states = tuple(
            LimitState(
                resource=limit.resource,
                scope=limit.scope,
                limit=limit.amount,
                remaining=int(remaining),
                reset_s=reset_us / 1e6,
            )
            for limit, (remaining, reset_us) in zip(ask.limits, _in_pairs(reply["limits"]), strict=True)
        )
        if "refused" in reply:
            refused = states[int(reply["refused"])]
            raise RateLimited(
                refused,
                retry_after_s=reply["retry_after_us"] / 1e6,
                limits=states,
                image_microusd=ask.estimate_microusd,
            )
        # Images made under a key are the caller's, in whichever pool they lie.
        resumed = tuple(self._variants(ask, reply["resumed"] or (), keys.team_prefix(ask.team)))
        return Grant(
            ready=(*resumed, *self._variants(ask, reply["ready"] or (), f"{ask.pool}|")),
            resumed=len(resumed),
            mine=tuple(int(index) for index in reply["mine"] or ()),
            awaited=tuple(int(index) for index in reply["awaited"] or ()),
            foreign=int(reply["foreign"]),
            limits=states,
        )

    async def finish(self, settlement: Settlement) -> None:
        """Implement `OrderBook.finish`."""
        team = settlement.team
        if team not in self._teams:
            # A search for unused bytes must know every team that may refer to some.
            await self._note_team(team)
        names = _Names(
            settlement.pool or keys.marker_key(team, "no-pool", "-"),
            keys.holds_key(team),
            keys.hold_details_key(team),
            keys.marker_key(team, "settled", f"{settlement.id}.{settlement.part}"),
            self._ledger_key(team),
            _record_key(team, settlement.idempotency),
            keys.images_key(team),
            keys.ages_key(team, "kept"),
            keys.totals_key(team),
            keys.ages_key(team, "brief"),
        )
        arguments = self._finish_arguments(settlement, names)
        await self._run(self._finish, names.names, arguments)

    async def renew(self, leases: Sequence[Lease]) -> None:
        """Implement `OrderBook.renew`; also books the holds of dead processes, team by team."""
        failure: StateUnavailable | None = None
        async for team in self._each_team(leases):
            try:
                await self._renew_team(team, leases)
            except StateUnavailable as error:
                if not error.is_about_keys:
                    raise
                # It concerns one team: the others' claims must not lapse for it.
                failure = error
        if failure is not None:
            raise failure

    async def _renew_team(self, team: str, leases: Sequence[Lease]) -> None:
        own = [lease for lease in leases if lease.team == team]
        names = _Names(keys.holds_key(team), keys.hold_details_key(team), self._ledger_key(team))
        arguments = {
            "lease_us": self._lease_us,
            "leases": [
                {
                    "id": lease.id,
                    "fence": lease.fence,
                    "pool": names.place(lease.pool) if lease.pool else 0,
                    "record": names.place(_record_key(team, lease.idempotency)) if lease.idempotency else 0,
                    "indices": lease.indices,
                    "scopes": [names.place(keys.limit_key(team, *scope)) for scope in lease.scopes],
                }
                for lease in own
            ],
            "sweep": _SWEEP,
            "ledger_ttl_s": _LEDGER_TTL_S,
            "keep_s": _SETTLED_MARKER_S,
        }
        await self._run(self._renew, names.names, arguments)

    async def _note_team(self, team: str) -> None:
        """Make *team* known to every process; a failure is retried with its next order."""
        await self._ask(self._client.sadd(keys.SEEN, team))
        self._teams.add(team)

    async def _each_team(self, leases: Sequence[Lease]) -> AsyncIterator[str]:
        """Yield the teams of living orders first, even if the rest fails; then this process's other teams, then all known ones."""
        living = dict.fromkeys(lease.team for lease in leases)
        here = [*living, *(self._teams - living.keys())]
        for team in here:
            yield team
        for team in (await self._ask.members(keys.SEEN)).difference(here):
            yield team

    async def _run(self, script: Script, names: list[str], arguments: Mapping[str, Any]) -> Any:
        return await script.run(names, orjson.dumps(arguments))

    def _begin_arguments(self, ask: Ask, names: "_Names") -> dict[str, Any]:
        positions = _place_scopes(names, ask.team, ask.scopes)
        holding = {(limit.scope, limit.key) for limit in ask.limits if limit.resource not in RATES}
        return {
            "id": ask.id,
            "round": ask.round,
            "fence": ask.fence,
            "has_pool": ask.pool is not None,
            "mark": _mark(ask.pool or ""),
            "n": ask.n,
            "fresh": ask.fresh,
            "only_ready": ask.only_ready,
            "used": ask.used,
            "max_age_us": _FOREVER_US if ask.max_age_s is None else int(ask.max_age_s * 1e6),
            "ttl_us": int(self._ttl_s * 1e6),
            "lease_us": self._lease_us,
            "marker_ms": self._lease_us // 1000,
            "ledger": f"{ask.user}|{ask.model}|{ask.realm}",
            "has_key": ask.key_id is not None,
            "key_id": ask.key_id or "-",
            "grace_us": _GRACE_US if ask.respects_lapsed else 0,
            "has_idempotency": ask.idempotency is not None,
            "order": ask.idempotency.order if ask.idempotency else "",
            "idempotency_ms": _IDEMPOTENCY_MS,
            "weight": ask.weight,
            "estimate_microusd": ask.estimate_microusd or 0,
            "is_priced": ask.estimate_microusd is not None,
            "scopes": [{"key": position, "holds": scope in holding} for scope, position in positions.items()],
            "limits": [
                fact
                for limit in ask.limits
                for fact in (
                    positions[limit.scope, limit.key],
                    limit.resource,
                    limit.amount,
                    emission_us(limit.amount) if limit.resource in RATES else 0,
                )
            ],
        }

    def _finish_arguments(self, settlement: Settlement, names: "_Names") -> dict[str, Any]:
        positions = _place_scopes(names, settlement.team, settlement.scopes)
        rates = {(limit.scope, limit.key): limit for limit in settlement.limits if limit.resource == "images"}
        published = [index for index, _ in settlement.made if index is not None]
        conclusion = settlement.conclusion
        return {
            "fence": settlement.fence,
            "has_pool": settlement.pool is not None,
            "pool": settlement.pool,
            "made": [_encode_made(settlement, index, image) for index, image in settlement.made],
            "id": settlement.id,
            "has_idempotency": settlement.idempotency is not None,
            "is_last": settlement.is_last,
            "is_brief": settlement.origin is not None and settlement.origin.is_brief,
            **({"conclusion": _CONCLUSION.dump_json(conclusion).decode()} if conclusion else {}),
            "released": settlement.released,
            "forgotten": [{"index": index, "digest": digest} for index, digest in settlement.forgotten],
            "is_local": settlement.is_local,
            "settled": len(published) + len(settlement.released),
            "refunded": settlement.refunded,
            "weight": settlement.weight,
            "scopes": [
                {
                    "key": position,
                    **({"emission_us": emission_us(rates[scope].amount)} if scope in rates else {}),
                }
                for scope, position in positions.items()
            ],
            "ledger": f"{settlement.user}|{settlement.model}|{settlement.realm}",
            "charged_images": len(settlement.made),
            "charged_microusd": sum(image.cost_microusd or 0 for _, image in settlement.made),
            "unpriced": sum(image.cost_microusd is None for _, image in settlement.made),
            "unknown": settlement.unknown,
            "estimate_microusd": settlement.estimate_microusd or 0,
            "is_priced": settlement.estimate_microusd is not None,
            "ttl_ms": int(self._ttl_s * 1e3),
            "most": _MOST_VARIANTS,
            "marker_s": _SETTLED_MARKER_S,
            "ledger_ttl_s": _LEDGER_TTL_S,
            "channel": keys.CHANNEL,
            "process": self._process,
        }

    def _variants(self, ask: Ask, ready: Sequence[Mapping[str, Any]], owner: str) -> list[Variant]:
        """Decode variants; drop any that belongs to another pool."""
        decoded = []
        for entry in ready:
            variant = orjson.loads(entry["variant"])
            pool = variant.pop("pool")
            if not pool or f"{pool}|".startswith(owner):
                variant["credentials"] = ContentCredentials(
                    variant.get("credentials", ContentCredentials.NONE)
                )
                decoded.append(Variant(int(entry["index"]), Image(**variant), entry["age_us"] / 1e6))
        return decoded

    def _ledger_key(self, team: str) -> str:
        return keys.ledger_key(team, self._clock.today().strftime("%Y%m%d"))


def _encode_variant(pool: str, image: Image) -> str:
    return orjson.dumps({"pool": pool, **asdict(image)}).decode()


def _encode_made(settlement: Settlement, index: int | None, image: Image) -> dict[str, Any]:
    """Return an image in the form `finish` takes: for the pool, for an `Idempotency-Key`, and as a reference."""
    reference = {
        **asdict(settlement.origin or Origin(asked_model="", operation=Operation.GENERATE, fingerprint="")),
        "user": settlement.user,
        "sent_model": settlement.model,
        "answered_model": image.answered_model,
        "realm": settlement.realm,
        "created_s": image.created_s,
        "size_bytes": image.size_bytes,
        "width": image.width,
        "height": image.height,
        "credentials": image.credentials,
        "cost_microusd": image.cost_microusd,
    }
    return {
        "index": -1 if index is None else index,
        "is_published": index is not None,
        "variant": _encode_variant(settlement.pool or "", image),
        "digest": image.digest,
        "name": image.name,
        "size_bytes": image.size_bytes,
        **({} if image.digest in settlement.unstored else {"reference": orjson.dumps(reference).decode()}),
    }


def _record_key(team: str, idempotency: Idempotency | None) -> str:
    return keys.idempotency_key(team, idempotency.key if idempotency else "-")


def _mark(pool: str) -> str:
    """Return the beginning of every variant of *pool*: more than a key separates tenants."""
    return orjson.dumps({"pool": pool}).decode().removesuffix("}") + ","


class _Names:
    """The names of a script's KEYS; each has one position, counted from 1 as Lua does."""

    def __init__(self, *names: str) -> None:
        self.names = list(names)

    def place(self, name: str) -> int:
        """Return the position of *name*, adding it if it is missing."""
        if name not in self.names:
            self.names.append(name)
        return self.names.index(name) + 1


def _place_scopes(names: _Names, team: str, scopes: Sequence[tuple[str, str]]) -> dict[tuple[str, str], int]:
    return {scope: names.place(keys.limit_key(team, *scope)) for scope in scopes}


def _in_pairs(flat: Sequence[float]) -> Iterator[tuple[float, float]]:
    # Lua writes an empty list as an empty object.
    return zip(flat[::2], flat[1::2], strict=True) if flat else iter(())


def _denied(what: str) -> GatewayError:
    if what == "idempotency":
        return IdempotencyMismatch()
    if what == "key":
        return Unauthenticated("This API key was revoked, or it has expired.")
    return PermissionDenied("The team of these credentials is closed.")
