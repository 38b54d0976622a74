"""Facts become numbers, under names that are promised."""

import contextvars
import math
from functools import partial
from typing import get_args
from uuid import uuid4

import httpx
import pytest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from service.adapters.openai.failures import ROWS, classify_exception
from service.adapters.telemetry.health import ProviderHealth
from service.adapters.telemetry.logs import FactLog
from service.adapters.telemetry.metrics.keys import WatchedKey
from service.adapters.telemetry.metrics.orders import MOST_TEAMS, OrderMetrics
from service.adapters.telemetry.metrics.registry import REQUEST_BUCKETS_S, Registry
from service.adapters.telemetry.prometheus import PrometheusMetrics
from service.adapters.telemetry.recorder import FactRecorder
from service.adapters.telemetry.trace_ids import note_trace_id
from service.domain.backends import KeyName
from service.domain.errors import LimitState
from service.domain.images import Operation, Source
from service.domain.progress import CallTimes, OrderRecord
from service.domain.rests import Rest, RestName, RestReason
from service.gateway.order.attempt import NOT_SENT
from service.ports.audit import AuditEntry
from service.ports.telemetry import (
    AdminActed,
    AttemptMade,
    BytesDeclined,
    CallCrossed,
    CallQueued,
    CallRefused,
    ClockCompared,
    Crashed,
    FilesDeleted,
    ImageForgotten,
    ImageSpilled,
    ImageUnprocessed,
    KeyRested,
    LimitDecided,
    LoopLagged,
    OrderEnded,
    OrderOutcome,
    OrderUnread,
    PartAway,
    RequestHandled,
    SpillCounted,
    StateFailed,
    StoreAsked,
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


def order(**fields: object) -> OrderEnded:
    """Return the end of an order of four images: two are made, one is not delivered and none knows its price."""
    values: dict[str, object] = {
        "operation": Operation.EDIT,
        "asked_model": "dall-e-3",
        "sent_model": "gpt-image-2",
        "realm": "live",
        "team": "shop",
        "is_dying": True,
        "is_streamed": True,
        "outcome": "partial",
        "code": "upstream_timeout",
        "cache": "partial",
        "record": OrderRecord(
            started_s=100.0,
            shown_s=101.5,
            ended_s=109.0,
            begin_s=0.5,
            read_s=0.25,
            last_call=CallTimes(queue_s=2.0, upstream_s=3.0, store_s=0.5),
            calls=3,
            sources=[Source.HIT, Source.COALESCED, Source.COALESCED, Source.MADE],
            prices=[
                (Source.HIT, 30_000),
                (Source.COALESCED, 20_000),
                (Source.COALESCED, None),
                (Source.MADE, 40_000),
                (Source.MADE, None),
            ],
        ),
    }
    return OrderEnded(**{**values, **fields})  # type: ignore[arg-type]


MODEL = {"model": "gpt-image-2"}
TEAM = {"team": "shop"}
KEY, MAIN = KeyName("openai", "main"), {"backend": "openai", "key": "main"}
BUDGET = LimitState(resource="budget_per_month", scope="team", limit=400, remaining=100, reset_s=60.0)


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
            order(),
            "imagegw_orders_total",
            {
                "operation": "edit",
                "outcome": "partial",
                "code": "upstream_timeout",
                "cache": "partial",
                **TEAM,
            },
            1.0,
        ),
        (
            order(),
            "imagegw_order_duration_seconds_sum",
            {"operation": "edit", "cache": "partial"},
            9.0,
        ),
        *(
            (
                OrderUnread(operation=Operation.EDIT, team=team, code="state_unavailable"),
                "imagegw_orders_total",
                {
                    "operation": "edit",
                    "outcome": "refused",
                    "code": "state_unavailable",
                    "cache": "none",
                    "team": label,
                },
                1.0,
            )
            for team, label in (("", "other"), ("shop", "shop"))
        ),
        (order(), "imagegw_order_stage_seconds_sum", {"stage": "queue"}, 2.0),
        (order(), "imagegw_order_stage_seconds_sum", {"stage": "begin"}, 0.5),
        (order(), "imagegw_order_stage_seconds_sum", {"stage": "upstream"}, 3.0),
        (order(), "imagegw_order_stage_seconds_sum", {"stage": "store"}, 0.75),
        (order(), "imagegw_order_calls_sum", {}, 3.0),
        (order(), "imagegw_first_event_seconds_sum", {}, 1.5),
        (order(is_streamed=False), "imagegw_first_event_seconds_count", {}, 0.0),
        (order(), "imagegw_dying_model_orders_total", {"model": "dall-e-3", **TEAM}, 1.0),
        (order(is_dying=False), "imagegw_dying_model_orders_total", {"model": "dall-e-3", **TEAM}, 0.0),
        (
            order(),
            "imagegw_images_delivered_total",
            {"model": "dall-e-3", "source": "coalesced", **TEAM},
            2.0,
        ),
        (order(), "imagegw_images_made_total", {**MODEL, **TEAM}, 2.0),
        (order(), "imagegw_images_unpriced_total", MODEL, 1.0),
        (order(record=OrderRecord(failed=3, unkept=2)), "imagegw_images_unkept_total", {}, 2.0),
        (order(), "imagegw_cost_dollars_total", {**MODEL, "realm": "live", **TEAM}, 0.04),
        (order(), "imagegw_saved_dollars_total", {"source": "hit", "realm": "live", **TEAM}, 0.03),
        (order(), "imagegw_saved_dollars_total", {"source": "coalesced", "realm": "live", **TEAM}, 0.02),
        (
            RequestHandled(
                route="/livez", method="GET", status=200, duration_s=0.1, received_bytes=5, sent_bytes=7
            ),
            "imagegw_http_received_bytes_total",
            {"route": "/livez"},
            5.0,
        ),
        (
            RequestHandled(
                route="/livez", method="GET", status=200, duration_s=0.1, received_bytes=5, sent_bytes=7
            ),
            "imagegw_http_sent_bytes_total",
            {"route": "/livez"},
            7.0,
        ),
        (CallQueued(waited_s=1.5), "imagegw_queue_wait_seconds_sum", {}, 1.5),
        (CallRefused(reason="late"), "imagegw_queue_refusals_total", {"reason": "late"}, 1.0),
        (
            attempt(outcome="broken", billing="unknown"),
            "imagegw_upstream_attempts_total",
            {"backend": "openai", **MODEL, "outcome": "broken", "billing": "unknown"},
            1.0,
        ),
        (attempt(is_retry=True), "imagegw_upstream_retries_total", {"backend": "openai"}, 1.0),
        (attempt(), "imagegw_upstream_retries_total", {"backend": "openai"}, 0.0),
        (
            attempt(),
            "imagegw_upstream_attempt_duration_seconds_sum",
            {"backend": "openai", **MODEL, "outcome": "made"},
            12.0,
        ),
        (
            attempt(key="main", outcome="blocked"),
            "imagegw_backend_key_attempts_total",
            {**MAIN, "outcome": "blocked"},
            1.0,
        ),
        (
            KeyRested(
                rest=Rest(name=RestName(KEY), reason=RestReason.BLOCKED, left_s=60.0), failure=NOT_SENT
            ),
            "imagegw_backend_key_rests_total",
            {**MAIN, "reason": "blocked"},
            1.0,
        ),
        (
            CallCrossed(left=KEY, to=KeyName("azure", "spare")),
            "imagegw_calls_crossed_total",
            {"backend": "openai", "to": "azure"},
            1.0,
        ),
        (
            LimitDecided(decision="refused", team="shop", degraded=True, limit="images", scope="key"),
            "imagegw_limit_decisions_total",
            {"decision": "refused", "limit": "images", "scope": "key", "degraded": "true", **TEAM},
            1.0,
        ),
        (
            LimitDecided(decision="allowed", team="shop", degraded=False, limits=(BUDGET,)),
            "imagegw_team_budget_used_ratio",
            TEAM,
            0.75,
        ),
        (
            BytesDeclined(place="disk", reason="caller"),
            "imagegw_bodies_refused_total",
            {"place": "disk", "reason": "caller"},
            1.0,
        ),
        (
            StateFailed(operation="begin", reason="timeout"),
            "imagegw_state_failures_total",
            {"operation": "begin", "reason": "timeout"},
            1.0,
        ),
        (
            StoreAsked(operation="write", duration_s=0.25),
            "imagegw_store_request_seconds_sum",
            {"operation": "write"},
            0.25,
        ),
        (ClockCompared(skew_s=-2.5, is_off=False), "imagegw_clock_skew_seconds", {}, -2.5),
        (LoopLagged(lag_s=0.75), "imagegw_event_loop_lag_seconds_sum", {}, 0.75),
        (
            PartAway(part="redis", away_s=0.5),
            "imagegw_degraded_seconds_total",
            {"part": "redis"},
            0.5,
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

    count(metrics, order(record=OrderRecord(prices=[(Source.MADE, None)])))

    assert b"imagegw_cost_dollars_total{" not in metrics.render()[0]


def test_images_count_for_the_model_that_made_them() -> None:
    metrics = PrometheusMetrics(version="1")
    record = OrderRecord(
        prices=[(Source.MADE, 40_000), (Source.HIT, 1), (Source.MADE, 20_000), (Source.MADE, None)],
        makers=[("azure", "gpt-image-1"), ("openai", "gpt-image-2"), ("azure", "gpt-image-1")],
    )

    count(metrics, order(record=record))

    models = ("gpt-image-1", "gpt-image-2")
    made = {model: value(metrics, "imagegw_images_made_total", model=model, **TEAM) for model in models}
    cost = {
        model: value(metrics, "imagegw_cost_dollars_total", model=model, realm="live", **TEAM)
        for model in models
    }
    assert made == {"gpt-image-1": 2.0, "gpt-image-2": 1.0}
    assert cost == {"gpt-image-1": 0.04, "gpt-image-2": 0.02}
    assert value(metrics, "imagegw_images_unpriced_total", model="gpt-image-1") == 1.0


def test_round_trips_are_measured_and_the_last_shows_if_redis_is_up() -> None:
    metrics = PrometheusMetrics(version="1")
    shown = []

    for is_answered in (True, False, True):
        metrics.state.note_round_trip("beat", 0.1, is_answered)
        shown.append(value(metrics, "imagegw_redis_up"))

    assert shown == [1.0, 0.0, 1.0]
    assert value(metrics, "imagegw_redis_request_seconds_sum", operation="beat") == pytest.approx(0.3)


def test_a_process_shows_its_resources() -> None:
    metrics = PrometheusMetrics(version="1")

    assert value(metrics, "process_resident_memory_bytes") > 1e6
    assert 0 < value(metrics, "process_open_fds") < value(metrics, "process_max_fds")
    assert value(metrics, "process_cpu_seconds_total") > 0


def test_a_repeated_answer_counts_as_an_order_only() -> None:
    metrics = PrometheusMetrics(version="1")
    record = OrderRecord(sources=[Source.HIT], prices=[(Source.HIT, 40_000)], is_replayed=True)

    count(metrics, order(outcome="delivered", code="", cache="hit", record=record))

    assert value(metrics, "imagegw_order_duration_seconds_count", operation="edit", cache="hit") == 1.0
    assert b"imagegw_images_delivered_total{" not in metrics.render()[0]
    assert b"imagegw_saved_dollars_total{" not in metrics.render()[0]


def test_a_refused_order_has_no_duration() -> None:
    metrics = PrometheusMetrics(version="1")

    count(metrics, order(outcome="refused", code="rate_limit_exceeded", cache="none", record=OrderRecord()))

    refused = {"operation": "edit", "outcome": "refused", "code": "rate_limit_exceeded", "cache": "none"}
    assert value(metrics, "imagegw_orders_total", **refused, **TEAM) == 1.0
    assert b"imagegw_order_duration_seconds_count{" not in metrics.render()[0]
    assert value(metrics, "imagegw_order_calls_count") == 0.0


def test_the_use_of_a_budget_ends_with_its_month() -> None:
    registry, clock = Registry(), FakeClock()
    recorder = FactRecorder(OrderMetrics(registry, now_s=clock.monotonic_s).handlers)
    shown = partial(registry.collectors.get_sample_value, "imagegw_team_budget_used_ratio", TEAM)

    recorder.record(LimitDecided(decision="allowed", team="shop", degraded=False, limits=(BUDGET,)))
    clock.advance(BUDGET.reset_s - 1)
    at_its_end = shown()
    clock.advance(1)

    assert (at_its_end, shown()) == (0.75, 0.0)


def test_series_stay_flat_under_ten_thousand_teams() -> None:
    metrics, taken = PrometheusMetrics(version="1"), list[int]()
    for number in range(10_000):
        team = f"team-{number}"
        count(metrics, order(team=team))
        count(metrics, LimitDecided(decision="allowed", team=team, degraded=False, limits=(BUDGET,)))
        if number in (MOST_TEAMS, 9_999):
            taken.append(len(metrics.render()[0].splitlines()))

    assert taken[0] == taken[1]
    labels = {"model": "dall-e-3", "source": "hit"}
    assert value(metrics, "imagegw_images_delivered_total", **labels, team="team-49") == 1.0
    assert value(metrics, "imagegw_images_delivered_total", **labels, team="team-50") == 0.0
    assert value(metrics, "imagegw_images_delivered_total", **labels, team="other") == 9_950.0


def test_an_order_of_a_recorded_trace_leaves_its_id_in_the_buckets_of_its_times() -> None:
    metrics = PrometheusMetrics(version="1")
    trace_id = uuid4().hex

    def work() -> None:
        note_trace_id(trace_id)
        count(metrics, order())

    contextvars.copy_context().run(work)

    shown: bytes = openmetrics.generate_latest(metrics.registry)  # type: ignore[no-untyped-call]
    lines = shown.decode().splitlines()
    told = {line.partition("_bucket")[0] for line in lines if trace_id in line}
    assert told == {
        "imagegw_order_duration_seconds",
        "imagegw_order_stage_seconds",
        "imagegw_first_event_seconds",
    }


def test_two_applications_in_a_process_do_not_share_numbers() -> None:
    one, other = PrometheusMetrics(version="1"), PrometheusMetrics(version="1")

    count(one, Crashed(where="order", id="x", error=ValueError()))

    counted = [value(metrics, "imagegw_order_crashes_total", where="order") for metrics in (one, other)]
    assert counted == [1.0, 0.0]


def test_buckets_reach_ten_minutes_and_rise() -> None:
    assert max(REQUEST_BUCKETS_S) == 600
    assert list(REQUEST_BUCKETS_S) == sorted(set(REQUEST_BUCKETS_S))


def test_series_of_alerts_exist_before_any_fact() -> None:
    metrics = PrometheusMetrics(version="1.2", revision="abc", replicas=3)
    metrics.orders.watch_in_flight(orders=lambda: 0, calls=lambda: 0, waiters=lambda: 0)
    families = {
        family.name: family for family in text_string_to_metric_families(metrics.render()[0].decode())
    }

    assert {sample.labels["kind"] for sample in families["imagegw_in_flight"].samples} == {
        "orders",
        "calls",
        "waiters",
    }
    decisions = families["imagegw_limit_decisions"].samples
    assert {sample.labels["decision"] for sample in decisions} == {"allowed", "refused"}
    outcomes = {sample.labels["outcome"] for sample in families["imagegw_orders"].samples}
    assert outcomes == set(get_args(OrderOutcome))
    outcomes = {sample.labels["outcome"] for sample in families["imagegw_images_spilled"].samples}
    assert outcomes == {"kept", "refused", "brought_home"}
    assert families["imagegw_build_info"].samples[0].labels == {"version": "1.2", "revision": "abc"}
    assert families["imagegw_replicas"].samples[0].value == 3
    parts = {sample.labels["part"] for sample in families["imagegw_degraded_seconds"].samples}
    assert parts == {"redis", "store", "journal", "provider"}


def test_attempts_begin_at_zero_with_every_end_that_they_can_have() -> None:
    metrics = PrometheusMetrics(version="1")
    metrics.provider.expect("openai", ["gpt-image-2", "gpt-image-3"])
    begun = {
        (sample.labels["model"], sample.labels["outcome"], sample.labels["billing"])
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name == "imagegw_upstream_attempts_total"
    }

    broken = [httpx.ConnectError("x"), httpx.ReadTimeout("x"), httpx.ReadError("x")]
    ends = {(end.kind.value, end.billing.value) for end in [NOT_SENT, *map(classify_exception, broken)]}
    ends |= {("made", "billed")} | {(row.kind.value, "not_billed") for row in ROWS}
    # Within a stream, the reason is believed, but only of a caller's own fault that nothing was billed.
    ends |= {(row.kind.value, "unknown") for row in ROWS if row.kind.value not in {"refused", "invalid"}}
    assert begun == {(model, *end) for model in ("gpt-image-2", "gpt-image-3") for end in ends}


def watched(*names: KeyName) -> list[WatchedKey]:
    return [WatchedKey(name=name, in_flight=lambda: 3, most_calls=8) for name in names]


def test_the_series_of_keys_begin_at_zero() -> None:
    metrics = PrometheusMetrics(version="1")
    metrics.keys.watch(watched(KEY, KeyName("openai", "spare"), KeyName("azure", "key-1")), list)

    begun = [
        sample
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name.startswith(("imagegw_backend_key_", "imagegw_calls_crossed"))
    ]

    resting = [sample.labels for sample in begun if sample.name == "imagegw_backend_key_resting"]
    assert {(labels["model"], labels["reason"]) for labels in resting} == {("", "blocked"), ("", "refused")}
    assert len(resting) == 3 * 2
    rests = [sample for sample in begun if sample.name == "imagegw_backend_key_rests_total"]
    assert len(rests) == 3 * len(RestReason)
    crossings = [sample.labels for sample in begun if sample.name == "imagegw_calls_crossed_total"]
    assert {(labels["backend"], labels["to"]) for labels in crossings} == {
        ("openai", "openai"),
        ("openai", "azure"),
        ("azure", "openai"),
    }
    assert {sample.value for sample in begun} == {0.0, 3.0, 8.0}


def test_keys_that_rest_and_their_calls_are_read_at_each_scrape() -> None:
    metrics, rests = PrometheusMetrics(version="1"), list[Rest]()
    metrics.keys.watch(watched(KEY), lambda: rests)
    limited = {**MAIN, "model": "gpt-image-2", "reason": "throttled"}
    shown = partial(metrics.registry.get_sample_value, "imagegw_backend_key_resting")
    before = shown(limited)

    rests.append(Rest(name=RestName(KEY, "gpt-image-2"), reason=RestReason.THROTTLED, left_s=2.0))
    rests.append(Rest(name=RestName(KEY), reason=RestReason.BLOCKED, left_s=0.0))

    blocked = {**MAIN, "model": "", "reason": "blocked"}
    assert (before, shown(limited), shown(blocked)) == (None, 1.0, 1.0)
    assert shown({**blocked, "reason": "refused"}) == 0.0
    rests.clear()
    # An average over time would take no sample for 1.
    assert (shown(limited), shown(blocked)) == (0.0, 0.0)
    assert value(metrics, "imagegw_backend_key_calls", **MAIN) == 3.0
    assert value(metrics, "imagegw_backend_key_calls_limit", **MAIN) == 8.0


def test_attempts_by_key_are_counted_where_they_began() -> None:
    metrics = PrometheusMetrics(version="1")
    metrics.keys.watch(watched(KEY), list)

    count(metrics, attempt(key="main"))

    assert value(metrics, "imagegw_backend_key_attempts_total", **MAIN, outcome="made") == 1.0


def test_names_keep_the_conventions() -> None:
    """Units are base units, counters are totals, nothing doubles with creation times."""
    metrics = PrometheusMetrics(version="1")
    count(metrics, attempt(duration_s=math.pi))

    samples = [
        sample.name
        for family in text_string_to_metric_families(metrics.render()[0].decode())
        for sample in family.samples
    ]

    assert all(name.startswith(("imagegw_", "process_")) for name in samples)
    assert not [name for name in samples if name.endswith(("_created", "_ms", "_milliseconds", "_microusd"))]
