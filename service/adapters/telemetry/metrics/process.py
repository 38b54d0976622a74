"""Count crashes, and show the build and the resources of this process."""

import math
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Literal

from prometheus_client import ProcessCollector

from service.adapters.telemetry.metrics.registry import Registry
from service.adapters.telemetry.recorder import Handlers
from service.domain.disks import DiskRoom
from service.ports.telemetry import Crashed


class ProcessMetrics:
    """The metrics of a process."""

    def __init__(self, registry: Registry, *, version: str, revision: str, replicas: int) -> None:
        self._crashes = registry.counter(
            "imagegw_order_crashes", "Orders, turns of background loops and requests ended by a bug.", "where"
        )
        for where in ("order", "loop", "request"):
            self._crashes.labels(where)
        build = registry.gauge("imagegw_build_info", "Always 1.", "version", "revision")
        build.labels(version, revision).set(1)
        told = registry.gauge(
            "imagegw_replicas", "Gateways that share one Redis, as told (GATEWAY_REPLICAS)."
        )
        told.set(replicas)
        self._disk_free = registry.gauge(
            "imagegw_disk_free_bytes", "Room on a disk that this process writes to.", "place"
        )
        self._disk_size = registry.gauge(
            "imagegw_disk_size_bytes", "Size of a disk that this process writes to.", "place"
        )
        ProcessCollector(registry=registry.collectors)

    @property
    def handlers(self) -> Handlers:
        """The functions that count facts, by their kind."""
        return {Crashed: lambda fact: self._crashes.labels(fact.where).inc()}

    def watch_disks(self, places: Iterable[str], rooms: Mapping[str, DiskRoom]) -> None:
        """Show the room on the disks at *places*, as last measured in *rooms*."""
        for place in places:
            self._disk_free.labels(place).set_function(partial(_room_of, rooms, place, "free_bytes"))
            self._disk_size.labels(place).set_function(partial(_room_of, rooms, place, "size_bytes"))


def _room_of(rooms: Mapping[str, DiskRoom], place: str, kind: Literal["free_bytes", "size_bytes"]) -> float:
    return getattr(rooms[place], kind) if place in rooms else math.nan
