"""Compare `docs/metrics.md` with the metrics and the values of their labels."""

from inspect import signature
from typing import Any, get_args, get_type_hints

import pytest

from service.adapters.disks import LOW
from service.adapters.redis.client.errors import REASONS
from service.adapters.redis.client.round_trips import GROUPS
from service.adapters.telemetry.metrics.orders import OrderMetrics
from service.adapters.telemetry.metrics.parts import PartMetrics
from service.adapters.telemetry.metrics.provider import ENDS
from service.adapters.telemetry.prometheus import PrometheusMetrics
from service.domain.callers import Scope
from service.domain.errors import (
    Conflict,
    GatewayError,
    ImageMissing,
    LimitState,
    LinkExpired,
    LinkRefused,
    NotFound,
    OrderFailed,
    RateLimited,
    RefusedFor,
)
from service.domain.failures import FailureKind
from service.domain.images import Operation, Realm, Source
from service.domain.limits import Resource
from service.domain.progress import CacheOutcome, OrderRecord
from service.domain.rests import RestReason
from service.gateway.accounts.audit import Act
from service.gateway.order.ends import HURRIED
from service.http.error_codes import code_of
from service.http.errors import BODY_TOO_SLOW, CLIENT_GONE, UNKNOWN_URL, body_too_large, unsupported_type
from service.http.sites import OTHER_SITE, UNKNOWN_HOST
from service.ports.telemetry import (
    Crashed,
    HeldIn,
    OrderOutcome,
    Part,
    QueueRefusal,
    StoreOperation,
    StoreTrouble,
    WorkerTrouble,
)
from tests.documents import quoted_in, read, rows_behind
from tests.http.test_error_table import EXAMPLES, failure
from tests.written_values import written

NOT_OF_ORDERS = {Conflict, ImageMissing, LinkExpired, LinkRefused, NotFound}
STATE, RETENTION = "service/gateway/admission/shared.py", "service/gateway/images/retention.py"


@pytest.fixture(scope="module")
def page() -> str:
    return read("docs/metrics.md")


def test_the_page_has_every_metric_with_its_type_and_labels(page: str) -> None:
    documented = {
        metric.strip("`"): (kind, set(quoted_in(labels)))
        for metric, kind, labels, *_ in rows_behind("# Metrics", page)
    }

    assert documented == registered_metrics()


def test_the_page_describes_every_metric(page: str) -> None:
    meanings = [meaning for _, _, _, meaning, *_ in rows_behind("# Metrics", page)]

    assert meanings
    assert all(len(meaning) > 5 for meaning in meanings)


def test_the_page_has_every_value_of_every_closed_label(page: str) -> None:
    documented = {
        (metric.strip("`"), label.strip("`")): set(quoted_in(values))
        for metric, label, values in rows_behind("\n## Values of labels\n", page)
    }

    assert documented == declared_values() | values_of_state() | values_of_images()


def registered_metrics() -> dict[str, tuple[str, set[str]]]:
    """Return the type and the labels of each metric by name."""
    metrics: dict[str, tuple[str, set[str]]] = {}
    collectors: list[Any] = list(PrometheusMetrics(version="1").registry._collector_to_names)
    for collector in collectors:
        # The client's collector of a process describes nothing before it collects, and has no labels.
        for family in getattr(collector, "describe", collector.collect)():
            name = f"{family.name}_total" if family.type == "counter" else family.name
            metrics[name] = (family.type, set(getattr(collector, "_labelnames", ())))
    return metrics


