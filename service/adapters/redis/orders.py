"""Keep orders in Redis: `begin` and `finish` are one script and one round trip each; `renewals` has the third.

Failure behaviour: closed, at once. Anything but a clear answer within the time-out is
`StateUnavailable`. So is an answer for another order, as a connection mixed up after a
cancellation may give it.
"""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import orjson
from redis.asyncio import Redis

from service.adapters.redis import keys
from service.adapters.redis.client.commands import BoundedCommands
from service.adapters.redis.client.script import Script, read_script
from service.adapters.redis.refusals import CONCLUSION, read_refusal
from service.adapters.redis.renewals import LEDGER_TTL_S, Renewals
from service.domain.callers import Scope
from service.domain.errors import LimitState, StateUnavailable
from service.domain.fanout_window import MOST_DIFFERENT
from service.domain.gcra import emission_us
from service.domain.images import ContentCredentials, Image
from service.domain.limits import RATES
from service.domain.order import Origin, Ticket
from service.ports.admission import SETTLED_KNOWN_S, Ask, Grant, Lease, Settlement, Variant

_FOREVER_US = 4 * 10**15
_IDEMPOTENCY_MS = 24 * 3600 * 1000
_REFERENCED = ("created_s", "size_bytes", "width", "height", "credentials", "cost_microusd")
"""Fields of an image that its reference has too."""
_ABOUT_MAKER = ("backend", "sent_model")
"""Fields of an image that its variants lack: earlier versions could not read them."""
_VARIANT = tuple(each.name for each in fields(Image) if each.name not in _ABOUT_MAKER)
_ORIGIN = tuple(each.name for each in fields(Origin))
_MOST_VARIANTS = 200
"""Most variants of one fingerprint; `begin` reads them all."""


