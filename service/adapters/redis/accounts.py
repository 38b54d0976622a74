"""Store keys, policies and teams in Redis.

A token's hash leads to a team and a key id. The key itself is a field of the team's hash, in
the slot that `begin` reads before money is spent. A change writes that field first; the later
writes only spread it sooner.
Failure behaviour: closed. Anything but a clear answer is `StateUnavailable`.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any, TypeVar

import orjson
from redis.asyncio import Redis

from service.adapters.redis import keys
from service.adapters.redis.client.commands import BoundedCommands
from service.adapters.redis.client.script import Script
from service.domain.callers import ApiKey, Directory, Policy, Role, Team
from service.ports.audit import AuditEntry

_log = logging.getLogger(__name__)
_MOST_AUDIT_ENTRIES = 10_000
_CLOSED = "closed"
# A full Redis takes them, so that a leaked key can be revoked then: neither grows without end.
_NOTE = """#!lua flags=allow-oom
return redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', 'entry', ARGV[2])
"""
_ANNOUNCE = """#!lua flags=allow-oom
return redis.call('INCR', KEYS[1])
"""

Value = TypeVar("Value")


class RedisCallers:
    """Implements `CallerBook` and both registrars of `ports.accounts`, and all of `ports.audit`."""

    def __init__(self, client: Redis, *, timeout_s: float) -> None:
        self._client = client
        self._ask = BoundedCommands(client, timeout_s=timeout_s)
        self._note = Script(client, _NOTE, timeout_s=timeout_s, name="note")
        self._announce = Script(client, _ANNOUNCE, timeout_s=timeout_s, name="announce")

    async def find_key(self, token_hash: str) -> ApiKey | None:
        place = await self._ask(self._client.get(keys.token_key(token_hash)))
        if place is None:
            return None
        team, key_id = orjson.loads(place)
        text = await self._ask(self._client.hget(keys.of_team(team).api_keys, key_id))
        return None if text is None else _decode_all({b"": text}, _decode_key).get("")

    async def read_directory(self) -> Directory:
        policies = await self._ask(self._client.hgetall(keys.directory_key("policies")))
        teams = await self._ask(self._client.hgetall(keys.directory_key("teams")))
        return Directory(
            policies=_decode_all(policies, _decode_policy), teams=_decode_all(teams, _decode_team)
        )

    async def revision(self) -> int:
        return int(await self._ask(self._client.get(keys.directory_key("revision"))) or 0)

    async def put_policy(self, policy: Policy) -> None:
        await self._ask(self._client.hset(keys.directory_key("policies"), policy.name, _encode(policy)))
        await self._announce_change()

    async def remove_policy(self, name: str) -> bool:
        removed = await self._ask(self._client.hdel(keys.directory_key("policies"), name))
        await self._announce_change()
        return bool(removed)

    async def put_team(self, team: Team) -> None:
        mark = keys.of_team(team.name).api_keys
        if team.is_closed:
            await self._ask(self._client.hset(mark, _CLOSED, "1"))
        else:
            await self._ask(self._client.hdel(mark, _CLOSED))
        await self._ask(self._client.hset(keys.directory_key("teams"), team.name, _encode(team)))
        await self._announce_change()

    async def reopen(self, teams: Sequence[str]) -> None:
        """Remove the closed marks that an admin left on *teams*: a team that the file declares open is open."""
        for team in teams:
            await self._ask(self._client.hdel(keys.of_team(team).api_keys, _CLOSED))

    async def add_key(self, key: ApiKey, token_hash: str) -> None:
        expires_us = key.expires_s * 1_000_000
        text = f"{expires_us}|".encode() + orjson.dumps({**asdict(key), "token_hash": token_hash})
        # A search for a person covers the known teams.
        await self._ask(self._client.sadd(keys.SEEN, key.team))
        await self._ask(self._client.hset(keys.of_team(key.team).api_keys, key.id, text))
        await self._ask(self._client.set(keys.token_key(token_hash), orjson.dumps([key.team, key.id])))
        await self._announce_change()

    async def revoke_key(self, team: str, key_id: str) -> ApiKey | None:
        own, text = keys.of_team(team).api_keys, None
        if key_id != _CLOSED:
            text = await self._ask(self._client.hget(own, key_id))
        if text is not None:
            await self._ask(self._client.hdel(own, key_id))
            await self._ask(self._client.delete(keys.token_key(_fields(text)["token_hash"])))
        # Even if it is gone: the answer to an earlier attempt may have been lost.
        await self._announce_change()
        return None if text is None else _decode_all({b"": text}, _decode_key).get("")

    async def list_keys(self, team: str) -> list[ApiKey]:
        entries: Mapping[bytes, bytes] = await self._ask(self._client.hgetall(keys.of_team(team).api_keys))
        given = {name: text for name, text in entries.items() if name != _CLOSED.encode()}
        return sorted(_decode_all(given, _decode_key).values(), key=lambda key: (key.created_s, key.id))

    async def note(self, entry: AuditEntry) -> None:
        await self._note.run([keys.directory_key("audit")], _MOST_AUDIT_ENTRIES, _encode(entry))

    async def read_audit(self, most: int) -> list[AuditEntry]:
        entries = await self._ask(self._client.xrevrange(keys.directory_key("audit"), count=most))
        given = {at: content[b"entry"] for at, content in entries}
        return list(_decode_all(given, _decode_audit).values())

    async def _announce_change(self) -> None:
        """Make every process read the directory again."""
        await self._announce.run([keys.directory_key("revision")])


def _encode(value: Policy | Team | AuditEntry) -> bytes:
    return orjson.dumps(asdict(value))


def _decode_all(entries: Mapping[bytes, bytes], decode: Callable[[bytes], Value]) -> dict[str, Value]:
    """Decode the valid entries; an invalid one counts as absent."""
    decoded: dict[str, Value] = {}
    for name, text in entries.items():
        try:
            decoded[name.decode()] = decode(text)
        except (ValueError, TypeError, KeyError, AttributeError):
            _log.warning("entry not understood", extra={"entry": name.decode(errors="replace")[:100]})
    return decoded


def _decode_policy(text: bytes) -> Policy:
    given = _known_fields(Policy, orjson.loads(text))
    return Policy(**{**given, "models": tuple(given["models"])})


def _decode_team(text: bytes) -> Team:
    return Team(**_known_fields(Team, orjson.loads(text)))


def _decode_key(text: bytes) -> ApiKey:
    given = _known_fields(ApiKey, _fields(text))
    return ApiKey(**{**given, "role": Role(given["role"])})


def _decode_audit(text: bytes) -> AuditEntry:
    return AuditEntry(**_known_fields(AuditEntry, orjson.loads(text)))


def _known_fields(kind: type[Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that this version knows; a newer one may have written more."""
    return {each.name: given[each.name] for each in fields(kind) if each.name in given}


def _fields(text: bytes) -> dict[str, Any]:
    given: dict[str, Any] = orjson.loads(text.partition(b"|")[2])
    return given
