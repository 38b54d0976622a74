"""Turn failures of Redis into advice for operators, one text for each reason.

The advice names the address of Redis, never a user or password; the public one names no address.
"""

from service.adapters.redis.client.url import parse_redis_url, places_of

_ADVICE = {
    "auth": "Redis at {place} refuses the user or the password: check them in GATEWAY_REDIS_URL.",
    "no_permission": "Redis at {place} denies this user commands that the gateway needs: give it all but the "
    "dangerous commands on the keys ig:*, and the channel ig:*.",
    "connection": "Nothing answers at {place}: is Redis running there, does GATEWAY_REDIS_URL name the right "
    "place, and is TLS (rediss://) right for it?",
    "timeout": "Redis at {place} does not answer in time: see that it runs, its CPU, its SLOWLOG and the network to it. "
    "Raise GATEWAY_REDIS_TIMEOUT_S only if it is far away.",
    "pool": "Too many commands to Redis at {place} wait for their answers: try again.",
    "loading": "Redis at {place} is still reading its files: try again in a moment.",
    "readonly": "Redis at {place} is a replica and takes no changes: name its primary in GATEWAY_REDIS_URL.",
    "no_primary": "The sentinels at {place} know no living primary of that name: check the name at the end of "
    "GATEWAY_REDIS_URL.",
    "oom": "Redis at {place} has reached its maxmemory and takes no changes: raise the limit.",
    "no_replicas": "Redis at {place} takes no changes, because too few replicas follow it (min-replicas-to-write): bring "
    "them back.",
    "misconf": "Redis at {place} cannot write its files and takes no changes: make room on its disk, and see its log.",
    "busy": "Redis at {place} is busy: try again. If it stays busy, see its SLOWLOG.",
    "contended": "Orders kept making the image that was to be deleted: try again once they have ended.",
    "cluster_down": "The cluster at {place} does not serve all slots now: try again, or look at CLUSTER INFO.",
}
_NO_CLUSTER = (
    "Redis at {place} does not answer like a cluster: cluster support is disabled there. "
    "Name a single server with redis://."
)
_OTHER = "Redis at {place} gives an unexpected answer ({reason})."


def advise(reason: str, url: str) -> str:
    """Return advice on a `StateUnavailable` with *reason* for the Redis at *url*."""
    text = _ADVICE.get(reason, _OTHER)
    if reason == "response" and parse_redis_url(url).kind == "cluster":
        text = _NO_CLUSTER
    return text.format(place=places_of(url), reason=reason)


def advise_publicly(reason: str) -> str:
    """Return the same advice without the address."""
    return _ADVICE.get(reason, _OTHER).replace(" at {place}", "").format(reason=reason)


def explain(reason: str, url: str) -> dict[str, str]:
    """Return the fields of a log line on *reason*: where Redis is, and advice if it is about the server."""
    return {"redis": places_of(url), "advice": advise(reason, url)} if reason in _ADVICE else {}
