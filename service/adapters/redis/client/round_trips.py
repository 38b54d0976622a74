"""Name the round trips of a client for those who measure them, by a closed set of names.

A command of a script has the script's name, any other that of its group.
"""

from collections.abc import Callable

NoteRoundTrip = Callable[[str, float, bool], None]
"""Takes the operation, its seconds, and whether the server answered; an error is an answer, too."""

UNANSWERED = frozenset({"connection", "no_primary", "pool", "timeout"})
"""Reasons of failures without an answer."""
_READS = "EXISTS GET HEXISTS HGET HGETALL HMGET HSCAN INFO SMEMBERS XREVRANGE ZRANGEBYSCORE"
_WRITES = "BGREWRITEAOF DEL EXPIRE HDEL HSET INCR SADD SET UNLINK XADD ZADD ZREM"
_GROUPS = {
    command: group
    for group, commands in {"read": _READS, "write": _WRITES, "script": "EVAL EVALSHA"}.items()
    for command in commands.split()
}
GROUPS = frozenset({*_GROUPS.values(), "other"})


def group_of(command: object) -> str:
    """Return the group of a command that runs no script with a name."""
    return _GROUPS.get(str(command), "other")


def drop_round_trip(operation: str, duration_s: float, is_answered: bool) -> None:
    """Note nothing, for clients that nothing scrapes."""
