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

# The first class that fits names the metric label, so special ones stand before general ones.
_REASONS: tuple[tuple[type[BaseException], str], ...] = (
    (MasterNotFoundError, "no_primary"),
    (exceptions.MasterDownError, "no_primary"),
    (exceptions.AuthenticationError, "auth"),
    (exceptions.AuthenticationWrongNumberOfArgsError, "auth"),
    (exceptions.AuthorizationError, "auth"),
    (exceptions.ExternalAuthProviderError, "auth"),
    (exceptions.NoPermissionError, "no_permission"),
    (exceptions.BusyLoadingError, "loading"),
    (exceptions.ReadOnlyError, "readonly"),
    (exceptions.OutOfMemoryError, "oom"),
    (exceptions.NoScriptError, "noscript"),
    (exceptions.MaxConnectionsError, "pool"),
    (exceptions.ClusterError, "cluster_down"),
    (exceptions.TryAgainError, "cluster_down"),
    (exceptions.AskError, "cluster_down"),
    (exceptions.RedisClusterException, "cluster_down"),
    (exceptions.TimeoutError, "timeout"),
    (TimeoutError, "timeout"),
    (exceptions.ConnectionError, "connection"),
    (OSError, "connection"),
    (EOFError, "connection"),
    (exceptions.ResponseError, "response"),
    (exceptions.InvalidResponse, "response"),
)
_CODES = {"BUSY": "busy", "WRONGTYPE": "wrongtype"}
"""Answers without a class in redis-py; they are `ResponseError` that begin with these words."""

REASONS = frozenset({label for _, label in _REASONS} | set(_CODES.values()) | {"other"})
"""All labels of `StateUnavailable` that a client's errors cause."""


@contextmanager
def translated_errors() -> Iterator[None]:
    """Turn every error of the client into `StateUnavailable` with a reason from a closed set."""
    try:
        yield
    except CLIENT_ERRORS as error:
        raise StateUnavailable(name_reason(error)) from error


def name_reason(error: BaseException) -> str:
    """Return the label of an error, one of `REASONS`."""
    # redis-py wraps errors while connecting; the reason is below.
    causes = [error]
    while causes[-1].__cause__ is not None:
        causes.append(causes[-1].__cause__)
    for cause in causes:
        code = str(cause).partition(" ")[0]
        if isinstance(cause, exceptions.ResponseError) and code in _CODES:
            return _CODES[code]
    fits = (label for kind, label in _REASONS if any(isinstance(cause, kind) for cause in causes))
    return next(fits, "other")