def declared_values() -> dict[tuple[str, str], set[str]]:
    """Return the values of labels whose types list them."""
    operations, outcomes = set(Operation), set(get_args(CacheOutcome))
    return {
        ("imagegw_orders_total", "operation"): operations,
        ("imagegw_orders_total", "outcome"): set(get_args(OrderOutcome)),
        ("imagegw_orders_total", "code"): codes_of_orders(),
        ("imagegw_orders_total", "cache"): outcomes,
        ("imagegw_order_duration_seconds", "operation"): operations,
        ("imagegw_order_duration_seconds", "cache"): outcomes,
        ("imagegw_order_stage_seconds", "stage"): set(OrderRecord().stages_s),
        ("imagegw_images_delivered_total", "source"): set(Source),
        ("imagegw_cost_dollars_total", "realm"): set(Realm),
        ("imagegw_saved_dollars_total", "realm"): set(Realm),
        ("imagegw_saved_dollars_total", "source"): set(Source) - {Source.MADE},
        ("imagegw_upstream_attempts_total", "outcome"): {outcome for outcome, _ in ENDS},
        ("imagegw_upstream_attempts_total", "billing"): {billing for _, billing in ENDS},
        ("imagegw_backend_key_resting", "reason"): set(RestReason),
        ("imagegw_backend_key_rests_total", "reason"): set(RestReason),
        ("imagegw_backend_key_attempts_total", "outcome"): {outcome for outcome, _ in ENDS},
        ("imagegw_limit_decisions_total", "decision"): written("LimitDecided", "decision"),
        ("imagegw_limit_decisions_total", "limit"): {*Resource, *written("LimitDecided", "limit")},
        ("imagegw_limit_decisions_total", "scope"): set(get_args(get_type_hints(Scope)["name"])),
        ("imagegw_request_bytes", "place"): set(get_args(HeldIn)),
        ("imagegw_bodies_refused_total", "place"): set(get_args(HeldIn)),
        ("imagegw_bodies_refused_total", "reason"): set(get_args(RefusedFor)),
        ("imagegw_disk_free_bytes", "place"): set(LOW),
        ("imagegw_disk_size_bytes", "place"): set(LOW),
        ("imagegw_queue_refusals_total", "reason"): set(get_args(QueueRefusal)),
        ("imagegw_in_flight", "kind"): set(signature(OrderMetrics.watch_in_flight).parameters) - {"self"},
        ("imagegw_in_flight_limit", "kind"): {"calls"},
        ("imagegw_store_failures_total", "reason"): set(get_args(StoreTrouble)),
        ("imagegw_store_request_seconds", "operation"): set(get_args(StoreOperation)),
        ("imagegw_degraded_seconds_total", "part"): set(get_args(Part)),
        ("imagegw_breaker_open", "part"): set(signature(PartMetrics.watch_breakers).parameters) - {"self"},
        ("imagegw_admin_acts_total", "act"): set(Act),
        ("imagegw_order_crashes_total", "where"): set(get_args(get_type_hints(Crashed)["where"])),
    }


def codes_of_orders() -> set[str]:
    """Return the codes of the errors that an order can end with, or be refused with before it is read."""
    ends = [error for kind, (error, _, _) in EXAMPLES.items() if kind not in NOT_OF_ORDERS]
    quota = LimitState(resource="images_per_day", scope="user", limit=2, remaining=0, reset_s=60.0)
    ends += [RateLimited(quota, retry_after_s=60.0, limits=())]
    ends += [OrderFailed((failure(kind),)) for kind in FailureKind]
    unread = [BODY_TOO_SLOW, CLIENT_GONE, OTHER_SITE, UNKNOWN_HOST, body_too_large(1), unsupported_type("")]
    early = {HURRIED, "disk_full", "unsupported_content_encoding", UNKNOWN_URL} | {
        problem.code for problem in unread if problem.code
    }
    return early | {code_of(error) for error in [*ends, GatewayError()]}


def values_of_images() -> dict[tuple[str, str], set[str]]:
    """Return the values that are written where images are forgotten and spilled."""
    forgotten = written("ImageForgotten", "reason")
    handed_on = written("_forget", 2, under=RETENTION) | written("_forget_old", 2, under=RETENTION)
    return {
        ("imagegw_images_forgotten_total", "reason"): forgotten | handed_on,
        ("imagegw_images_spilled_total", "outcome"): written("ImageSpilled", "outcome"),
        ("imagegw_images_unprocessed_total", "origin"): written("ImageUnprocessed", "origin"),
        ("imagegw_images_unprocessed_total", "reason"): set(get_args(WorkerTrouble)),
    }


def values_of_state() -> dict[tuple[str, str], set[str]]:
    """Return the values that are written where shared state fails."""
    failed = written("StateFailed", "operation")
    handed_on = written("_try", 0, under=STATE) | written("_fail", 0, under=STATE)
    unavailable = written("StateUnavailable", 0, under="service/adapters/redis")
    return {
        ("imagegw_redis_request_seconds", "operation"): {
            *GROUPS,
            *written("Script", "name", under="service/adapters/redis"),
        },
        ("imagegw_state_failures_total", "operation"): failed | handed_on,
        ("imagegw_state_failures_total", "reason"): {
            *REASONS,
            *written("StateFailed", "reason"),
            *unavailable,
        },
    }