class RedisOrders:
    """Implements `ports.admission.SharedOrders` over one client; the scripts are package data."""

    def __init__(
        self,
        client: Redis,
        *,
        timeout_s: float,
        lease_s: float,
        ttl_s: float,
        process: str,
        fanout_window_ms: int,
    ) -> None:
        self._client = client
        self._ask = BoundedCommands(client, timeout_s=timeout_s)
        self._lease_us = int(lease_s * 1e6)
        self._ttl_s = ttl_s
        self._process = process
        self._fanout_window_ms = fanout_window_ms
        begin, finish = read_script("scopes", "fanout", "begin"), read_script("scopes", "finish")
        self._begin = Script(client, begin, timeout_s=timeout_s, name="begin")
        self._finish = Script(client, finish, timeout_s=timeout_s, name="finish")
        self._renewals = Renewals(client, timeout_s=timeout_s, lease_s=lease_s, hold_of=self._hold_of)
        self._teams: set[str] = set()

    async def begin(self, ask: Ask) -> Grant:
        ticket = ask.ticket
        team = ticket.caller.team
        own = keys.of_team(team)
        names = (
            ticket.pool or own.no_pool,
            own.holds,
            own.hold_details,
            own.marker("asked", ask.fence),
            own.api_keys,
            own.idempotency(ticket.idempotency.key if ticket.idempotency else "-"),
            own.pulse,
            own.marker("ended", ask.fence),
            own.fanout(ticket.caller.user, ticket.pool or "-"),
            *own.limits(ticket.caller.scopes),
        )
        arguments = orjson.dumps(self._begin_arguments(ask))
        reply = orjson.loads(await self._begin.run(names, arguments))
        if reply.get("id") != ticket.id:
            raise StateUnavailable("mixed_up")
        if team not in self._teams:
            with contextlib.suppress(StateUnavailable):
                await self._note_team(team)
        states = _read_limits(ticket, reply["limits"]) if "limits" in reply else ()
        if "ready" not in reply:
            return read_refusal(reply, ticket, states)
        # Images made under a key are the caller's, in whichever pool they lie.
        resumed = _read_variants(reply["resumed"] or (), own.prefix)
        return Grant(
            ready=(*resumed, *_read_variants(reply["ready"] or (), f"{ticket.pool}|")),
            resumed=len(resumed),
            mine=tuple([int(index) for index in reply["mine"] or ()]),
            awaited=tuple([int(index) for index in reply["awaited"] or ()]),
            foreign=int(reply["foreign"]),
            limits=states,
            equal=int(reply["equal"]),
            passed_over=tuple([int(index) for index in reply["passed_over"] or ()]),
        )

    async def finish(self, settlement: Settlement) -> None:
        ticket = settlement.ticket
        team = ticket.caller.team
        if team not in self._teams:
            # The sweep of unused bytes must know every team that may refer to some.
            await self._note_team(team)
        own = keys.of_team(team)
        # Without a fence it ends no claim, so no limit changes.
        scopes = ticket.caller.scopes if settlement.fence else ()
        names = (
            ticket.pool or own.no_pool,
            own.holds,
            own.hold_details,
            own.marker("settled", f"{ticket.id}.{settlement.part}"),
            own.ledgers,
            own.idempotency(ticket.idempotency.key if ticket.idempotency else "-"),
            own.images,
            own.kept_ages,
            own.totals,
            own.brief_ages,
            own.marker("ended", settlement.fence),
            *own.limits(scopes),
        )
        arguments = orjson.dumps(self._finish_arguments(settlement, _place(scopes, after=11)))
        await self._finish.run(names, arguments)

    async def renew(self, leases: Sequence[Lease]) -> None:
        """Renew claims, and book the holds of dead processes, team by team."""
        await self._renewals.renew(leases, self._teams)

    async def _note_team(self, team: str) -> None:
        """Make *team* known to every process; a failure is retried with the team's next order."""
        await self._ask(self._client.sadd(keys.SEEN, team))
        self._teams.add(team)

    def _hold_of(self, lease: Lease) -> dict[str, Any]:
        """Return the hold of *lease* as `begin.lua` writes it, before any of its images was settled."""
        ticket, own = lease.ticket, keys.of_team(lease.ticket.caller.team)
        holding = _holding(ticket)
        scopes = ticket.caller.scopes
        return _ticket_arguments(ticket) | {
            "images": lease.granted,
            "indices": lease.indices,
            "scopes": own.limits(scopes),
            "holding": own.limits([scope for scope in scopes if (scope.name, scope.key) in holding]),
            "process": self._process,
            "pool": ticket.pool or "",
            "record": own.idempotency(ticket.idempotency.key) if ticket.idempotency else "",
        }

    def _begin_arguments(self, ask: Ask) -> dict[str, Any]:
        ticket, cache = ask.ticket, ask.cache
        positions = _place(ticket.caller.scopes, after=9)
        holding = _holding(ticket)
        return _ticket_arguments(ticket) | {
            "round": ask.round,
            "fence": ask.fence,
            "mark": orjson.dumps({"pool": ticket.pool or ""}).decode().removesuffix("}") + ",",
            "n": ask.n,
            "fresh": not cache.reuse,
            "only_ready": cache.only_if_cached,
            "used": ask.used,
            # Later rounds pass over what the first did.
            "fanout_ms": self._fanout_window_ms if ticket.fans_out and ask.round == 0 else 0,
            "most_different": MOST_DIFFERENT,
            "max_age_us": _FOREVER_US if cache.max_age_s is None else int(cache.max_age_s * 1e6),
            "ttl_us": int(self._ttl_s * 1e6),
            "lease_us": self._lease_us,
            "marker_ms": self._lease_us // 1000,
            "has_key": ticket.caller.key_id is not None,
            "key_id": ticket.caller.key_id or "-",
            "process": self._process,
            "order": ticket.idempotency.order if ticket.idempotency else "",
            "idempotency_ms": _IDEMPOTENCY_MS,
            "scopes": [{"key": position, "holds": scope in holding} for scope, position in positions.items()],
            "limits": [
                fact
                for limit in ticket.limits
                for fact in (
                    positions[limit.scope, limit.key],
                    limit.resource,
                    limit.amount,
                    emission_us(limit.amount) if limit.resource in RATES else 0,
                )
            ],
        }

    def _finish_arguments(
        self, settlement: Settlement, positions: Mapping[tuple[str, str], int]
    ) -> dict[str, Any]:
        ticket, conclusion = settlement.ticket, settlement.conclusion
        rates = {(limit.scope, limit.key): limit for limit in ticket.limits if limit.resource == "images"}
        published = [index for index, _ in settlement.made if index is not None]
        made = [image for _, image in settlement.made]
        return _ticket_arguments(ticket) | {
            "ledger": _ledger_label(ticket, settlement.model or ticket.model, settlement.backend),
            "fence": settlement.fence,
            "pool": ticket.pool,
            "made": [_encode_made(settlement, index, image) for index, image in settlement.made],
            "is_last": settlement.is_last,
            "is_brief": ticket.origin.is_brief,
            **({"conclusion": CONCLUSION.dump_json(conclusion).decode()} if conclusion else {}),
            "released": settlement.released,
            "forgotten": [{"index": index, "digest": digest} for index, digest in settlement.forgotten],
            # Below 0 is an index of a local share: Redis may hold a grant whose answer was lost.
            "is_local": min((*published, *settlement.released), default=0) < 0,
            "settled": len(published) + len(settlement.released),
            "refunded": settlement.refunded,
            "scopes": [
                {
                    "key": position,
                    **({"emission_us": emission_us(rates[scope].amount)} if scope in rates else {}),
                }
                for scope, position in positions.items()
            ],
            "charged_images": len(made),
            "charged_microusd": sum([image.cost_microusd or 0 for image in made]),
            "unpriced": sum([image.cost_microusd is None for image in made]),
            "unknown": settlement.unknown,
            "ttl_ms": int(self._ttl_s * 1e3),
            "lease_us": self._lease_us,
            "most": _MOST_VARIANTS,
            "marker_s": SETTLED_KNOWN_S,
            "ledger_ttl_s": LEDGER_TTL_S,
            "channel": keys.CHANNEL,
            "process": self._process,
        }


