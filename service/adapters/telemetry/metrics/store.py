"""Measure the image store; count the images that it keeps, forgets and does not take, and those that no worker could process."""

from collections.abc import Callable
from itertools import product
from typing import get_args

from service.adapters.telemetry.metrics.registry import ROUND_TRIP_BUCKETS_S, Registry
from service.adapters.telemetry.recorder import Handlers
from service.ports.telemetry import (
    FilesDeleted,
    ImageForgotten,
    ImageSpilled,
    ImageUnprocessed,
    SpillCounted,
    StoreAsked,
    StoreCounted,
    StoreFailed,
    StoreTrouble,
    WorkerTrouble,
)


class StoreMetrics:
    """The metrics of the image store, and of the images in it."""

    def __init__(self, registry: Registry) -> None:
        self._failures = registry.counter(
            "imagegw_store_failures", "Operations of the image store that failed, by reason.", "reason"
        )
        for reason in get_args(StoreTrouble):
            self._failures.labels(reason)
        self._failing = registry.gauge(
            "imagegw_store_failing", "1 if the last operation or probe of the image store failed."
        )
        self._request_s = registry.histogram(
            "imagegw_store_request_seconds",
            "Operations of the image store, those that failed, too.",
            "operation",
            buckets=ROUND_TRIP_BUCKETS_S,
        )
        self._kept = registry.gauge("imagegw_images_kept", "Images that teams refer to.")
        self._kept_bytes = registry.gauge("imagegw_kept_bytes", "Bytes of the images that teams refer to.")
        self._forgotten = registry.counter(
            "imagegw_images_forgotten", "References to images removed, by reason.", "reason"
        )
        self._forgotten.labels("lost")
        self._files_deleted = registry.counter(
            "imagegw_files_deleted", "Files deleted from the store, since no team referred to them."
        )
        self._spilled = registry.counter(
            "imagegw_images_spilled", "Images that the store did not take, by outcome.", "outcome"
        )
        for outcome in ("kept", "refused", "brought_home"):
            self._spilled.labels(outcome)
        self._spill = registry.gauge(
            "imagegw_spill_images", "Images that wait on this machine for the store."
        )
        self._unprocessed = registry.counter(
            "imagegw_images_unprocessed",
            "Images that no worker could process, by origin and reason.",
            *("origin", "reason"),
        )
        for origin, reason in product(("caller", "provider"), get_args(WorkerTrouble)):
            self._unprocessed.labels(origin, reason)

    @property
    def handlers(self) -> Handlers:
        """The functions that count facts, by their kind."""
        return {
            StoreFailed: lambda fact: self._failures.labels(fact.reason).inc(),
            StoreAsked: lambda fact: self._request_s.labels(fact.operation).observe(fact.duration_s),
            StoreCounted: self._show_store,
            ImageForgotten: lambda fact: self._forgotten.labels(fact.reason).inc(),
            FilesDeleted: lambda fact: self._files_deleted.inc(fact.files),
            ImageSpilled: lambda fact: self._spilled.labels(fact.outcome).inc(),
            SpillCounted: lambda fact: self._spill.set(fact.images),
            ImageUnprocessed: lambda fact: self._unprocessed.labels(fact.origin, fact.reason).inc(),
        }

    def watch_store(self, is_failing: Callable[[], bool]) -> None:
        """Show whether the image store works."""
        self._failing.set_function(is_failing)

    def _show_store(self, fact: StoreCounted) -> None:
        self._kept.set(fact.images)
        self._kept_bytes.set(fact.size_bytes)
