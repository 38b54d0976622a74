"""Translate errors of the Redis client into `StateUnavailable`, with a reason from a closed set."""

from collections.abc import Iterator
from contextlib import contextmanager

from redis import exceptions
from redis.asyncio.sentinel import MasterNotFoundError

from service.domain.errors import StateUnavailable

CLIENT_ERRORS = (
    TimeoutError,
    OSError,
    EOFError,
    exceptions.RedisError,
    exceptions.RedisClusterException,
    exceptions.ChildDeadlockedError,
    exceptions.IncorrectPolicyType,
)
"""Every error that a command can raise."""

_AUTHENTICATION = (
    exceptions.AuthenticationError,
    exceptions.AuthenticationWrongNumberOfArgsError,
    exceptions.AuthorizationError,
    exceptions.ExternalAuthProviderError,
)
_CLUSTER = (
    exceptions.ClusterError,
    exceptions.TryAgainError,
    exceptions.AskError,
    exceptions.RedisClusterException,
)
# The first classes that match name the metric label, so special ones come before general ones.
_REASONS: dict[str, tuple[type[BaseException], ...]] = {
    "no_primary": (MasterNotFoundError, exceptions.MasterDownError),
    "auth": _AUTHENTICATION,
    "no_permission": (exceptions.NoPermissionError,),
    "loading": (exceptions.BusyLoadingError,),
    "readonly": (exceptions.ReadOnlyError,),
    "oom": (exceptions.OutOfMemoryError,),
    "noscript": (exceptions.NoScriptError,),
    "pool": (exceptions.MaxConnectionsError,),
    "cluster_down": _CLUSTER,
    "timeout": (exceptions.TimeoutError, TimeoutError),
    "connection": (exceptions.ConnectionError, OSError, EOFError),
    "response": (exceptions.ResponseError, exceptions.InvalidResponse),
}
_CODES = {
    "BUSY": "busy",
    "UNKILLABLE": "busy",
    "NOREPLICAS": "no_replicas",
    "MISCONF": "misconf",
    "WRONGTYPE": "wrongtype",
}
"""Errors without a class in redis-py, by the first word of their `ResponseError`."""

REASONS = frozenset({*_REASONS, *_CODES.values(), "other"})
"""All labels of `StateUnavailable` that errors of the client cause."""


@contextmanager
def translated_errors() -> Iterator[None]:
    """Turn every error of the client into `StateUnavailable`."""
    try:
        yield
    except CLIENT_ERRORS as error:
        raise StateUnavailable(name_reason(error)) from error


def name_reason(error: BaseException) -> str:
    """Return the label of an error, one of `REASONS`."""
    # redis-py wraps errors while connecting.
    causes = [error]
    while causes[-1].__cause__ is not None:
        causes.append(causes[-1].__cause__)
    for cause in causes:
        code = str(cause).partition(" ")[0]
        if isinstance(cause, exceptions.ResponseError) and code in _CODES:
            return _CODES[code]
    fits = (label for label, kinds in _REASONS.items() if any(isinstance(cause, kinds) for cause in causes))
    return next(fits, "other")
