"""Facts become numbers, under names that are promised."""

import math
from typing import get_args

import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.adapters.telemetry.health import ProviderHealth
from service.adapters.telemetry.logs import FactLog
from service.adapters.telemetry.metrics.registry import REQUEST_BUCKETS_S
from service.adapters.telemetry.prometheus import PrometheusMetrics
from service.adapters.telemetry.recorder import FactRecorder
from service.ports.audit import AuditEntry
from service.ports.telemetry import (
    AdminActed,
    AttemptMade,
    BytesDeclined,
    CallQueued,
    CallRefused,
    CostSettled,
    Crashed,
    FilesDeleted,
    ImageForgotten,
    ImagesDelivered,
    ImageSpilled,
    ImageUnprocessed,
    LimitDecided,
    RequestHandled,
    SpillCounted,
    StateFailed,
    StoreCounted,
    TelemetryFact,
)
from tests.fakes.clock import FakeClock


def attempt(**fields: object) -> AttemptMade:
    values: dict[str, object] = {
        "backend": "openai",
        "model": "gpt-image-2",
        "outcome": "made",
        "billing": "billed",
        "duration_s": 12.0,
        "images": 3,
        "is_retry": False,
    }
    return AttemptMade(**{**values, **fields})  # type: ignore[arg-type]


def value(metrics: PrometheusMetrics, name: str, **labels: str) -> float:
    return metrics.registry.get_sample_value(name, labels) or 0.0


def count(metrics: PrometheusMetrics, fact: TelemetryFact) -> None:
    FactRecorder(*metrics.handlers).record(fact)


MODEL = {"model": "gpt-image-2"}


@pytest.mark.parametrize(
    ("fact", "name", "labels", "expected"),
    [
        (
            RequestHandled(route="/livez", method="GET", status=200, duration_s=0.1),
            "imagegw_http_requests_total",
            {"route": "/livez", "method": "GET", "status": "200"},
            1.0,
        ),
        (
            RequestHandled(route="/livez", method="GET", status=200, duration_s=0.25),
            "imagegw_http_request_duration_seconds_sum",
            {"route": "/livez"},
            0.25,
        ),
        (
            ImagesDelivered(asked_model="dall-e-3", sources={"hit": 1, "made": 3}),
            "imagegw_images_delivered_total",
            {"model": "dall-e-3", "source": "hit"},
            1.0,
        ),
        (CallQueued(waited_s=1.5), "imagegw_queue_wait_seconds_sum", {}, 1.5),
        (CallRefused(reason="late"), "imagegw_queue_refusals_total", {"reason": "late"}, 1.0),
        (
            attempt(outcome="broken", billing="unknown", images=0),
            "imagegw_upstream_attempts_total",
            {"backend": "openai", **MODEL, "outcome": "broken", "billing": "unknown"},
            1.0,
        ),
        (attempt(), "imagegw_images_made_total", MODEL, 3.0),
        (attempt(images=0), "imagegw_images_made_total", MODEL, 0.0),
        (attempt(is_retry=True), "imagegw_upstream_retries_total", {"backend": "openai"}, 1.0),
        (attempt(), "imagegw_upstream_retries_total", {"backend": "openai"}, 0.0),
        (
            attempt(),
            "imagegw_upstream_attempt_duration_seconds_sum",
            {"backend": "openai", **MODEL},
            12.0,
        ),
        (
            LimitDecided(decision="images", degraded=True),
            "imagegw_limit_decisions_total",
            {"decision": "images", "degraded": "true"},
            1.0,
        ),
        (
            BytesDeclined(place="disk", reason="caller"),
            "imagegw_bodies_refused_total",
            {"place": "disk", "reason": "caller"},
            1.0,
        ),
        (
            CostSettled(model="gpt-image-2", realm="live", microusd=40_000),
            "imagegw_cost_dollars_total",
            {**MODEL, "realm": "live"},
            0.04,
        ),
        (
            CostSettled(model="gpt-image-2", realm="live", microusd=None),
            "imagegw_images_unpriced_total",
            MODEL,
            1.0,
        ),
        (
            StateFailed(operation="begin", reason="timeout"),
            "imagegw_state_failures_total",
            {"operation": "begin", "reason": "timeout"},
            1.0,
        ),
        (
            Crashed(where="loop", id="sweep", error=ValueError()),
            "imagegw_order_crashes_total",
            {"where": "loop"},
            1.0,
        ),
        (
            AdminActed(entry=AuditEntry(at_s=1, who="bootstrap", act="create_key", target="shop/key_1")),
            "imagegw_admin_acts_total",
            {"act": "create_key"},
            1.0,
        ),
        (StoreCounted(images=3, size_bytes=2000), "imagegw_images_kept", {}, 3.0),
        (StoreCounted(images=3, size_bytes=2000), "imagegw_kept_bytes", {}, 2000.0),
        (ImageForgotten(reason="age"), "imagegw_images_forgotten_total", {"reason": "age"}, 1.0),
        (FilesDeleted(files=2), "imagegw_files_deleted_total", {}, 2.0),
        (
            ImageSpilled(name="a.png", outcome="kept"),
            "imagegw_images_spilled_total",
            {"outcome": "kept"},
            1.0,
        ),
        (
            ImageUnprocessed(origin="caller", reason="busy"),
            "imagegw_images_unprocessed_total",
            {"origin": "caller", "reason": "busy"},
            1.0,
        ),
        (SpillCounted(images=4), "imagegw_spill_images", {}, 4.0),
    ],
)
def test_each_fact_is_counted_in_its_metric(
    fact: TelemetryFact, name: str, labels: dict[str, str], expected: float
) -> None:
    metrics = PrometheusMetrics(version="1")

    count(metrics, fact)

    assert value(metrics, name, **labels) == pytest.approx(expected)


