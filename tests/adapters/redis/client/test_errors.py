"""Every error of redis-py has a label, and becomes `StateUnavailable`."""

import asyncio
import inspect

import pytest
import uvloop
from redis import exceptions
from redis.asyncio import sentinel

from service.adapters.redis.client.connections import PlainConnection
from service.adapters.redis.client.errors import REASONS, translated_errors
from service.domain.errors import StateUnavailable

LABELS = {
    "AskError": "cluster_down",
    "AuthenticationError": "auth",
    "AuthenticationWrongNumberOfArgsError": "auth",
    "AuthorizationError": "auth",
    "BusyLoadingError": "loading",
    "ChildDeadlockedError": "other",
    "ClusterCrossSlotError": "response",
    "ClusterDownError": "cluster_down",
    "ClusterError": "cluster_down",
    "ConnectionError": "connection",
    "CrossSlotTransactionError": "cluster_down",
    "DataError": "other",
    "ExecAbortError": "response",
    "ExternalAuthProviderError": "auth",
    "IncorrectPolicyType": "other",
    "InvalidPipelineStack": "cluster_down",
    "InvalidResponse": "response",
    "LockError": "other",
    "LockNotOwnedError": "other",
    "MasterDownError": "no_primary",
    "MasterNotFoundError": "no_primary",
    "MaxConnectionsError": "pool",
    "ModuleError": "response",
    "MovedError": "cluster_down",
    "NoPermissionError": "no_permission",
    "NoScriptError": "noscript",
    "NoSuchFieldsetError": "response",
    "OutOfMemoryError": "oom",
    "PubSubError": "other",
    "ReadOnlyError": "readonly",
    "RedisClusterException": "cluster_down",
    "RedisError": "other",
    "ResponseError": "response",
    "SlaveNotFoundError": "connection",
    "SlotNotCoveredError": "cluster_down",
    "TimeoutError": "timeout",
    "TryAgainError": "cluster_down",
    "WatchError": "other",
}
CLASSES = {
    kind.__name__: kind
    for module in (exceptions, sentinel)
    for _, kind in inspect.getmembers(module, inspect.isclass)
    if issubclass(kind, Exception)
}


def label_of(error: BaseException) -> str:
    with pytest.raises(StateUnavailable) as failure, translated_errors():
        raise error
    return failure.value.reason


def test_every_class_of_redis_py_has_a_known_label() -> None:
    """Fails when redis-py grows one: decide then what it means."""
    # These two take a redirection apart.
    arguments = {"AskError": "1 h:1", "MovedError": "1 h:1"}
    labels = {name: label_of(kind(arguments.get(name, "what"))) for name, kind in CLASSES.items()}

    assert labels == LABELS
    assert set(labels.values()) <= REASONS


@pytest.mark.parametrize(
    ("error", "label"),
    [
        (exceptions.ResponseError("BUSY Valkey is busy running a script."), "busy"),
        (
            exceptions.ResponseError("WRONGTYPE Operation against a key. script: 1, on @user_script:2."),
            "wrongtype",
        ),
        (exceptions.ResponseError("UNKILLABLE Sorry the script already executed write commands."), "busy"),
        (exceptions.ResponseError("NOREPLICAS Not enough good replicas to write."), "no_replicas"),
        (
            exceptions.ResponseError("MISCONF Errors writing to the AOF file: No space left on device"),
            "misconf",
        ),
        (exceptions.ResponseError("BUSYKEY Target key name already exists."), "response"),
        (TimeoutError(), "timeout"),
        (ConnectionResetError(), "connection"),
        (EOFError(), "connection"),
    ],
)
def test_errors_without_a_class_are_known_by_their_first_word(error: BaseException, label: str) -> None:
    assert label_of(error) == label


def test_wrapped_connection_errors_are_known_by_their_cause() -> None:
    error = exceptions.ConnectionError("wrapped")
    error.__cause__ = sentinel.MasterNotFoundError("down")

    assert label_of(error) == "no_primary"


def test_a_bug_of_the_gateway_is_not_a_failure_of_redis() -> None:
    with pytest.raises(TypeError), translated_errors():
        raise TypeError


def test_a_connection_closed_before_a_write_is_a_broken_one() -> None:
    """uvloop has a `RuntimeError` of its own for it, which redis-py passes on."""

    async def write_to_what_is_closed() -> None:
        async with await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0) as server:
            host, port = server.sockets[0].getsockname()
            connection = PlainConnection(host=host, port=port)
            await connection._connect()  # type: ignore[no-untyped-call]  # redis-py's own, without a greeting
            assert connection._writer is not None
            connection._writer.transport.abort()
            await asyncio.sleep(0.01)
            with translated_errors():
                await connection.send_packed_command(b"PING", check_health=False)

    with (
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        pytest.raises(StateUnavailable) as failure,
    ):
        runner.run(write_to_what_is_closed())

    assert failure.value.reason == "connection"


def test_other_bugs_stay_bugs() -> None:
    with pytest.raises(RuntimeError), translated_errors():
        raise RuntimeError("dictionary changed size during iteration")
