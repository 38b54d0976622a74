"""Keys of backends, and the queue before them."""

from collections.abc import Callable
from typing import Any

from service.domain.backends import KeyName
from service.domain.rests import Rest
from service.gateway.queue.queue import Bounds, CallQueue
from service.gateway.routing.keys import BackendKey
from service.gateway.routing.routing import Routing
from service.ports.clock import Clock
from service.ports.provider import Backend
from tests.fakes.backend import FakeBackend
from tests.fakes.telemetry import FakeTelemetry


def a_key(backend: Backend | None = None, name: str = "fake/key", **fields: Any) -> BackendKey:
    """Return a key called `<backend>/<key>`."""
    return BackendKey(
        name=KeyName(*name.split("/")),
        backend=backend or FakeBackend(),
        **{"most_calls": 32, **fields},
    )


def a_routing(
    clock: Clock, telemetry: FakeTelemetry, *keys: BackendKey, share: Callable[[Rest], None] = lambda _: None
) -> Routing:
    return Routing(keys=keys, clock=clock, telemetry=telemetry, share=share)


def a_queue(
    clock: Clock,
    telemetry: FakeTelemetry,
    *backends: Backend,
    bounds: Bounds | None = None,
    **fields: Any,
) -> CallQueue:
    """Return the queue before a key for each of *backends*, with these *fields*."""
    keys = [a_key(each, f"{each.name}/key-{number}", **fields) for number, each in enumerate(backends, 1)]
    return CallQueue(clock, telemetry, bounds or Bounds(), a_routing(clock, telemetry, *keys))