def test_work_in_flight_is_read_at_each_scrape() -> None:
    metrics, calls = PrometheusMetrics(version="1"), [1, 2]
    metrics.orders.watch_in_flight(orders=lambda: 7, calls=lambda: len(calls), waiters=lambda: 0)
    calls.append(3)

    shown = [value(metrics, "imagegw_in_flight", kind=kind) for kind in ("orders", "calls", "waiters")]

    assert shown == [7.0, 3.0, 0.0]


def test_held_bytes_are_read_at_each_scrape() -> None:
    metrics, held = PrometheusMetrics(version="1"), [5]
    metrics.requests.watch_bytes(memory=lambda: sum(held), disk=lambda: 9)
    held.append(6)

    assert [value(metrics, "imagegw_request_bytes", place=place) for place in ("memory", "disk")] == [
        11.0,
        9.0,
    ]


def test_every_fact_has_a_taker() -> None:
    handlers = [
        *PrometheusMetrics(version="1").handlers,
        ProviderHealth(FakeClock()).handlers,
        FactLog().handlers,
    ]

    assert {kind for each in handlers for kind in each} == set(get_args(TelemetryFact))


def test_an_unknown_price_is_not_free() -> None:
    metrics = PrometheusMetrics(version="1")

    count(metrics, CostSettled(model="gpt-image-2", realm="live", microusd=None))

    assert b"imagegw_cost_dollars_total{" not in metrics.render()


def test_two_applications_in_a_process_do_not_share_numbers() -> None:
    one, other = PrometheusMetrics(version="1"), PrometheusMetrics(version="1")

    count(one, Crashed(where="order", id="x", error=ValueError()))

    counted = [value(metrics, "imagegw_order_crashes_total", where="order") for metrics in (one, other)]
    assert counted == [1.0, 0.0]


def test_buckets_reach_ten_minutes_and_rise() -> None:
    assert max(REQUEST_BUCKETS_S) == 600
    assert list(REQUEST_BUCKETS_S) == sorted(set(REQUEST_BUCKETS_S))


def test_series_of_alerts_exist_before_any_fact() -> None:
    metrics = PrometheusMetrics(version="1.2")
    metrics.orders.watch_in_flight(orders=lambda: 0, calls=lambda: 0, waiters=lambda: 0)
    families = {family.name: family for family in text_string_to_metric_families(metrics.render().decode())}

    assert {sample.labels["kind"] for sample in families["imagegw_in_flight"].samples} == {
        "orders",
        "calls",
        "waiters",
    }
    decisions = {sample.labels["decision"] for sample in families["imagegw_limit_decisions"].samples}
    assert decisions == {"allowed", "requests", "images"}
    outcomes = {sample.labels["outcome"] for sample in families["imagegw_images_spilled"].samples}
    assert outcomes == {"kept", "refused", "brought_home"}
    assert families["imagegw_build_info"].samples[0].labels == {"version": "1.2"}


def test_names_keep_the_conventions() -> None:
    """Units are base units, counters are totals, nothing doubles with creation times."""
    metrics = PrometheusMetrics(version="1")
    count(metrics, attempt(duration_s=math.pi))

    samples = [
        sample.name
        for family in text_string_to_metric_families(metrics.render().decode())
        for sample in family.samples
    ]

    assert all(name.startswith("imagegw_") for name in samples)
    assert not [name for name in samples if name.endswith(("_created", "_ms", "_milliseconds", "_microusd"))]