def _ticket_arguments(ticket: Ticket) -> dict[str, Any]:
    """Return the arguments that `begin` and `finish` share."""
    return {
        "id": ticket.id,
        "has_pool": ticket.pool is not None,
        "has_idempotency": ticket.idempotency is not None,
        "ledger": _ledger_label(ticket, ticket.model),
        "weight": ticket.price.weight,
        "estimate_microusd": ticket.price.microusd or 0,
        "is_priced": ticket.price.microusd is not None,
    }


def _ledger_label(ticket: Ticket, model: str, backend: str = "") -> str:
    """Return the beginning of the names of sums in the ledger."""
    return f"{ticket.caller.user}|{_at(model, backend)}|{ticket.realm}"


def _at(model: str, backend: str) -> str:
    """Return *model* as made at *backend*; without one, as earlier versions have it."""
    return f"{model}{keys.MADE_AT}{backend}" if backend else model


def _read_limits(ticket: Ticket, flat: Sequence[float]) -> tuple[LimitState, ...]:
    # Lua writes an empty list as an empty object.
    flat = flat or ()
    return tuple(
        [
            LimitState(
                resource=limit.resource,
                scope=limit.scope,
                limit=limit.amount,
                remaining=int(remaining),
                reset_s=reset_us / 1e6,
            )
            for limit, remaining, reset_us in zip(ticket.limits, flat[::2], flat[1::2], strict=True)
        ]
    )


def _read_variants(ready: Sequence[Mapping[str, Any]], owner: str) -> list[Variant]:
    """Decode variants, and drop those of another pool: more than the pool's key separates tenants."""
    decoded = []
    for entry in ready:
        variant = orjson.loads(entry["variant"])
        pool = variant.pop("pool")
        if not pool or f"{pool}|".startswith(owner):
            variant["credentials"] = ContentCredentials(variant.get("credentials", ContentCredentials.NONE))
            decoded.append(Variant(int(entry["index"]), Image(**variant), entry["age_us"] / 1e6))
    return decoded


def _encode_made(settlement: Settlement, index: int | None, image: Image) -> dict[str, Any]:
    """Return an image as `finish` takes it: for the pool, for an `Idempotency-Key`, and as a reference."""
    ticket = settlement.ticket
    details = {name: getattr(image, name) for name in _VARIANT}
    reference = {
        **{name: getattr(ticket.origin, name) for name in _ORIGIN},
        "user": ticket.caller.user,
        "sent_model": image.sent_model or ticket.model,
        "realm": ticket.realm,
        **{name: details[name] for name in _REFERENCED},
        "answered_model": _at(image.answered_model or "", image.backend) or None,
    }
    return {
        "index": -1 if index is None else index,
        "is_published": index is not None,
        # Begins with the pool's name: see "mark" above.
        "variant": orjson.dumps({"pool": ticket.pool or "", **details}).decode(),
        "digest": image.digest,
        "name": image.name,
        "size_bytes": image.size_bytes,
        **({} if image.digest in settlement.unstored else {"reference": orjson.dumps(reference).decode()}),
    }


def _holding(ticket: Ticket) -> set[tuple[str, str]]:
    """Return the scopes in which running images count: those with a limit other than a rate."""
    return {(limit.scope, limit.key) for limit in ticket.limits if limit.resource not in RATES}


def _place(scopes: Sequence[Scope], *, after: int) -> dict[tuple[str, str], int]:
    """Return the positions of the scopes' keys behind *after* others, counted from 1 as in Lua."""
    return {(scope.name, scope.key): place for place, scope in enumerate(scopes, after + 1)}
