"""Advise operators whose Redis fails: one sentence for each reason.

The advice names the place of Redis, and never a user or password.
"""

from service.adapters.redis.client.url import parse_redis_url, places_of

_ADVICE = {
    "auth": "Redis at {place} refuses the user or the password: check them in GATEWAY_REDIS_URL.",
    "no_permission": "Redis at {place} does not let this user do what the gateway does: give it all commands but "
    "the dangerous ones on the keys ig:*, and the channel ig:*.",
    "connection": "Nothing answers at {place}: is Redis running there, does GATEWAY_REDIS_URL name the right "
    "place, and is TLS (rediss://) right for it?",
    "timeout": "Redis at {place} does not answer in time (GATEWAY_REDIS_TIMEOUT_S).",
    "pool": "All connections to Redis at {place} are in use: try again.",
    "loading": "Redis at {place} is still reading its files: try again in a moment.",
    "readonly": "Redis at {place} is a replica and takes no changes: name its primary in GATEWAY_REDIS_URL.",
    "no_primary": "The sentinels at {place} know no living primary of that name: check the name at the end of "
    "GATEWAY_REDIS_URL.",
    "oom": "Redis at {place} has reached its maxmemory and takes no changes: give it more.",
    "busy": "Redis at {place} is busy: try again. If it stays so, its SLOWLOG tells why.",
    "contended": "Orders kept making the very image that was to be forgotten: try again once they are done.",
    "cluster_down": "The cluster at {place} does not serve all slots now: try again, or look at CLUSTER INFO.",
}
_NO_CLUSTER = (
    "Redis at {place} does not answer as a cluster does: cluster support is disabled there. "
    "Name a single server with redis://."
)
_OTHER = "Redis at {place} does not answer as it should ({reason})."


def advise(reason: str, url: str) -> str:
    """Return the meaning of *reason*, of a `StateUnavailable`, for the Redis at *url*."""
    text = _ADVICE.get(reason, _OTHER)
    if reason == "response" and parse_redis_url(url).kind == "cluster":
        text = _NO_CLUSTER
    return text.format(place=places_of(url), reason=reason)
