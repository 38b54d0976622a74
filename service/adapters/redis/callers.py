"""Keys, policies and teams in Redis.

A token's hash leads to a team and a key id; the key itself is a field of the team's
hash, in the slot where `begin` looks before anything is spent. What a change touches
first is that field; whatever is written after it only makes the change known sooner.
Failure behaviour: closed. Anything but a clear answer is `StateUnavailable`.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import orjson
from redis.asyncio import Redis

from service.adapters.redis import keys
from service.adapters.redis.client import answered
from service.domain.callers import ApiKey, Directory, Policy, Role, Team
from service.ports import AuditEntry

_MOST_AUDIT_ENTRIES = 10_000
_CLOSED = "closed"


class RedisCallers:
    """Implements `ports.CallerBook` and `ports.Registrar`."""

    def __init__(self, client: Redis, *, timeout_s: float) -> None:
        self._client = client
        self._timeout_s = timeout_s

    async def find_key(self, token_hash: str) -> ApiKey | None:
        """Implement `CallerBook.find_key`."""
        place = await self._ask(self._client.get(keys.token_key(token_hash)))
        if place is None:
            return None
        team, key_id = orjson.loads(place)
        text = await self._ask(self._client.hget(keys.keys_key(team), key_id))
        return None if text is None else _decode_key(text)

    async def read_directory(self) -> Directory:
        """Implement `CallerBook.read_directory`."""
        policies = await self._ask(self._client.hgetall(keys.directory_key("policies")))
        teams = await self._ask(self._client.hgetall(keys.directory_key("teams")))
        return Directory(
            policies={name.decode(): _decode_policy(text) for name, text in policies.items()},
            teams={name.decode(): Team(**orjson.loads(text)) for name, text in teams.items()},
        )

    async def revision(self) -> int:
        """Implement `CallerBook.revision`."""
        return int(await self._ask(self._client.get(keys.directory_key("revision"))) or 0)

    async def put_policy(self, policy: Policy) -> None:
        """Implement `Registrar.put_policy`."""
        await self._ask(self._client.hset(keys.directory_key("policies"), policy.name, _encode(policy)))
        await self._tell()

    async def remove_policy(self, name: str) -> bool:
        """Implement `Registrar.remove_policy`."""
        removed = await self._ask(self._client.hdel(keys.directory_key("policies"), name))
        await self._tell()
        return bool(removed)

    async def put_team(self, team: Team) -> None:
        """Implement `Registrar.put_team`."""
        mark = keys.keys_key(team.name)
        if team.is_closed:
            await self._ask(self._client.hset(mark, _CLOSED, "1"))
        else:
            await self._ask(self._client.hdel(mark, _CLOSED))
        await self._ask(self._client.hset(keys.directory_key("teams"), team.name, _encode(team)))
        await self._tell()

    async def add_key(self, key: ApiKey, token_hash: str) -> None:
        """Implement `Registrar.add_key`."""
        expires_us = key.expires_s * 1_000_000
        text = f"{expires_us}|".encode() + orjson.dumps({**asdict(key), "token_hash": token_hash})
        # Whoever looks for a person looks through the teams that were seen.
        await self._ask(self._client.sadd(keys.directory_key("seen"), key.team))
        await self._ask(self._client.hset(keys.keys_key(key.team), key.id, text))
        await self._ask(self._client.set(keys.token_key(token_hash), orjson.dumps([key.team, key.id])))
        await self._tell()

    async def revoke_key(self, team: str, key_id: str) -> ApiKey | None:
        """Implement `Registrar.revoke_key`."""
        text = None if key_id == _CLOSED else await self._ask(self._client.hget(keys.keys_key(team), key_id))
        if text is None:
            return None
        await self._ask(self._client.hdel(keys.keys_key(team), key_id))
        await self._ask(self._client.delete(keys.token_key(_fields(text)["token_hash"])))
        await self._tell()
        return _decode_key(text)

    async def list_keys(self, team: str) -> list[ApiKey]:
        """Implement `Registrar.list_keys`."""
        entries: Mapping[bytes, bytes] = await self._ask(self._client.hgetall(keys.keys_key(team)))
        found = [_decode_key(text) for name, text in entries.items() if name != _CLOSED.encode()]
        return sorted(found, key=lambda key: (key.created_s, key.id))

    async def note(self, entry: AuditEntry) -> None:
        """Implement `Registrar.note`."""
        fields: dict[Any, Any] = {"entry": _encode(entry)}
        stream = keys.directory_key("audit")
        await self._ask(self._client.xadd(stream, fields, maxlen=_MOST_AUDIT_ENTRIES, approximate=True))

    async def read_audit(self, most: int) -> list[AuditEntry]:
        """Implement `Registrar.read_audit`."""
        entries = await self._ask(self._client.xrevrange(keys.directory_key("audit"), count=most))
        return [AuditEntry(**orjson.loads(fields[b"entry"])) for _, fields in entries]

    async def _tell(self) -> None:
        """Have every process look again."""
        await self._ask(self._client.incr(keys.directory_key("revision")))

    async def _ask(self, answer: Any) -> Any:
        return await answered(answer, timeout_s=self._timeout_s)


def _encode(value: Policy | Team | AuditEntry) -> bytes:
    return orjson.dumps(asdict(value))


def _decode_policy(text: bytes) -> Policy:
    fields = orjson.loads(text)
    return Policy(**{**fields, "models": tuple(fields["models"])})


def _decode_key(text: bytes) -> ApiKey:
    fields = _fields(text)
    del fields["token_hash"]
    return ApiKey(**{**fields, "role": Role(fields["role"])})


def _fields(text: bytes) -> dict[str, Any]:
    fields: dict[str, Any] = orjson.loads(text.partition(b"|")[2])
    return fields
